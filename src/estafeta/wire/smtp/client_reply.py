"""What an SMTP or LMTP server answers, read from the client's side: bytes in, replies out.

    250-mx.example.com        a continuation
    250 SIZE 10240000         the last line: code, blank, text

RFC 5321 4.2, enhanced status codes RFC 2034. A server may say anything: lines are cut at a length, replies end after
a number of lines, what is not printable becomes `?` (the text goes to logs and reports). A line without a three-digit
code makes its reply `garbled`: such an answer means nothing, and who pipelined can no longer tell which answer
belongs to which command.
"""

from __future__ import annotations

import re
from collections.abc import Callable

LONGEST_LINE = 2048
"""Bytes of one line, and of the text of one reply, that are kept."""
MOST_LINES = 1000
"""Lines of one reply. More is no answer but an attack or a loop."""

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?![^ \t])")
_PLAIN = re.compile(rb"([2-5]\d\d [ -~]{0,500})\r\n")
_UNPRINTABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\ufffd]")


class Reply:
    """One whole answer. `code` is 0 for a garbled one."""

    __slots__ = ("code", "dsn", "garbled", "lines")

    def __init__(self, code: int, lines: list[str], dsn: str, *, garbled: bool = False) -> None:
        self.code = code
        self.lines = lines
        """As they came, with their codes, without line ends."""
        self.dsn = dsn
        """The enhanced status code of the last line where it fits the code; else `c.0.0`, c the code's first digit."""
        self.garbled = garbled

    @property
    def text(self) -> str:
        """All lines in one, as logs and reports show it."""
        return self.lines[0] if len(self.lines) == 1 else " ".join(self.lines)

    @property
    def kind(self) -> int:
        """2, 3, 4 or 5; 0 for what is not understood, as is a refusal with garbage in it."""
        kind = self.code // 100
        if self.garbled and kind > 3:
            return 0
        return kind if 2 <= kind <= 5 else 0


class ReplyReader:
    """Feed it what arrives; `next_reply` gives whole replies until it needs more bytes."""

    __slots__ = ("_code", "_count", "_garbled", "_held", "_kept", "_lines", "_seen", "_skipping", "cut", "rewrite")

    def __init__(self) -> None:
        self._held = bytearray()
        self._seen = 0
        self._lines: list[str] = []
        self._kept = 0
        self._count = 0
        self._garbled = False
        self._skipping = False
        self._code = ""
        self.cut = ""
        """The beginning of a line that was longer than `LONGEST_LINE`; whoever tells of it empties it."""
        self.rewrite: Callable[[str], str | None] | None = None
        """Another text for a line, before anything else is made of it; None leaves it (smtp_reply_filter)."""

    def feed(self, data: bytes) -> None:
        self._held += data

    @property
    def pending(self) -> bool:
        """Whether bytes are here that have not been read: an answer to nothing, if nothing was asked."""
        return bool(self._held or self._lines)

    @property
    def unfinished(self) -> list[str]:
        """The lines so far of a reply that has not ended."""
        return self._lines

    def next_reply(self) -> Reply | None:
        """The next whole reply; None: give me more bytes."""
        if not self._lines and self.rewrite is None and (plain := _PLAIN.match(self._held)) is not None:
            # Nearly every answer is one short line of plain text.
            line = plain[1].decode("ascii")
            del self._held[: plain.end()]
            self._seen = 0
            return Reply(int(line[:3]), [line], _status(line))
        while True:
            line = self._line()
            if line is None:
                return None
            rewritten = self.rewrite(line) if self.rewrite is not None else None
            if rewritten is not None:
                line = rewritten
            code = line[:3]
            good = code.isdigit() and code.isascii() and len(code) == 3 and line[3:4] in ("", " ", "-", "\t")
            # Lines of one reply bear one code (RFC 5321 4.2.1); which of several was meant, nobody knows.
            # What the administrator put in the place of noise is no such doubt.
            self._garbled = self._garbled or not good or (rewritten is None and code != (self._code or code))
            if rewritten is None:
                self._code = self._code or code
            if self._kept < LONGEST_LINE:
                self._lines.append(line)
                self._kept += len(line)
            self._count += 1
            endless = self._count >= MOST_LINES
            if (not good or line[3:4] == "-") and not endless:
                continue
            lines, garbled = self._lines, self._garbled or endless
            self._lines, self._kept, self._count, self._garbled, self._code = [], 0, 0, False, ""
            return Reply(0 if endless else int(code), lines, _status(line), garbled=garbled)

    def _line(self) -> str | None:
        held = self._held
        end = held.find(b"\n", self._seen)
        if end < 0:
            if len(held) > LONGEST_LINE and not self._skipping:
                # Keep the beginning, forget the rest of the line when its end comes.
                self._skipping = True
            if self._skipping:
                del held[LONGEST_LINE:]
            self._seen = len(held)
            return None
        raw = bytes(held[: min(end, LONGEST_LINE)])
        if self._skipping or end > LONGEST_LINE:
            self.cut = raw[:30].decode("utf-8", "replace")
        del held[: end + 1]
        self._seen = 0
        self._skipping = False
        line = raw.rstrip(b"\r").decode("utf-8", "replace")
        return line if line.isprintable() else _UNPRINTABLE.sub("?", line)


def _status(line: str) -> str:
    kind = line[:1]
    found = _ENHANCED.match(line[3:].lstrip())
    if found and found[1][0] == kind:
        return found[1]
    return f"{kind}.0.0" if kind in ("2", "4", "5") else "5.5.0"
