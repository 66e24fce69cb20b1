"""Message content as it comes over SMTP: where it ends, and nothing but CRLF passed on.

`DataDecoder` reads what follows DATA, up to the line with only a dot (RFC 5321 4.5.2); `LineNormalizer` reads what
comes in BDAT chunks, whose length is known (RFC 3030 2). Both hand out content whose every line ends in CRLF.

A peer that disagrees with us about where a line ends can smuggle a second message into the content, so there is
one place for the rule. With `strict`, a line ends at LF with one CR before it or none, the final dot counts only
between two CRLF, and a line with only a dot between other line ends is dropped. Without it, all CRs before a LF belong
to the line end, and any line with only a dot is the last. Both are Postfix's rules, with smtpd_forbid_bare_newline =
normalize and = no. A CR elsewhere becomes a space (cleanup_replace_stray_cr_lf).

The usual content, all CRLF and no dots, is found out with three counts and passed on without a copy of its lines.
"""

from __future__ import annotations

LONG_PART = 8192
"""A line longer than this is passed on in parts, so that a line without end is never held in memory."""


class LineNormalizer:
    """Bytes in, CRLF lines out. `bare_newline` turns true when a line ended in LF without CR."""

    __slots__ = ("_held", "_replace", "_strict", "bare_newline")

    def __init__(self, *, strict: bool = True, replace_stray: bool = True) -> None:
        self._held = b""
        self._strict = strict
        self._replace = replace_stray
        self.bare_newline = False

    def feed(self, data: bytes) -> bytes:
        """The content so far; the beginning of a line may be held back until its end is seen."""
        if self._held:
            data = self._held + data
            self._held = b""
        end = data.rfind(b"\n") + 1
        if end < len(data):
            rest = data[end:]
            # The CRs at the end may belong to a line end whose LF is still on its way.
            keep = len(rest.rstrip(b"\r")) if len(rest) > LONG_PART else 0
            self._held = rest[keep:]
            return self._lines(data[:end]) + self._inside(rest[:keep])
        return self._lines(data)

    def finish(self) -> bytes:
        """What was held back; a last line without an end gets one."""
        rest, self._held = self._held, b""
        return self._inside(rest) + b"\r\n" if rest else b""

    def _lines(self, lines: bytes) -> bytes:
        ends = lines.count(b"\n")
        if lines.count(b"\r\n") == ends == lines.count(b"\r"):
            return lines
        out = []
        for line in lines.split(b"\n")[:-1]:
            if not line.endswith(b"\r"):
                self.bare_newline = True
            out.append(self._inside(_content_of(line, self._strict)))
        out.append(b"")
        return b"\r\n".join(out)

    def _inside(self, text: bytes) -> bytes:
        return text.replace(b"\r", b" ") if self._replace else text


class DataDecoder:
    """What follows DATA. Feed bytes, get content; `done` when the final dot was seen, and `rest` is what came after it.

    With `strict` the final dot is only `CR LF . CR LF`, and a bare LF is an ordinary line end; without it, every line
    that has only a dot ends the message, as Postfix does with smtpd_forbid_bare_newline = no.
    """

    __slots__ = ("_held", "_proper", "_replace", "_start", "_strict", "bare_newline", "done", "rest")

    def __init__(self, *, strict: bool = True, replace_stray: bool = True) -> None:
        self._held = b""
        self._start = True
        self._proper = True
        self._strict = strict
        self._replace = replace_stray
        self.bare_newline = False
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The content in `data` as far as it is decided. Not to be called once `done`."""
        if self._held:
            data = self._held + data
            self._held = b""
        if self._start and self._proper:
            if data.startswith(b".\r\n"):
                self.done, self.rest = True, data[3:]
                return b""
            end = data.find(b"\r\n.\r\n")
            if end >= 0:
                content = data[: end + 2]
                ends = content.count(b"\n")
                if content.count(b"\r\n") == ends == content.count(b"\r"):
                    self.done, self.rest = True, data[end + 5 :]
                    return _unstuffed(content)
        end = data.rfind(b"\n") + 1
        if not end:
            return self._part(data)
        lines = data[:end]
        if self._start and self._proper and b"\r\n.\r\n" not in lines:
            ends = lines.count(b"\n")
            if lines.count(b"\r\n") == ends == lines.count(b"\r"):
                content = _unstuffed(lines)
                return content + self._part(data[end:]) if end < len(data) else content
        return self._slowly(lines, data[end:])

    def _slowly(self, lines: bytes, rest: bytes) -> bytes:
        """Line by line, for content that is not all CRLF."""
        out: list[bytes] = []
        at, stop = 0, len(lines)
        while at < stop:
            end = lines.index(b"\n", at)
            line = lines[at:end]
            at = end + 1
            text = _content_of(line, self._strict)
            proper = line.endswith(b"\r")
            if not proper:
                self.bare_newline = True
            if self._start and text.startswith(b"."):
                if text == b".":
                    if not self._strict or (self._proper and proper):
                        self.done, self.rest = True, lines[at:] + rest
                        return b"".join(out)
                    # Neither an end nor content: as an empty line it would be an end to a server further on.
                    self._proper = proper
                    continue
                text = text[1:]
            out.append(text.replace(b"\r", b" ") if self._replace else text)
            out.append(b"\r\n")
            self._start = True
            self._proper = proper
        content = b"".join(out)
        return content + self._part(rest) if rest else content

    def _part(self, rest: bytes) -> bytes:
        """The beginning of a line: held until its end comes, unless it is very long."""
        if len(rest) <= LONG_PART:
            self._held = rest
            return b""
        keep = len(rest.rstrip(b"\r"))
        text = rest[:keep]
        self._held = rest[keep:]
        if self._start and text.startswith(b"."):
            text = text[1:]
        if text:
            self._start = False
        return text.replace(b"\r", b" ") if self._replace else text


def _content_of(line: bytes, strict: bool) -> bytes:
    """A line, split at its LF, without the CR of its end."""
    return line.removesuffix(b"\r") if strict else line.rstrip(b"\r")


def _unstuffed(content: bytes) -> bytes:
    """RFC 5321 4.5.2: a dot at the beginning of a line is taken off."""
    if b"\r\n." in content:
        content = content.replace(b"\r\n.", b"\r\n")
    return content[1:] if content.startswith(b".") else content
