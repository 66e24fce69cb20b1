"""Touch files as somebody else: the Linux file-system identity, which belongs to one thread.

While it is set, this thread's file access is checked against, and new files belong to, the given user and group;
the rest of the process stays what it is. Only root can set it; for anybody else it is a no-op. It nests: root may
take its own identity back for a step in between.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_NOBODY_ASKED = 0xFFFFFFFF
"""An id that is not valid: the call then changes nothing and tells the present one."""


@contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """For the `with` block, which must not suspend: file access as `uid` and `gid`. Raises PermissionError."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    before = _present(libc)
    if before == (uid, gid):
        yield
        return
    _take(libc, uid, gid)
    try:
        if _present(libc) != (uid, gid):
            raise PermissionError(1, f"cannot touch files as user {uid}, group {gid}")
        yield
    finally:
        _take(libc, *before)


def _present(libc: ctypes.CDLL) -> tuple[int, int]:
    return libc.setfsuid(ctypes.c_uint(_NOBODY_ASKED)), libc.setfsgid(ctypes.c_uint(_NOBODY_ASKED))


def _take(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    libc.setfsgid(ctypes.c_uint(gid))
    libc.setfsuid(ctypes.c_uint(uid))
