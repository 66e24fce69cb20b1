"""The header block: where it ends, which fields it has, what they say. RFC 5322 2.2, bytes with CRLF line ends.

One pass with compiled patterns finds all fields; nothing is copied until somebody asks for a value. A header ends
at the first line that is neither a field nor the continuation of one, which need not be empty: mail with a broken
header must still pass, so what follows is body then.

Patterns are possessive, so that no hostile input makes them backtrack.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import NamedTuple

_FIELD_LINE = rb"[!-9;-~]++[ \t]*+:"
_BLOCK = re.compile(rb"(?:" + _FIELD_LINE + rb"[^\n]*+\n(?:[ \t][^\n]*+\n)*+)*+")
_NAME = re.compile(rb"\n([!-9;-~]++)[ \t]*+:")
_FIELD_END = re.compile(rb"\n(?![ \t])")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_COULD_BE_FIELD = re.compile(rb"[!-9;-~]*+(?:[ \t]*+:[^\n]*+)?+\r?\Z|[ \t][^\n]*+\Z")


class Field(NamedTuple):
    """One field: `head[start:end]` is all of it with its CRLF, `head[value:end]` what follows the colon."""

    name: bytes
    """In lower case."""
    start: int
    value: int
    end: int


def end_of_fields(data: bytes, final: bool) -> int:
    """Length of the run of header fields that `data` begins with; -1 if more data may change the answer.

    `final`: there is no more. The empty line behind the fields, if there is one, is not counted.
    """
    match = _BLOCK.match(data)
    assert match is not None  # the empty run always matches
    end = match.end()
    if final:
        return end
    rest = len(data) - end
    if rest == 0 or (rest == 1 and data[end] == 0x0D):
        return -1
    # An unfinished line may still turn out to be a field, or to continue the last one.
    if data.find(b"\n", end) < 0 and _COULD_BE_FIELD.match(data, end):
        return -1
    return end


def fields(head: bytes) -> list[Field]:
    """All fields of a block that `end_of_fields` has delimited (an empty line at its end does no harm)."""
    found: list[Field] = []
    begun: tuple[bytes, int, int] | None = None
    for match in _NAME.finditer(b"\n" + head):
        # offsets are one less in `head` than in the text with the line feed in front
        start = match.start()
        if begun is not None:
            found.append(Field(*begun, start))
        begun = (match[1].lower(), start, match.end() - 1)
    if begun is not None:
        found.append(Field(*begun, _end_of_last(head)))
    return found


def find(head: bytes, wanted: Container[bytes]) -> list[Field]:
    """As `fields`, but only those whose names (lower case) are wanted: most of a header interests nobody."""
    found: list[Field] = []
    for match in _NAME.finditer(b"\n" + head):
        name = match[1].lower()
        if name in wanted:
            value = match.end() - 1
            end = _FIELD_END.search(head, value)
            found.append(Field(name, match.start(), value, end.end() if end else len(head)))
    return found


def _end_of_last(head: bytes) -> int:
    return len(head) - 2 if head.endswith(b"\r\n\r\n") else len(head)


def unfolded(head: bytes, field: Field) -> str:
    """The value in one line, without blanks at its ends. Bytes that are not UTF-8 become surrogate escapes."""
    raw = head[field.value : field.end].strip()
    if b"\n" in raw:
        raw = _FOLD.sub(b"", raw)
    return raw.decode("utf-8", "surrogateescape")


def first(head: bytes, found: list[Field], name: bytes) -> str | None:
    """The value of the first field of that name (lower case), unfolded; None if there is none."""
    for field in found:
        if field.name == name:
            return unfolded(head, field)
    return None


def line(name: str, value: str) -> bytes:
    """A field as it goes into a message: `Name: value` and CRLF. `value` must be folded already if it is long."""
    return f"{name}: {value}\r\n".encode("utf-8", "surrogateescape")
