"""Turn a message with 8-bit parts into one of 7-bit lines, for a server that does not offer 8BITMIME. RFC 6152 3.

A part that says `Content-Transfer-Encoding: 8bit` (or binary) becomes quoted-printable; a multipart or an attached
message that says so says 7bit afterwards, since its parts are converted one by one. What declares nothing is left
alone, as in Postfix (disable_mime_output_conversion): there is no telling what it is. Signatures over converted parts
do not survive.

It works on a stream: a message of any size goes through in pieces.
"""

from __future__ import annotations

import re

from estafeta.mail.mime import BOUNDARY_LENGTH, DEEPEST, EIGHT_BIT, Event, Kind, Part, Walk

SOFT_BREAK = 72
"""A line that is longer than this goes on in the next one. RFC 2045 6.7 rule 5 allows 76."""

_UNSAFE = re.compile(rb"[^\t\r\n -<>-~]|[ \t](?=\r?\n|\Z)|\r(?!\n)")
_CODED = [b"=%02X" % byte for byte in range(256)]
_ENCODING_FIELD = re.compile(rb"content-transfer-encoding[ \t]*:", re.I)
_EQUALS = ord("=")


def seven_bit(content: bytes, *, deepest: int = DEEPEST, boundary_length: int = BOUNDARY_LENGTH) -> bytes:
    """The whole message with its 8-bit parts in quoted-printable. Lines end in CRLF, before and after."""
    change = SevenBit(deepest=deepest, boundary_length=boundary_length)
    return change.feed(content) + change.finish()


class SevenBit:
    """The same for a message that comes by pieces."""

    def __init__(self, *, deepest: int = DEEPEST, boundary_length: int = BOUNDARY_LENGTH) -> None:
        """`deepest`: mime_nesting_limit; `boundary_length`: mime_boundary_length_limit."""
        self._walk = Walk(deepest=deepest, boundary_length=boundary_length)

    def feed(self, piece: bytes) -> bytes:
        """What of it can go out now."""
        return b"".join(map(converted, self._walk.feed(piece)))

    def finish(self) -> bytes:
        """The rest."""
        return b"".join(map(converted, self._walk.finish()))


def converted(event: Event) -> bytes:
    """What stands in the place of an event's bytes."""
    part = event.part
    if part is None or part.encoding not in EIGHT_BIT:
        return event.data
    if event.kind is Kind.HEADER:
        return _header(event.fields, part)
    if part.multipart or part.nested:
        return event.data
    return quoted_printable(event.data)


def _header(fields: list[bytes], part: Part) -> bytes:
    kept = [field for field in fields if not _ENCODING_FIELD.match(field)]
    encoding = b"7bit" if part.type in (b"multipart", b"message") else b"quoted-printable"
    kept.append(b"Content-Transfer-Encoding: " + encoding + b"\r\n")
    if fields[-1].endswith(b"\n"):
        return b"".join(kept)
    # A header that ends with the text, without a line end.
    return b"\r\n".join(field.rstrip(b"\r\n") for field in kept)


def quoted_printable(text: bytes) -> bytes:
    """Lines in quoted-printable, RFC 2045 6.7. An unfinished line at the end ends in a soft line break."""
    coded = _UNSAFE.sub(lambda found: _CODED[found[0][0]], text)
    lines = coded.split(b"\r\n")
    if max(map(len, lines)) > SOFT_BREAK:
        lines = [_broken(line) if len(line) > SOFT_BREAK else line for line in lines]
    if lines[-1]:
        lines[-1] += b"=\r\n"
    return b"\r\n".join(lines)


def _broken(line: bytes) -> bytes:
    parts: list[bytes] = []
    at, length = 0, len(line)
    while length - at > SOFT_BREAK:
        cut = at + SOFT_BREAK + 1
        # never within =XX
        if line[cut - 1] == _EQUALS:
            cut += 2
        elif line[cut - 2] == _EQUALS:
            cut += 1
        if cut >= length:
            break
        parts.append(line[at:cut])
        at = cut
    parts.append(line[at:])
    return b"=\r\n".join(parts)
