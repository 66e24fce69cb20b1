"""The server's half of the command grammar: a line into a verb, its words and its parameters.

Lenient where Postfix is: blanks before the verb and between words are free, and a word may hold blanks inside `<...>`
or quotes, because clients write such addresses. RFC 5321 4.1.1, 4.1.2.
"""

from __future__ import annotations

import re

from estafeta.mail import xtext
from estafeta.mail.envelope import NOTIFY_DELAY, NOTIFY_FAILURE, NOTIFY_NEVER, NOTIFY_SUCCESS

# What words are made of: quoted strings, brackets, blanks, and anything else.
_PIECE = re.compile(r'(?P<quoted>"(?:\\.|[^"\\])*"?)|(?P<bracket>[<>])|(?P<blank>\s+)|\\.|[^\s"<>\\]+|\\', re.S)

NOTIFY_WORDS = {"SUCCESS": NOTIFY_SUCCESS, "FAILURE": NOTIFY_FAILURE, "DELAY": NOTIFY_DELAY, "NEVER": NOTIFY_NEVER}

LONGEST_ENVID = 100
LONGEST_ORCPT = 500


def split_command(line: str) -> tuple[str, str]:
    """A line without its end -> (verb in upper case, the rest without blanks around it)."""
    verb, _, rest = line.partition(" ")
    if not verb.isalnum():  # blanks other than a space may stand in it
        parts = line.split(None, 1)
        if not parts:
            return "", ""
        verb, rest = parts[0], parts[1] if len(parts) > 1 else ""
    return verb.upper(), rest.strip()


def words(arguments: str) -> list[str]:
    """The words of a command's arguments. `<a b@c> SIZE=1` is two, `<<a> b>` one."""
    if '"' not in arguments and "<" not in arguments and "\\" not in arguments:
        return arguments.split()
    found, start, depth = [], 0, 0
    for piece in _PIECE.finditer(arguments):
        if piece["bracket"]:
            depth = max(0, depth + (1 if piece["bracket"] == "<" else -1))
        elif piece["blank"] and not depth:
            found.append(arguments[start : piece.start()])
            start = piece.end()
    found.append(arguments[start:])
    return [word for word in found if word]


def split_path_command(arguments: str, keyword: str) -> tuple[str, list[str]] | None:
    """`FROM:<a@b> SIZE=1` -> ("<a@b>", ["SIZE=1"]); None where the syntax is not `keyword:path parameters`."""
    if arguments[: len(keyword)].upper() != keyword or arguments[len(keyword) : len(keyword) + 1] != ":":
        return None
    rest = arguments[len(keyword) + 1 :]
    end = rest.find(">") + 1
    if (
        end
        and rest[0] == "<"
        and "<" not in rest[1:end]
        and " " not in rest[:end]
        and '"' not in rest[:end]
        and "\\" not in rest[:end]
    ):
        if end == len(rest):
            return rest, []
        if rest[end] == " ":
            return rest[:end], rest[end:].split() if '"' not in rest and "<" not in rest[end:] else words(rest[end:])
    found = words(rest)
    return (found[0], found[1:]) if found else None


def parse_notify(value: str) -> int | None:
    """NOTIFY= of RCPT: bits as in mail.envelope; None if malformed. NEVER stands alone. RFC 3461 4.1."""
    bits = 0
    for word in value.upper().split(","):
        bit = NOTIFY_WORDS.get(word)
        if bit is None:
            return None
        bits |= bit
    return bits if not bits & NOTIFY_NEVER or bits == NOTIFY_NEVER else None


def parse_orcpt(value: str) -> str | None:
    """ORCPT= of RCPT: `rfc822;a+2Bb@c` -> `rfc822;a+b@c`; None if malformed. RFC 3461 4.2.

    `utf-8;` addresses may hold UTF-8 as it is (RFC 6533 3). Control characters become `?`: they would break reports.
    """
    kind, semicolon, address = value.partition(";")
    if not kind or not semicolon or len(value) > LONGEST_ORCPT:
        return None
    if kind.lower() == "utf-8" and not address.isascii():
        return value if address.isprintable() else None
    decoded = _decoded(address)
    if decoded is None:
        return None
    if not decoded.isprintable():
        decoded = "".join(char if char.isprintable() else "?" for char in decoded)
    return f"{kind};{decoded}"


def parse_xtext(value: str) -> str | None:
    """Decoded xtext that is printable text; None if it is malformed, empty or has control characters."""
    decoded = _decoded(value)
    return decoded if decoded and decoded.isprintable() else None


def _decoded(value: str) -> str | None:
    try:
        decoded = xtext.decode(value)
        decoded.encode("utf-8")
    except (xtext.XtextError, UnicodeEncodeError):
        return None
    return decoded
