"""Reading a message from standard input: lines of any length with LF or CRLF ends in, CRLF content out.

Only the header is kept, and only for `-t`; everything else passes through in pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from estafeta.mail import header, mailboxes

PIECE = 64 * 1024
HEADER_LIMIT = 16 * 1024 * 1024
"""Bytes of header that `-t` looks into; what follows is content like any other."""

_BARE = re.compile(rb"(?<!\r)\n")
_SEPARATOR = re.compile(rb">*From ", re.IGNORECASE)
_DOT = re.compile(rb"^\.\r?\n", re.MULTILINE)

TO, RESENT_TO = (b"to", b"cc", b"bcc", b"apparently-to"), (b"resent-to", b"resent-cc", b"resent-bcc")


class Input:
    """One message. Iterate over `pieces` once; `header` may be asked for before."""

    def __init__(self, source: BinaryIO, *, dot_ends: bool, line_ends: str = "always") -> None:
        """`line_ends`: sendmail_fix_line_endings: always, strict (as the first line does) or never."""
        self._source = source
        self._dot_ends = dot_ends
        self._line_ends = line_ends
        self._rest = b""
        self._ended = False
        self._first = True
        self._mid_line = False
        self._start: list[bytes] = []

    def header(self) -> bytes:
        """The header fields at the beginning, read ahead; they come in `pieces` all the same."""
        data = b""
        length = 0
        wanted = PIECE
        while length <= HEADER_LIMIT:
            piece = self._next()
            if piece is not None:
                self._start.append(piece)
                length += len(piece)
                if length < wanted and b"\r\n\r\n" not in piece:
                    continue
                wanted = 2 * length
            data = b"".join(self._start)
            end = header.end_of_fields(data, piece is None)
            if end >= 0:
                return data[:end]
        return data[: header.end_of_fields(data, True)]

    def pieces(self) -> Iterator[bytes]:
        """The content, whole lines with CRLF ends."""
        start, self._start = self._start, []
        yield from start
        while (piece := self._next()) is not None:
            yield piece

    def _next(self) -> bytes | None:
        """Some whole lines; None at the end."""
        while not self._ended:
            data = self._source.read(PIECE)
            held = self._rest + data
            if not data:
                self._ended = True
                self._rest = b""
                if held and not held.endswith(b"\n"):
                    held += b"\n"
            else:
                end = held.rfind(b"\n") + 1
                if not end:
                    if len(held) < 16 * PIECE:
                        self._rest = held
                        continue
                    # An endless line is passed on in parts, none of which may end in half a line end.
                    end = len(held) - held.endswith(b"\r")
                self._rest = held[end:]
                held = held[:end]
            if not held:
                continue
            piece = self._converted(held)
            self._mid_line = not held.endswith(b"\n")
            if piece:
                return piece
        return None

    def _converted(self, lines: bytes) -> bytes:
        if self._first:
            self._first = False
            end = lines.find(b"\n") + 1 or len(lines)
            if self._line_ends == "strict":
                self._line_ends = "always" if lines[:end].endswith(b"\r\n") else "never"
            if _SEPARATOR.match(lines):
                lines = lines[end:]  # the first line of an mbox file is not part of the message
        if self._dot_ends and b"." in lines:
            dot = _DOT.search(lines, lines.find(b"\n") + 1 if self._mid_line else 0)
            if dot is not None:
                self._ended = True
                lines = lines[: dot.start()]
        if self._line_ends == "never":
            return lines.replace(b"\n", b"\r\n")
        return _BARE.sub(b"\r\n", lines) if lines.count(b"\r\n") != lines.count(b"\n") else lines


def recipients_in(head: bytes) -> list[str]:
    """Whom a header names: Resent-To, Resent-Cc and Resent-Bcc if any of them is there, else To, Cc and Bcc."""
    found = header.fields(head)
    resent = any(each.name in RESENT_TO for each in found)
    wanted = RESENT_TO if resent else TO
    everyone: list[str] = []
    for each in found:
        if each.name in wanted:
            text = head[each.value : each.end].decode("utf-8", "surrogateescape")
            everyone += (address for address in mailboxes.addresses(text) if address)
    return everyone
