"""Touch files as somebody else: the Linux file-system identity, which belongs to one thread.

While it is set, this thread's file access is checked against, and new files belong to, the given user and group;
the rest of the process stays what it is. Only root can set it; for anybody else it is a no-op.
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
    if os.geteuid() != 0 or (uid == 0 and gid == 0):
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    old_uid, old_gid = os.geteuid(), os.getegid()
    libc.setfsgid(ctypes.c_uint(gid))
    libc.setfsuid(ctypes.c_uint(uid))
    try:
        if libc.setfsuid(ctypes.c_uint(_NOBODY_ASKED)) != uid or libc.setfsgid(ctypes.c_uint(_NOBODY_ASKED)) != gid:
            raise PermissionError(1, f"cannot touch files as user {uid}, group {gid}")
        yield
    finally:
        libc.setfsuid(ctypes.c_uint(old_uid))
        libc.setfsgid(ctypes.c_uint(old_gid))
