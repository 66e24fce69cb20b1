"""The parts of a message, found while it streams by: multiparts, attached messages, their headers. RFC 2045, 2046.

`Walk.feed` takes content in pieces of any size and gives events in the order of the message; put together again, their
bytes are the content. Only the header of the part at hand is held, never a body. What is not well-formed is passed on
as body: a walk never fails. `seven_bit.py` converts with it, intake's strict rules look with it.

Time is linear: a body is searched for line beginnings with two hyphens only, and only while a multipart is open.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

DEEPEST = 100
"""mime_nesting_limit's default."""
BOUNDARY_LENGTH = 2048
"""mime_boundary_length_limit's default."""
LONGEST_HEADER = 1024 * 1024
"""Bytes of a part's header that are held; one that is longer is not taken apart."""
LONGEST_LINE = 16 * 1024
"""Bytes of an unfinished line that are held."""

_FIELD = re.compile(rb"[!-9;-~]++[ \t]*+:")
_ENCODING = re.compile(rb"content-transfer-encoding[ \t]*+:\s*+([^\s;(]*+)", re.I)
_TYPE = re.compile(rb"content-type[ \t]*+:\s*+([a-z0-9!#$&^_.+-]++)[ \t]*+/[ \t]*+([a-z0-9!#$&^_.+-]++)", re.I)
_BOUNDARY = re.compile(rb';\s*+boundary[ \t]*+=[ \t]*+(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]++))', re.I | re.S)
_ESCAPED = re.compile(rb"\\(.)", re.S)
EIGHT_BIT = frozenset({b"8bit", b"binary"})


class Kind(Enum):
    HEADER = 1
    """`data`: the fields of a part's header, whole; what follows (an empty line as a rule) comes as body."""
    BODY = 2
    """`data`: some of a body: whole lines, except where a line is longer than anybody holds."""
    BOUNDARY = 3
    """`data`: the line that begins or ends a part."""


class Part:
    """What a part's header says."""

    __slots__ = ("boundary", "encoding", "subtype", "type")

    def __init__(self, fields: list[bytes], *, in_digest: bool = False) -> None:
        self.type, self.subtype = (b"message", b"rfc822") if in_digest else (b"text", b"plain")
        self.encoding = b"7bit"
        """In lower case, as it stands there."""
        self.boundary = b""
        for field in fields:
            first = field[:1]
            if first not in b"cC":
                continue
            if (found := _TYPE.match(field)) is not None:
                self.type, self.subtype = found[1].lower(), found[2].lower()
                mark = _BOUNDARY.search(field, found.end())
                quoted = mark is not None and mark[1] is not None
                self.boundary = b"" if mark is None else mark[1] if quoted else mark[2]
                if quoted and b"\\" in self.boundary:
                    self.boundary = _ESCAPED.sub(rb"\1", self.boundary)
            elif (found := _ENCODING.match(field)) is not None:
                self.encoding = found[1].lower() or b"7bit"

    @property
    def multipart(self) -> bool:
        return self.type == b"multipart"

    @property
    def nested(self) -> bool:
        """Its body is a message with a header of its own."""
        return self.type == b"message" and self.subtype in (b"rfc822", b"global")


class Event(NamedTuple):
    kind: Kind
    data: bytes
    part: Part | None
    """The part whose header or body this is; None for what stands between parts, or when it is not known."""
    fields: list[bytes] = []  # noqa: RUF012 - never changed
    """Of a HEADER: each field with its continuation lines and line end."""


class Walk:
    """Feed, then `finish`."""

    def __init__(self, *, deepest: int = DEEPEST, boundary_length: int = BOUNDARY_LENGTH) -> None:
        self._deepest = deepest
        self._boundary_length = boundary_length
        self._open: list[tuple[bytes, bool, int]] = []  # boundary, whether of a digest, depth outside it
        self._depth = 0
        self._fields: list[bytes] | None = []  # None: in a body
        self._size = 0
        self._digest = False
        self._part: Part | None = None
        self._held = b""
        self._in_line = False  # the body's line goes on: its beginning was given already

    def feed(self, data: bytes) -> Iterator[Event]:
        """The next piece of content, with LF or CRLF line ends."""
        data = self._held + data if self._held else data
        self._held = b""
        at, end = 0, len(data)
        while at < end:
            if self._fields is not None:
                stop = data.find(b"\n", at) + 1
                if not stop:
                    if end - at < LONGEST_LINE:
                        self._held = data[at:]
                        return
                    yield from self._end_header()
                    continue
                yield from self._header_line(data[at:stop])
                at = stop
                continue
            stop = self._end_of_body(data, at)
            if stop == at and not self._in_line and data.startswith(b"--", at):
                stop = data.find(b"\n", at) + 1
                if not stop and end - at < self._boundary_length + 8:
                    self._held = data[at:]
                    return
                stop = stop or end
                line = data[at:stop]
                if self._is_boundary(line):
                    yield from self._boundary(line)
                else:
                    yield from self._body(line)
                at = stop
                continue
            if stop == end and end - data.rfind(b"\n", at) - 1 < LONGEST_LINE:
                # An unfinished line is kept: it may be a boundary, and its blanks may turn out to be at its end.
                stop = data.rfind(b"\n", at) + 1
                self._held = data[max(stop, at) :]
                if stop <= at:
                    return
                yield from self._body(data[at:stop])
                return
            yield from self._body(data[at:stop])
            at = stop

    def finish(self) -> Iterator[Event]:
        """The content is complete."""
        rest, self._held = self._held, b""
        if rest and self._fields is not None:
            yield from self._header_line(rest)
        elif rest and not self._in_line and self._is_boundary(rest):
            yield from self._boundary(rest)
        elif rest:
            yield from self._body(rest)
        if self._fields is not None:
            yield from self._end_header()

    # --- steps

    def _end_of_body(self, data: bytes, at: int) -> int:
        """Where a line begins that may be a boundary, or the end of the data."""
        if not self._open:
            return len(data)
        if not self._in_line and data.startswith(b"--", at):
            return at
        found = data.find(b"\n--", at)
        return found + 1 if found >= 0 else len(data)

    def _body(self, data: bytes) -> Iterator[Event]:
        self._in_line = not data.endswith(b"\n")
        yield Event(Kind.BODY, data, self._part)

    def _header_line(self, line: bytes) -> Iterator[Event]:
        assert self._fields is not None
        if self._open and line.startswith(b"--") and self._is_boundary(line):
            yield from self._end_header()
            yield from self._boundary(line)
            return
        if line[:1] in (b" ", b"\t") and self._fields:
            self._fields[-1] += line
        elif _FIELD.match(line):
            self._fields.append(line)
        else:
            yield from self._end_header()
            if self._fields is None or not line.strip(b"\r\n"):
                yield from self._body(line)
            else:
                yield from self._header_line(line)
            return
        self._size += len(line)
        if self._size > LONGEST_HEADER:
            yield from self._end_header()

    def _end_header(self) -> Iterator[Event]:
        fields, self._fields = self._fields or [], None
        part = Part(fields, in_digest=self._digest)
        self._digest = False
        self._size = 0
        yield Event(Kind.HEADER, b"".join(fields), part, fields)
        self._part = part
        if (part.multipart and part.boundary) or part.nested:
            if self._depth >= self._deepest:
                return  # taken for plain text
            self._depth += 1
        if part.multipart and part.boundary:
            self._open.append(
                (part.boundary[: self._boundary_length], part.subtype == b"digest", self._depth),
            )
        elif part.nested:
            # The empty line behind this header belongs to it; then the header of the message inside begins.
            self._fields = []

    def _is_boundary(self, line: bytes) -> bool:
        return any(line.startswith(mark, 2) for mark, _, _ in self._open) if line.startswith(b"--") else False

    def _boundary(self, line: bytes) -> Iterator[Event]:
        """A line beginning with the boundary counts, whatever comes after: RFC 2046 5.1.2."""
        depth = max(at for at, (mark, _, _) in enumerate(self._open) if line.startswith(mark, 2))
        mark, self._digest, self._depth = self._open[depth]
        last = line.startswith(b"--", 2 + len(mark))
        del self._open[depth if last else depth + 1 :]
        self._in_line = False
        self._part = None
        self._fields = None if last else []
        yield Event(Kind.BOUNDARY, line, None)


def headers_ascii(pieces: Iterable[bytes]) -> bool:
    """Whether all headers of a message are ASCII, those of its parts and of the messages in it as well. RFC 6532 3."""
    walk = Walk()
    for piece in pieces:
        for event in walk.feed(piece):
            if event.kind is Kind.HEADER and not event.data.isascii():
                return False
    return all(event.kind is not Kind.HEADER or event.data.isascii() for event in walk.finish())
