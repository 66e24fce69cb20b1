"""`$name` and its relatives: the small expression language of main.cf.

    $name  ${name}  $(name)          the value of name, expanded in its turn
    ${name?text}  ${name:text}       text when name has a value, when it has none
    ${name?{text}:{text}}            one or the other
    ${{a} == {b} ? {text} : {text}}  a comparison: == != < <= > >=, and the same with `level` behind (`<level`)
    ${domain_to_ascii{text}}         a domain in its ASCII form (Postfix 3.11 and later)
    $$                               a dollar sign

Everybody who expands such text comes here with a lookup of his own: the configuration, pipe(8) arguments, bounce
templates, forward_path. Branches are read only when they are taken, as in Postfix, so an error hides in the branch
that is not. postconf(5), "The general format of the main.cf file".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from estafeta.mail.domain import to_ascii

Lookup = Callable[[str], str | None]
"""A name's text before expansion; None when there is no such name, which counts as empty."""

NESTING_LIMIT = 100
"""How deep values may refer to values. More is a parameter that refers to itself."""


class ExpandError(ValueError):
    """The text is not what the language allows; says where."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`{left} operator {right}`; both sides still to be expanded."""

    left: str
    operator: str
    right: str
    level: bool


@dataclass(frozen=True, slots=True)
class Call:
    """`function{argument}`; the argument still to be expanded."""

    function: str
    argument: str


@dataclass(frozen=True, slots=True)
class Reference:
    """One `$...`: what is asked, and what to put for yes and for no; None where that part is not written."""

    subject: str | Comparison | Call
    yes: str | None = None
    no: str | None = None

    @property
    def conditional(self) -> bool:
        return self.yes is not None or self.no is not None


def expand(text: str, lookup: Lookup, *, recursive: bool = True) -> str:
    """`text` with every reference replaced. `recursive` False: values are put as they are, their `$` untouched.

    Raises ExpandError for bad syntax or for nesting beyond NESTING_LIMIT.
    """
    if "$" not in text:
        return text
    return _expand(text, lookup, recursive, 0)


def names(text: str) -> Iterator[str]:
    """The names that `text` mentions, those in branches and comparisons too, in order, repeated as written.

    Raises ExpandError.
    """
    for piece in parse(text):
        if isinstance(piece, str):
            continue
        if isinstance(piece.subject, Comparison):
            yield from names(piece.subject.left)
            yield from names(piece.subject.right)
        elif isinstance(piece.subject, Call):
            yield from names(piece.subject.argument)
        else:
            yield piece.subject
        yield from names(piece.yes or "")
        yield from names(piece.no or "")


def _expand(text: str, lookup: Lookup, recursive: bool, depth: int) -> str:
    if depth > NESTING_LIMIT:
        raise ExpandError(f'unreasonable macro call nesting: "{text}": a value may not refer to itself')
    result: list[str] = []
    for piece in parse(text):
        if isinstance(piece, str):
            result.append(piece)
            continue
        value, literal = _value(piece.subject, lookup, recursive, depth)
        if piece.conditional:
            branch = piece.yes if value else piece.no
            result.append(_expand(branch or "", lookup, recursive, depth + 1))
        elif literal:
            result.append(value)
        else:
            result.append(_expand(value, lookup, recursive, depth + 1))
    return "".join(result)


def _value(subject: str | Comparison | Call, lookup: Lookup, recursive: bool, depth: int) -> tuple[str, bool]:
    """What the subject stands for, and whether that is final or still to be expanded.

    A condition asks whether a value is written empty, not what it expands to, so names come back unexpanded.
    """
    if isinstance(subject, Comparison):
        left = _expand(subject.left, lookup, recursive, depth + 1)
        right = _expand(subject.right, lookup, recursive, depth + 1)
        return "true" if compare(left, subject.operator, right, level=subject.level) else "", True
    if isinstance(subject, Call):
        return FUNCTIONS[subject.function](_expand(subject.argument, lookup, recursive, depth + 1)), True
    return lookup(subject) or "", not recursive


def _domain_to_ascii(domain: str) -> str:
    """`correo.españa.example` in the form that DNS knows; what has no such form stays as it is. RFC 5891."""
    return to_ascii(domain) or domain


FUNCTIONS: dict[str, Callable[[str], str]] = {"domain_to_ascii": _domain_to_ascii}


_LEVEL = re.compile(r"\d+(?:\.\d+){0,2}\Z", re.ASCII)


def level(text: str) -> tuple[int, int, int]:
    """A compatibility level, `3.6` or `3.6.1` or `3`, in a form that compares. Raises ExpandError."""
    if not _LEVEL.match(text):
        raise ExpandError(f'malformed compatibility level syntax: "{text}": write numbers, as in 3.6')
    parts = [int(part) for part in text.split(".")]
    major, minor, patch = parts + [0] * (3 - len(parts))
    return major, minor, patch


def compare(left: str, operator: str, right: str, *, level: bool = False) -> bool:
    """Numbers when both sides are all digits, otherwise text by character value; levels with `level`."""
    if level:
        return _ordered(_level(left), operator, _level(right))
    if left.isascii() and right.isascii() and left.isdigit() and right.isdigit():
        return _ordered(int(left), operator, int(right))
    return _ordered(left.encode("utf-8", "surrogateescape"), operator, right.encode("utf-8", "surrogateescape"))


_level = level


_Side = TypeVar("_Side", int, bytes, tuple[int, int, int])


def _ordered(left: _Side, operator: str, right: _Side) -> bool:
    first = left < right
    same = left == right
    return {"==": same, "!=": not same, "<": first, "<=": first or same, ">=": not first, ">": not (first or same)}[
        operator
    ]


# --- reading -------------------------------------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z0-9_]*")
_OPERATOR = re.compile(r"(==|!=|<=|>=|<|>)([A-Za-z0-9_]*)")
_CLOSING = {"{": "}", "(": ")"}


@lru_cache(maxsize=4096)
def parse(text: str) -> tuple[str | Reference, ...]:
    """Plain text and references, in order. Raises ExpandError."""
    pieces: list[str | Reference] = []
    done = 0
    while (dollar := text.find("$", done)) >= 0:
        if dollar > done:
            pieces.append(text[done:dollar])
        opening = text[dollar + 1 : dollar + 2]
        if opening == "$":
            pieces.append("$")
            done = dollar + 2
        elif opening in _CLOSING:
            end = _balanced(text, dollar + 1, text)
            pieces.append(_reference(text[dollar + 2 : end - 1], text))
            done = end
        else:
            name = _name_at(text, dollar + 1)
            if not name:
                raise ExpandError(f'empty macro name: "{text}": write $$ for a dollar sign')
            pieces.append(Reference(name))
            done = dollar + 1 + len(name)
    if done < len(text):
        pieces.append(text[done:])
    return tuple(pieces)


def _name_at(text: str, start: int) -> str:
    found = _NAME.match(text, start)
    return found.group() if found else ""


def _balanced(text: str, start: int, whole: str) -> int:
    """The place behind the bracket that closes the one at `start`."""
    opening = text[start]
    closing = _CLOSING[opening]
    depth, place = 0, start
    bracket = re.compile(f"[{re.escape(opening + closing)}]")
    while found := bracket.search(text, place):
        depth += 1 if found.group() == opening else -1
        place = found.end()
        if depth == 0:
            return place
    raise ExpandError(f'truncated macro reference: "{whole}": a "{closing}" is missing')


def _reference(body: str, whole: str) -> Reference:
    """What stands between the brackets."""
    rest = body.lstrip()
    if rest.startswith("{"):
        return _comparison(body, len(body) - len(rest))
    name = _name_at(rest, 0)
    if not name:
        raise ExpandError(f'empty macro name: "{whole}": a parameter name is expected behind "$"')
    behind = len(body) - len(rest) + len(name)
    place = _skip_space(body, behind)
    if name in FUNCTIONS and body[place : place + 1] == "{":
        argument, place = _operand(body, place)
        place = _skip_space(body, place)
        if place < len(body) and body[place] not in "?:":
            raise ExpandError(f'"?" or ":" expected at: "{_mark(body, place)}"')
        return _branches(Call(name, argument), body, place)
    if place < len(body) and body[place] not in "?:":
        raise ExpandError(f'attribute name syntax error at: "{_mark(body, behind)}"')
    return _branches(name, body, place)


def _comparison(body: str, start: int) -> Reference:
    left, place = _operand(body, start)
    found = _OPERATOR.match(body, place := _skip_space(body, place))
    if not found or body[found.end() : found.end() + 1] == "=":
        raise ExpandError(f'"==" or "!=" or "<" or "<=" or ">=" or ">" expected at: "{_mark(body, place)}"')
    if found.group(2) not in ("", "level"):
        raise ExpandError(f'bad operator suffix at: "{_mark(body, found.end(1))}": only "level" is known')
    right, place = _operand(body, found.end())
    comparison = Comparison(left, found.group(1), right, found.group(2) == "level")
    place = _skip_space(body, place)
    if place < len(body) and body[place] not in "?:":
        raise ExpandError(f'"?" or ":" expected at: "{_mark(body, place)}"')
    return _branches(comparison, body, place)


def _branches(subject: str | Comparison | Call, body: str, place: int) -> Reference:
    """`place` is at the end, or at the `?` or `:` that opens the branches."""
    if place >= len(body):
        return Reference(subject)
    if body[place] == ":":
        return Reference(subject, None, _last_branch(body, place + 1))
    start = _skip_space(body, place + 1)
    if body[start : start + 1] != "{":
        return Reference(subject, body[place + 1 :])
    yes, behind = _operand(body, start)
    start = _skip_space(body, behind)
    if start == len(body):
        return Reference(subject, yes)
    if body[start] != ":":
        raise ExpandError(f'":" expected at: "{_mark(body, start)}"')
    return Reference(subject, yes, _last_branch(body, start + 1))


def _last_branch(body: str, place: int) -> str:
    start = _skip_space(body, place)
    if body[start : start + 1] != "{":
        return body[place:]
    text, behind = _operand(body, start)
    if _skip_space(body, behind) < len(body):
        raise ExpandError(f'unexpected input at: "{_mark(body, behind)}"')
    return text


def _operand(body: str, place: int) -> tuple[str, int]:
    """The text in the `{ }` that comes next, and the place behind it. White space inside belongs to the text."""
    start = _skip_space(body, place)
    if body[start : start + 1] != "{":
        raise ExpandError(f'"{{expression}}" expected at: "{_mark(body, place)}"')
    end = _balanced(body, start, body)
    return body[start + 1 : end - 1], end


def _skip_space(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _mark(body: str, place: int) -> str:
    return f"...{body[max(0, place - 10) : place]}>>>{body[place:]}"
