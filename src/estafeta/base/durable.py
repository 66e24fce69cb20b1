"""Disk steps that end in a promise: after these functions return, the bytes survive a power cut.

Everything here blocks: call it from a thread.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

IOV_MAX = 1024
_libc = ctypes.CDLL(None, use_errno=True)


def write_all(fd: int, buffers: Sequence[bytes]) -> int:
    """Write every buffer at the file's position, whatever the kernel takes at a time. Returns the bytes written."""
    total = 0
    waiting = [buffer for buffer in buffers if buffer]
    while waiting:
        batch = waiting[:IOV_MAX]
        written = os.writev(fd, batch)
        total += written
        if written == sum(map(len, batch)):
            del waiting[: len(batch)]
            continue
        while written >= len(waiting[0]):
            written -= len(waiting[0])
            del waiting[0]
        if written:
            waiting[0] = waiting[0][written:]
    return total


def fsync_folder(path: str) -> None:
    """Make the folder's entries durable: a new file is not there until its name is."""
    fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def syncfs(path: str) -> None:
    """Make everything written to the file system that holds `path` durable. Raises OSError."""
    fd = os.open(path or ".", os.O_RDONLY)
    try:
        syncfs_of(fd)
    finally:
        os.close(fd)


def syncfs_of(fd: int) -> None:
    """As `syncfs`, for the file system of an open file."""
    if _libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def replace_file(path: str, content: Sequence[bytes], mode: int = 0o600) -> None:
    """Write a file beside `path`, make it durable, then let it take the name."""
    draft = f"{path}.{os.getpid()}.tmp"
    fd = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, mode)
    try:
        write_all(fd, content)
        os.fsync(fd)
        os.rename(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    finally:
        os.close(fd)
    fsync_folder(os.path.dirname(path))
