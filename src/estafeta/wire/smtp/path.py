"""The address in MAIL FROM, RCPT TO and VRFY, as clients really write it.

RFC 5321 4.1.2 wants `<local@domain>`. Postfix also takes it without brackets, with blanks or comments around it, with a
name before it, as a group of one, with doubled brackets or stray commas, unless strict_rfc821_envelopes = yes. The
result is the address in internal form, quotes taken off, or PathError.

This is syntax only: whether mail could go there at all (`a@`, `a%`, `a@1.2.3`) is for routing to say. `plain_path` is
the quick way for the paths of which nobody needs to ask.
"""

from __future__ import annotations

import re

LONGEST_PATH = 1000
"""Characters; RFC 5321 4.5.3.1.3 asks for 256."""

_PLAIN = re.compile(
    r"<([A-Za-z0-9#$&'*+/=?^_`{|}~.][A-Za-z0-9#$&'*+/=?^_`{|}~.-]*)@([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z])?)>"
)
_NO_DOMAIN = re.compile(r"<([A-Za-z0-9#$&'*+/=?^_`{|}~][A-Za-z0-9#$&'*+/=?^_`{|}~-]*)>")
_TOKEN = re.compile(
    r'"(?P<quoted>(?:\\.|[^"\\])*)(?P<quote>"?)|(?P<comment>\()|(?P<literal>\[(?:\\.|[^\[\]\\])*\]?)'
    r'|(?P<blank>\s+)|(?P<special>[<>@,;:.%!])|(?P<atom>(?:\\.|[^\s(<>@,;:\\".%!\[])+)|\\',
    re.S,
)
_BALANCE = re.compile(r'(?P<quoted>"(?:\\.|[^"\\])*)(?P<quote>"?)|(?P<bracket>[<>])|\\.|[^"<>\\]+|\\', re.S)
_ESCAPE = re.compile(r"\\(.)", re.S)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
"""What no address has, quoted or not; blanks among them are left to the tokens."""


class PathError(ValueError):
    """The text is no path."""


class Unfinished(PathError):
    """A bracket or a quote in it has no end."""


def plain_path(path: str) -> str | None:
    """`<a@b>` -> `a@b`, `<>` -> ""; None where it takes more than a glance to tell whether the address is good."""
    found = _PLAIN.fullmatch(path)
    if found:
        domain = found[2]
        if ".." in domain or "-" in domain or len(domain) > 63 or domain[-1].isdigit():
            return None
        return path[1:-1]
    if path == "<>" or _NO_DOMAIN.fullmatch(path):
        return path[1:-1]
    return None


def parse_path(path: str, *, strict: bool = False, utf8: bool = False) -> str:
    """`<a@b>` -> `a@b`; `<>` and `<"">` -> "". Raises PathError.

    `strict`: nothing but the address in its brackets. `utf8`: the domain may be one of RFC 6531.
    """
    if len(path) > LONGEST_PATH:
        raise PathError("too long")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise PathError("not UTF-8") from None
    if _unfinished(path):
        raise Unfinished("no end")
    if _CONTROL.search(path):
        raise PathError("control character")
    bracketed = path.startswith("<") and path.endswith(">")
    if strict and not bracketed:
        raise PathError("no angle brackets")
    inside = path[1:-1] if bracketed and len(path) > 1 else path
    if inside.startswith("@") and ":" in inside:
        # A source route: obsolete, to be accepted and dropped. RFC 5321 4.1.2, appendix F.2
        inside = inside.partition(":")[2]
    address = _Reader(inside, strict).address()
    if strict and address.startswith("@"):
        raise PathError("no local part")
    if not utf8 and not address.rpartition("@")[2].isascii() and "@" in address:
        raise PathError("a domain that needs SMTPUTF8")
    return address


def _unfinished(path: str) -> bool:
    """Whether the path lacks the end of its bracket or quote, as a line does that was cut (a zero byte ends it)."""
    depth = 0
    for quoted, quote, bracket in _BALANCE.findall(path.partition("\0")[0]):
        if quoted and not quote:
            return True
        depth = max(0, depth + (bracket == "<") - (bracket == ">"))
    return depth > 0


Token = tuple[str, str]


def _tokens(path: str, strict: bool) -> list[Token]:
    """(kind, text) pairs. Comments and blanks are dropped: they end a word, and mean nothing else."""
    found: list[Token] = []
    at = 0
    while at < len(path):
        match = _TOKEN.match(path, at)
        if match is None:  # a backslash with nothing behind it
            break
        kind = match.lastgroup or ""
        if kind == "comment":
            if strict:
                raise PathError("comment")
            at = _after_comment(path, at)
            continue
        at = match.end()
        if kind == "quote":
            found.append(("word", _ESCAPE.sub(r"\1", match["quoted"])))
        elif kind == "literal":
            text = _ESCAPE.sub(r"\1", match[kind])
            found.append(("word", text if text.endswith("]") else f"{text}]"))
        elif kind == "atom":
            found.append(("word", _ESCAPE.sub(r"\1", match[kind])))
        elif kind == "special":
            found.append((match[kind], match[kind]))
    return found


def _after_comment(path: str, at: int) -> int:
    """Where a comment ends: behind its closing parenthesis, or with the text."""
    depth = 0
    while at < len(path):
        char = path[at]
        if char == "\\":
            at += 1
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    return at


class _Reader:
    """A list of addresses of which there may be one at most, read from its end.

    From there it is plain what the words mean: before `<a@b>` they are somebody's name, and before the colon of
    `g: a@b;` that of a group, whatever they look like.
    """

    def __init__(self, path: str, strict: bool) -> None:
        self._tokens = _tokens(path, strict)
        self._strict = strict
        self._group = False

    def address(self) -> str:
        """The only address, or "". Raises PathError."""
        found: list[str] = []
        tokens = self._tokens
        while tokens:
            kind = tokens[-1][0]
            if kind == ">":
                tokens.pop()
                found += filter(None, [self._until("<")])
                if tokens:
                    self._pass_name()
            elif kind in ",;" or (kind == ":" and self._group):
                if self._strict:
                    raise PathError("a list")
                tokens.pop()
                self._group = kind == ";" or (self._group and kind == ",")
                if kind == ":":
                    self._until(",")
            else:
                found.append(self._bare())
        if len(found) > 1:
            raise PathError("more than one address")
        return found[0] if found else ""

    def _until(self, end: str) -> str:
        """The text back to a token of this kind, which stays."""
        pieces: list[str] = []
        while self._tokens and self._tokens[-1][0] != end:
            pieces.append(self._tokens.pop()[1])
        return "".join(reversed(pieces))

    def _pass_name(self) -> None:
        """Step over a bracket and what stands before it, up to the separator."""
        while self._tokens and self._tokens[-1][0] not in ">,;" and not (self._group and self._tokens[-1][0] == ":"):
            if self._strict and self._tokens[-1][0] != "<":
                raise PathError("text before the address")
            self._tokens.pop()

    def _bare(self) -> str:
        """An address without brackets: back to a word that nothing joins to the word behind it, or to a separator."""
        pieces: list[str] = []
        joined = True
        while self._tokens:
            kind, text = self._tokens[-1]
            if kind in ">,;" or (kind == ":" and self._group) or (kind == "word" and not joined):
                break
            if kind == "<" and self._strict:
                raise PathError("a bracket without end")
            joined = kind != "word"
            pieces.append(text)
            self._tokens.pop()
        return "".join(reversed(pieces))
