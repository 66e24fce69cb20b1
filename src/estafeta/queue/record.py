"""The record: how one message stands in a file of the spool.

    magic   version flags  head   body   envelope  checksum | head ... body ... envelope
    4 bytes 2       2      4      8      4         4        | (28 bytes of header, big-endian)

The same format everywhere: many records one after another in a journal segment of incoming/, one record in a message
file (deferred/, hold/, and incoming/ for a large message), there possibly followed by amendments. The envelope comes
last, so that a large message can stream to disk before its fate is known; the header is then written over its
placeholder, last of all. The checksum is CRC-32 of all that follows the header, then of the header's first 24 bytes.

Content lines end in CRLF: relaying, the commonest fate, then needs no conversion.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

MAGIC = b"ESTF"
VERSION = 1
HEADER = struct.Struct(">4sHHIQII")
HEADER_SIZE = HEADER.size
_COVERED = struct.Struct(">4sHHIQI")

MESSAGE, SEAL, AMENDMENT = 0, 1, 2
"""What `flags` says: a message; the end of a segment (head counts the records); a change to the envelope before it."""

LARGEST_ENVELOPE = 256 * 1024 * 1024
"""Bytes. More is damage, not an envelope."""


class Damaged(Exception):
    """The bytes are not a whole, intact record."""


class Foreign(Damaged):
    """The bytes are not ours at all: a queue file of Postfix, or something that an operator put there."""


@dataclass(slots=True, frozen=True)
class RecordHeader:
    flags: int
    head: int
    body: int
    envelope: int
    checksum: int

    @property
    def size(self) -> int:
        """Bytes of the whole record."""
        return HEADER_SIZE + self.head + self.body + self.envelope


def pack(flags: int, head: bytes, body: Iterable[bytes], envelope: bytes) -> list[bytes]:
    """The record as buffers for writev: header, head, body pieces, envelope. Nothing is copied."""
    pieces = list(body)
    length = sum(map(len, pieces))
    crc = zlib.crc32(head)
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    crc = zlib.crc32(envelope, crc)
    crc = seal(crc, flags, len(head), length, len(envelope))
    header = HEADER.pack(MAGIC, VERSION, flags, len(head), length, len(envelope), crc)
    return [header, head, *pieces, envelope]


def parse_header(raw: bytes | memoryview) -> RecordHeader:
    """Read the 28 bytes. Raises Damaged if they are too few or wrong, Foreign if they are not ours."""
    if raw[: len(MAGIC)] != MAGIC[: len(raw)]:
        raise Foreign("not a queue file of ours")
    if len(raw) < HEADER_SIZE:
        raise Damaged("truncated record header")
    _, version, flags, head, body, envelope, checksum = HEADER.unpack(raw[:HEADER_SIZE])
    if version != VERSION:
        raise Damaged("not a record of this version")
    if envelope > LARGEST_ENVELOPE:
        raise Damaged(f"impossible envelope length {envelope}")
    return RecordHeader(flags, head, body, envelope, checksum)


def seal(crc: int, flags: int, head: int, body: int, envelope: int) -> int:
    """The record's checksum, given the CRC-32 of all that follows the header."""
    return zlib.crc32(_COVERED.pack(MAGIC, VERSION, flags, head, body, envelope), crc)


def intact(header: RecordHeader, content: Iterable[bytes | memoryview]) -> bool:
    """Whether `content`, all that follows the header, is what the header's checksum was made from."""
    crc = 0
    for piece in content:
        crc = zlib.crc32(piece, crc)
    return seal(crc, header.flags, header.head, header.body, header.envelope) == header.checksum
