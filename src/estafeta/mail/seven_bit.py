"""Turn a message with 8-bit parts into one of 7-bit lines, for a server that does not offer 8BITMIME. RFC 6152 3.

A part that says `Content-Transfer-Encoding: 8bit` (or binary) becomes quoted-printable; a multipart or an attached
message that says so says 7bit afterwards, since its parts are converted one by one. What declares nothing is left
alone, as in Postfix (disable_mime_output_conversion): there is no telling what it is. Signatures over converted parts
do not survive.

Lines are looked at one by one, so this is not for the hot path; it is needed once in a long while.
"""

from __future__ import annotations

import binascii
import re

DEEPEST = 100
"""Multiparts within multiparts that are followed: mime_nesting_limit. Deeper ones stay as they are."""

_ENCODING = re.compile(rb"content-transfer-encoding[ \t]*:[ \t]*(?:8bit|binary)[ \t]*(?:[;(].*)?$", re.I | re.S)
_TYPE = re.compile(rb"content-type[ \t]*:\s*([a-z0-9.+_-]+)[ \t]*/[ \t]*([a-z0-9.+_-]+)", re.I)
_BOUNDARY = re.compile(rb';\s*boundary[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.){1,2048})"|([^\s;"]{1,2048}))', re.I | re.S)


def seven_bit(content: bytes) -> bytes:
    """The message with its 8-bit parts in quoted-printable. Lines end in CRLF, before and after."""
    walk = _Walk()
    for line in content.split(b"\r\n"):
        walk.line(line)
    walk.end_part()
    return b"\r\n".join(walk.out)


class _Walk:
    """Line by line through the parts."""

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.boundaries: list[bytes] = []
        self.in_header = True
        self.header: list[bytes] = []
        self.quoted: list[bytes] | None = None
        """Lines of a part that is to become quoted-printable."""

    def line(self, line: bytes) -> None:
        if self.boundaries and line.startswith(b"--") and self.boundary(line):
            return
        if self.in_header:
            self.header_line(line)
        elif self.quoted is not None:
            self.quoted.append(line)
        else:
            self.out.append(line)

    def boundary(self, line: bytes) -> bool:
        """Whether the line begins or ends a part of any multipart that is open."""
        text = line[2:].rstrip(b" \t")
        for depth in range(len(self.boundaries) - 1, -1, -1):
            mark = self.boundaries[depth]
            if text not in (mark, mark + b"--"):
                continue
            self.end_part()
            last = text != mark
            del self.boundaries[depth if last else depth + 1 :]
            self.in_header = not last
            self.out.append(line)
            return True
        return False

    def header_line(self, line: bytes) -> None:
        if line[:1] in (b" ", b"\t") and self.header:
            self.header[-1] += b"\r\n" + line
        elif line:
            self.header.append(line)
        else:
            self.end_header()
            self.out.append(line)

    def end_header(self) -> None:
        kind, subtype, boundary = b"text", b"plain", b""
        for field in self.header:
            if (found := _TYPE.match(field)) is not None:
                kind, subtype = found[1].lower(), found[2].lower()
                mark = _BOUNDARY.search(field)
                boundary = re.sub(rb"\\(.)", rb"\1", mark[1] or mark[2]) if mark else b""
                break
        composite = kind in (b"multipart", b"message")
        eight_bit = False
        for field in self.header:
            if _ENCODING.match(field):
                eight_bit = True
            else:
                self.out.append(field)
        if eight_bit:
            self.out.append(b"Content-Transfer-Encoding: " + (b"7bit" if composite else b"quoted-printable"))
        self.header = []
        # An attached message begins with a header of its own.
        self.in_header = kind == b"message" and subtype in (b"rfc822", b"global")
        if kind == b"multipart" and boundary and len(self.boundaries) < DEEPEST:
            self.boundaries.append(boundary)
        if eight_bit and not composite:
            self.quoted = []

    def end_part(self) -> None:
        if self.header:
            # A header that no empty line ends.
            self.end_header()
            self.quoted = None
        if self.quoted is not None:
            encoded = binascii.b2a_qp(b"\n".join(self.quoted), istext=True)
            self.out.extend(encoded.split(b"\n"))
            self.quoted = None
