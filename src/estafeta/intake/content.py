"""The content of a message as it arrives: pieces of any size in, a header block and body pieces out. No I/O.

The body is never joined or copied: the pieces go to disk as they came. Lines end in CRLF; a lone CR or LF, which
somebody else might take for a line end, becomes a blank (cleanup_replace_stray_cr_lf).
"""

from __future__ import annotations

import re

from estafeta.mail.header import end_of_fields

HEADER_LIMIT = 1024 * 1024
"""Bytes of header that are held while waiting for its end."""

_STRAY = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_MAILBOX_LINE = re.compile(rb">*+From ", re.IGNORECASE)
_MAILBOX_LINES = re.compile(rb"(?:>*+From [^\n]*+\n)++", re.IGNORECASE)
ODD_END = 100
"""Bytes that are shown of a line that ended a header and should not have."""
_ENOUGH = 64
"""Bytes that tell whether the first line is a mailbox separator."""


class HeaderTooBig(Exception):
    """No end of the header within HEADER_LIMIT."""


class Content:
    """Feed, then `close`. `head` is None until the end of the header is known."""

    __slots__ = (
        "_carry",
        "_fix_strays",
        "_header_limit",
        "_look_at",
        "_open_line",
        "_start",
        "_started",
        "_strip",
        "blank",
        "body",
        "head",
        "held",
        "lines",
        "octets",
        "odd_end",
    )  # fmt: skip

    def __init__(self, *, fix_strays: bool, strip: bytes = b"", header_limit: int = HEADER_LIMIT) -> None:
        self._fix_strays = fix_strays
        self._strip = strip
        self._header_limit = header_limit
        self._carry = False
        self._start: list[bytes] = []
        self._started = 0
        self._look_at = 0
        self.head: bytes | None = None
        """The fields as they came, without the empty line behind them."""
        self.body: list[bytes] = []
        """Without the empty line before it."""
        self.odd_end = b""
        """The beginning of the line that ended the header, if that was neither empty nor a field."""
        self.blank = False
        """Whether an empty line ends the header: always, unless there is nothing but a header."""
        self.held = 0
        """Bytes in `body`; whoever takes pieces away sets it to 0."""
        self.octets = 0
        """All bytes taken in so far."""
        self.lines = 0
        self._open_line = False

    @property
    def size(self) -> int:
        """Bytes so far with a line end counted as one."""
        return self.octets - self.lines

    @property
    def body_size(self) -> int:
        """The same for the body alone."""
        head = self.head or b""
        return self.size - (len(head) - head.count(b"\n")) - self.blank

    def feed(self, data: bytes) -> None:
        """The next piece. Raises HeaderTooBig."""
        if self._carry:
            data = b"\r" + data
            self._carry = False
        if data.endswith(b"\r"):
            data = data[:-1]
            self._carry = True
        if not data:
            return
        if self._strip:
            data = data.translate(None, self._strip)
        lines = data.count(b"\n")
        if self._fix_strays and (data.count(b"\r\n") != lines or data.count(b"\r") != lines):
            data = _STRAY.sub(b" ", data)
            lines = data.count(b"\n")
        self._take(data, lines)

    def _take(self, data: bytes, lines: int) -> None:
        self.lines += lines
        self.octets += len(data)
        self._open_line = not data.endswith(b"\n")
        if self.head is not None:
            self.body.append(data)
            self.held += len(data)
            return
        self._start.append(data)
        self._started += len(data)
        # Look when an empty line may have come, or the amount has doubled: so looking stays linear altogether.
        if self._started >= _ENOUGH and (
            self._started >= self._look_at or b"\r\n\r\n" in data or data.startswith((b"\n", b"\r\n"))
        ):
            self._look(final=False)
            self._look_at = 2 * self._started

    def close(self) -> None:
        """There is no more. The last line gets its line end if it has none. Raises HeaderTooBig."""
        if self._carry:
            self._carry = False
            self._take(b" " if self._fix_strays else b"\r", 0)
        if self.head is None:
            self._look(final=True)
        if self._open_line:
            self.body.append(b"\r\n")
            self.held += 2
            self.octets += 2
            self.lines += 1

    def _look(self, *, final: bool) -> None:
        start = self._start[0] if len(self._start) == 1 else b"".join(self._start)
        if _MAILBOX_LINE.match(start):
            # The separator of mbox files is no header; kept under a name of its own, as are its copies behind it.
            whole = _MAILBOX_LINES.match(start)
            end = whole.end() if whole is not None else 0
            if not final and start.find(b"\n", end) < 0 and self._started < HEADER_LIMIT:
                self._start = [start]  # the next line may be another one
                return
            lines = start.count(b"\n", 0, end) + (_MAILBOX_LINE.match(start, end) is not None)
            parts = start.split(b"\n", lines)
            start = b"\n".join([*(b"X-Mailbox-Line: " + part for part in parts[:lines]), *parts[lines:]])
            self.octets += 16 * lines
            self._started += 16 * lines
        if final and start and not start.endswith(b"\n"):
            start += b"\r\n"
            self.octets += 2
            self.lines += 1
            self._open_line = False
        end = end_of_fields(start, final)
        if end < 0:
            if 0 < self._header_limit < self._started:
                raise HeaderTooBig
            self._start = [start]
            return
        if 0 < self._header_limit < end:
            raise HeaderTooBig
        self._start = []
        self.head = start[:end]
        rest = start[end:]
        if not rest:
            return
        if not rest.startswith(b"\r\n"):
            # A line that is no field ends the header; the empty line that should have been there is put in.
            self.octets += 2
            self.lines += 1
            self.odd_end = rest[:ODD_END].partition(b"\r\n")[0]
        else:
            rest = rest[2:]
        self.blank = True
        if rest:
            self.body.append(rest)
            self.held += len(rest)
