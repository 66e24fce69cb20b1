"""LMDB files as tables use them: opened once per process and file, as LMDB demands, and read without its own locks.

Keys and values end in a NUL, as in the files that Postfix makes; files made without it (`postmap -n`) are read too.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

import lmdb

LONGEST_KEY = 511
"""LMDB's limit, with the NUL."""

LEAST_MAP = 1 << 24
"""Bytes of address space for reading: a file may grow that far before it must be opened again."""


MAGIC_END = 20

SEAL = struct.Struct("<8sQI")
SEAL_MAGIC = b"estafeta"
LARGEST_CHECKED = 1 << 28
"""Bytes: checking more at every opening would take noticeable time."""


class Environment:
    """One opened file, shared by all tables of this process that it serves."""

    __slots__ = ("__weakref__", "env", "fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.env = lmdb.open(
            path,
            subdir=False,
            readonly=True,
            lock=False,
            create=False,
            max_dbs=4,
            map_size=max(LEAST_MAP, 4 * os.fstat(fd).st_size),
        )

    def __del__(self) -> None:
        env = getattr(self, "env", None)
        if env is not None:
            env.close()
        os.close(self.fd)


_open: WeakValueDictionary[tuple[int, int], Environment] = WeakValueDictionary()


def seal(path: str) -> None:
    """Append a checksum to a finished file, behind its last page, where LMDB does not look. Synced to disk."""
    with open(path, "r+b") as file:
        sum_ = _checksum(file)
        file.seek(0, os.SEEK_END)
        file.write(SEAL.pack(SEAL_MAGIC, file.tell(), sum_))
        file.flush()
        os.fsync(file.fileno())


def is_sealed(fd: int) -> bool:
    """Whether the file is as it was sealed: whole, and without a changed bit (which is not checked in huge files)."""
    size = os.fstat(fd).st_size - SEAL.size
    if size < 0:
        return False
    magic, sealed_size, sum_ = SEAL.unpack(os.pread(fd, SEAL.size, size))
    if magic != SEAL_MAGIC or sealed_size != size:
        return False
    if size > LARGEST_CHECKED:
        return True
    with open(fd, "rb", closefd=False) as file:
        file.seek(0)
        return bool(_checksum(file, size) == sum_)


def _checksum(file: BinaryIO, size: int = 1 << 62) -> int:
    sum_ = 0
    while size > 0 and (part := file.read(min(size, 1 << 20))):
        sum_ = zlib.crc32(part, sum_)
        size -= len(part)
    return sum_


def environment(path: str, *, sealed: bool = False) -> Environment:
    """The opened file at `path`. Raises OSError, and lmdb.Error for a file that is no LMDB file.

    `sealed`: the file must be as it was sealed. LMDB trusts what it reads, and a file that was cut short or damaged
    would kill the process.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    status = os.fstat(fd)
    shared = _open.get((status.st_dev, status.st_ino))
    if shared is not None:
        os.close(fd)
        return shared
    if sealed and not is_sealed(fd):
        os.close(fd)
        raise lmdb.CorruptedError("damaged or cut short")
    try:
        opened = Environment(path, fd)
    except lmdb.Error:
        # Environment's __del__ closes the descriptor
        raise
    _open[(status.st_dev, status.st_ino)] = opened
    return opened


def is_lmdb(path: str | Path) -> bool:
    """Whether a file begins like an LMDB file (its magic number stands behind the first page's header)."""
    with open(path, "rb") as file:
        return has_magic(file.read(MAGIC_END))


def has_magic(head: bytes) -> bool:
    """The same, from its first MAGIC_END bytes."""
    return head[16:MAGIC_END] in (b"\xde\xc0\xef\xbe", b"\xbe\xef\xc0\xde")


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def decode(raw: bytes) -> str:
    return bytes(raw).removesuffix(b"\0").decode("utf-8", "surrogateescape")


def pairs(cursor: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[str, str]]:
    for key, value in cursor:
        yield decode(key), decode(value)
