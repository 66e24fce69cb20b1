"""The kinds of parameter, and how one is declared.

A subject file in `params/` is a class whose body is its parameters:

    class SmtpdLimits:
        smtpd_helo_required = flag("no", "Whether a client must introduce itself with HELO or EHLO before MAIL.")

Each function here returns a `Parameter`, but says to the type checker that it returns the value's type, so
`conf.smtpd_helo_required` is a bool to mypy and a plain instance attribute at run time. `Config` (instance.py)
inherits every subject class and fills the attributes in when a configuration is loaded.

`default` is the text that Postfix 3.12 prints (facts/parameters.tsv): it may contain `$name` expressions and is
expanded like a value from main.cf. `pending=True` marks a parameter whose behaviour does not exist yet: setting
it warns once. `name` is needed only where the parameter's name is not a Python identifier.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One declaration. `parse` turns the expanded text into the value and raises ValueError with the reason."""

    kind: str
    default: str
    text: str
    parse: Callable[[str], Any]
    expand: bool = True
    pending: bool = False
    obsolete: bool = False
    name: str = ""
    limits: str = ""
    """For the manual: `at least 1`, `at most 100`, or the words of a choice. Empty where anything of the kind goes."""


class LimitError(ValueError):
    """A number beyond its limits; `nearest` is the limit that it passed."""

    def __init__(self, text: str, nearest: int) -> None:
        super().__init__(text)
        self.nearest = nearest


def flag(default: str, text: str, *, pending: bool = False, obsolete: bool = False, name: str = "") -> bool:
    """yes or no."""
    return cast(bool, Parameter("flag", default, text, parse_flag, True, pending, obsolete, name))


def number(
    default: str,
    text: str,
    *,
    least: int = 0,
    most: int = 0,
    pending: bool = False,
    obsolete: bool = False,
    name: str = "",
) -> int:
    """A whole number; `most` 0 for no upper limit. Sizes are numbers too, in bytes."""
    parse = _number_parser(least, most)
    return cast(int, Parameter("number", default, text, parse, True, pending, obsolete, name, _range(least, most)))


def seconds(
    default: str,
    text: str,
    *,
    least: int = 0,
    most: int = 0,
    pending: bool = False,
    obsolete: bool = False,
    name: str = "",
) -> int:
    """A time span: a number with s, m, h, d or w. A number without a unit takes the unit of the default. In seconds.

    `most` 0 for no upper limit.
    """
    parse = _seconds_parser(default, least, most)
    limits = _range(least, most, "s")
    return cast(int, Parameter("seconds", default, text, parse, True, pending, obsolete, name, limits))


def text(
    default: str,
    text: str,
    *,
    least: int = 0,
    most: int = 0,
    pending: bool = False,
    obsolete: bool = False,
    name: str = "",
) -> str:
    """Free text, `$name` expanded. `least` and `most` count characters; `most` 0 for no upper limit."""
    parse = _text_parser(least, most) if least or most else str
    return cast(str, Parameter("text", default, text, parse, True, pending, obsolete, name))


def raw(
    default: str, text: str, *, least: int = 0, pending: bool = False, obsolete: bool = False, name: str = ""
) -> str:
    """Free text whose `$name` are expanded at each use, not when the configuration is read."""
    parse = _text_parser(least, 0) if least else str
    return cast(str, Parameter("raw", default, text, parse, False, pending, obsolete, name))


def words(
    default: str,
    text: str,
    *,
    least: int = 0,
    among: str = "",
    pending: bool = False,
    obsolete: bool = False,
    name: str = "",
) -> tuple[str, ...]:
    """A list, split at commas and white space; `{ ... }` holds a member together and keeps its braces.

    `least` 1 for a list that may not be empty; `among` names the only words that may be in it, in any case.
    """
    parse = _words_among(among.split(), least) if among else _words_parser if least else parse_words
    return cast("tuple[str, ...]", Parameter("words", default, text, parse, True, pending, obsolete, name))


def code(default: str, text: str, *, pending: bool = False, obsolete: bool = False, name: str = "") -> int:
    """A three-digit SMTP reply code."""
    return cast(int, Parameter("code", default, text, _parse_code, True, pending, obsolete, name))


def choice(
    default: str,
    text: str,
    values: str,
    *,
    empty: bool = False,
    pending: bool = False,
    obsolete: bool = False,
    name: str = "",
) -> str:
    """One of the words in `values`, in any letter case; kept in lower case.

    The empty text is allowed where the default is empty or `empty` says so.
    """
    parse = _choice_parser(values.split(), allow_empty=empty or not default)
    limits = ", ".join(values.split())
    return cast(str, Parameter("choice", default, text, parse, True, pending, obsolete, name, limits))


def mirror(source: Value, name: str, text: str, *, pending: bool = False, obsolete: bool = False) -> Value:
    """A parameter that follows another one, `name`, until it is set itself: same kind, default `$name`.

    `source` is that other declaration, as in `mirror(SmtpdTls.smtpd_tls_loglevel, "smtpd_tls_loglevel", "...")`.
    """
    original = cast(Parameter, source)
    copy = replace(original, default="$" + name, text=text, pending=pending, obsolete=obsolete, name="")
    return cast(Value, copy)


def parse_flag(value: str) -> bool:
    if value.lower() == "yes":
        return True
    if value.lower() == "no":
        return False
    raise ValueError(f"bad boolean value {value!r}: write yes or no")


MOST_SECONDS = 0x7FFF_FFFF
"""The longest time that Postfix takes, 68 years. What is longer is a slip."""

MOST_DIGITS = 18
"""In a number: what is beyond them fits into no 64 bits, and no system call or message between processes takes it."""
_NUMBER = re.compile(r"[+-]?[0-9]+")

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_seconds(value: str, default_unit: str = "s") -> int:
    """`5d` -> 432000. Raises ValueError."""
    number, unit = value, default_unit
    if value[-1:].lower() in UNIT_SECONDS:
        number, unit = value[:-1], value[-1].lower()
    if not (number.isascii() and number.isdigit()):
        raise ValueError(f"bad time {value!r}: write a number with s, m, h, d or w, as in 30m")
    if len(number.lstrip("0")) > 10 or int(number) * UNIT_SECONDS[unit] > MOST_SECONDS:
        raise ValueError(f"bad time {value!r}: {MOST_SECONDS} seconds are the most")
    return int(number) * UNIT_SECONDS[unit]


def parse_words(value: str) -> tuple[str, ...]:
    """Members of a list. `{ a, b }` is one member, braces kept. Raises ValueError on a missing brace."""
    if "{" not in value:
        return tuple(value.replace(",", " ").split())
    found: list[str] = []
    word, depth = "", 0
    for char in value:
        if depth == 0 and (char.isspace() or char == ","):
            if word:
                found.append(word)
            word = ""
            continue
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth < 0:
            raise ValueError(f"'}}' without '{{' in {value!r}")
        word += char
    if depth:
        raise ValueError(f"missing '}}' in {value!r}")
    return (*found, word) if word else tuple(found)


def _number_parser(least: int, most: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not _NUMBER.fullmatch(value):
            raise ValueError(f"bad number {value!r}: write digits only")
        if len(value) > MOST_DIGITS:
            raise ValueError(f"bad number {value!r}: {MOST_DIGITS} digits are the most")
        result = int(value)
        if result < least:
            raise LimitError(f"{result} is too small: the least is {least}", least)
        if most and result > most:
            raise LimitError(f"{result} is too large: the most is {most}", most)
        return result

    return parse


def _range(least: int, most: int, unit: str = "") -> str:
    ends = [f"at least {least}{unit}"] if least else []
    ends += [f"at most {most}{unit}"] if most else []
    return ", ".join(ends)


def _text_parser(least: int, most: int) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if not value and least:
            raise ValueError("the value may not be empty: remove the line to get the default")
        if len(value) < least:
            raise ValueError(f"{value!r} is too short: at least {least} characters")
        if most and len(value) > most:
            raise ValueError(f"{value!r} is too long: at most {most} characters")
        return value

    return parse


def _words_parser(value: str) -> tuple[str, ...]:
    found = parse_words(value)
    if not found:
        raise ValueError("the list may not be empty: remove the line to get the default")
    return found


def _seconds_parser(default: str, least: int, most: int) -> Callable[[str], int]:
    unit = default[-1:].lower() if default[-1:].lower() in UNIT_SECONDS else "s"

    def parse(value: str) -> int:
        result = parse_seconds(value, unit)
        if result < least:
            raise LimitError(f"{value} is too short: the least is {least}s", least)
        if most and result > most:
            raise LimitError(f"{value} is too long: the most is {most}s", most)
        return result

    return parse


def _words_among(known: list[str], least: int) -> Callable[[str], tuple[str, ...]]:
    split = _words_parser if least else parse_words

    def parse(value: str) -> tuple[str, ...]:
        found = tuple(word.lower() for word in split(value))
        for word in found:
            if word not in known:
                raise ValueError(f"unknown word {word!r} in {value!r}: the words are {', '.join(known)}")
        return found

    return parse


def _parse_code(value: str) -> int:
    if len(value) != 3 or not value.isdigit() or value[0] not in "2345":
        raise ValueError(f"bad reply code {value!r}: write three digits, as in 550")
    return int(value)


def _choice_parser(values: list[str], *, allow_empty: bool) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.lower() in values or (allow_empty and not value):
            return value.lower()
        raise ValueError(f"{value!r} is not one of: {', '.join(values)}")

    return parse
