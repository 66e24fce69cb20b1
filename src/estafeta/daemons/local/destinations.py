"""The right-hand side of an alias: addresses, users, commands, files and included lists. aliases(5).

    ana, \\bea, list@other.example, "|/usr/bin/vacation ana", /var/archive/list, :include:/etc/mail/members

Addresses follow RFC 5322, with names, comments and groups; the other kinds are recognised by their first character,
inside or outside quotes. A backslash before a name quotes its first letter and means nothing more: an alias of that
name is followed, except from itself.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from estafeta.mail.mailboxes import scan

ADDRESS, COMMAND, FILE, INCLUDE = "address", "command", "file", "include"

LONGEST = 1024 * 1024
"""Characters of one right-hand side that are looked at. An alias with more than that belongs into a file."""


class Destination(NamedTuple):
    kind: str
    value: str
    """An address in internal form, or what stands behind `|` or `:include:`; a file with its slash."""
    quoted: bool = False


_ITEM = re.compile(
    r"""(?:"(?:[^"\\]|\\.)*(?:"|\\?\Z)|\((?:[^()\\]|\\.){0,2000}+\)|<[^<>]{0,2000}+>|\\.|[^",(<\\]|[(<\\])+""",
    re.DOTALL,
)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def parse(text: str) -> list[Destination]:
    """All destinations in `text`, in order."""
    found: list[Destination] = []
    plain: list[str] = []  # neighbours are read together: a group's members are separated by commas too
    for match in _ITEM.finditer(text[:LONGEST]):
        item = match[0].strip()
        special = _special(item)
        if special is None:
            plain.append(item)
            continue
        found += _addresses(plain)
        plain = []
        found.append(special)
    return found + _addresses(plain)


def parse_file(text: str) -> list[Destination]:
    """An included list: each line is read as a right-hand side; lines that begin with `#` are comments."""
    return [each for line in text.split("\n") if not line.startswith("#") for each in parse(line.rstrip("\r"))]


def _special(item: str) -> Destination | None:
    quoted = _QUOTED.fullmatch(item)
    value = _ESCAPE.sub(r"\1", quoted[1]) if quoted else item
    if value.startswith("|"):
        return Destination(COMMAND, value[1:].strip())
    if value.startswith("/") and (quoted or "@" not in value):
        return Destination(FILE, value)
    if value[:9].lower() == ":include:":
        return Destination(INCLUDE, value[9:].strip())
    return None


def _addresses(items: list[str]) -> list[Destination]:
    found = scan(", ".join(items)) if items else []
    return [Destination(ADDRESS, mailbox.address, mailbox.quoted) for mailbox in found if mailbox.address]
