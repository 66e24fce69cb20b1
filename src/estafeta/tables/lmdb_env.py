"""LMDB files as tables use them: opened once per process and file, as LMDB demands, and read without its own locks.

Keys and values end in a NUL, as in the files that Postfix makes; files made without it (`postmap -n`) are read too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakValueDictionary

import lmdb

LONGEST_KEY = 511
"""LMDB's limit, with the NUL."""

LEAST_MAP = 1 << 24
"""Bytes of address space for reading: a file may grow that far before it must be opened again."""


MAGIC_END = 20


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


def bytes_used(env: lmdb.Environment) -> int:
    """How far the file's pages reach. The last ones may never have been written, in a file that grew by changes."""
    return int((env.info()["last_pgno"] + 1) * env.stat()["psize"])


def environment(path: str, *, whole: bool = False) -> Environment:
    """The opened file at `path`. Raises OSError, and lmdb.Error for a file that is no LMDB file.

    `whole`: the file must hold all its pages. One that was cut short would kill the process, where the map reaches
    beyond its end.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    status = os.fstat(fd)
    shared = _open.get((status.st_dev, status.st_ino))
    if shared is not None:
        os.close(fd)
        return shared
    try:
        opened = Environment(path, fd)
    except lmdb.Error:
        # Environment's __del__ closes the descriptor
        raise
    if whole and bytes_used(opened.env) > status.st_size:
        raise lmdb.CorruptedError(f"cut short: {status.st_size} bytes of {bytes_used(opened.env)}")
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
