"""The system's users: passwd(5), or whatever directory stands behind getpwnam(3).

A directory that is down is not a user that does not exist: Python's own `pwd` cannot tell the two apart, so the C
library is asked directly. getpwnam_r(3), "ERRORS".
"""

from __future__ import annotations

import ctypes
import errno
import os
from dataclasses import dataclass

_LARGEST_ENTRY = 1024 * 1024

_NOT_THERE = frozenset({0, errno.ENOENT, errno.ESRCH, errno.EBADF, errno.EPERM})
"""What systems answer for a name that nobody has."""


class UsersDown(Exception):
    """The list of users cannot be asked now. The text names the user and the reason."""


@dataclass(frozen=True, slots=True)
class User:
    name: str
    uid: int
    gid: int
    full_name: str
    home: str
    shell: str


class _Passwd(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("uid", ctypes.c_uint),
        ("gid", ctypes.c_uint),
        ("gecos", ctypes.c_char_p),
        ("home", ctypes.c_char_p),
        ("shell", ctypes.c_char_p),
    )


_libc = ctypes.CDLL(None)
_libc.getpwnam_r.argtypes = (
    ctypes.c_char_p,
    ctypes.POINTER(_Passwd),
    ctypes.c_char_p,
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.POINTER(_Passwd)),
)
_libc.getpwnam_r.restype = ctypes.c_int


def find_user(name: str) -> User | None:
    """Blocks. None: there is no such user. Raises UsersDown."""
    raw = name.encode("utf-8", "surrogateescape")
    if not raw or b"\0" in raw or b":" in raw or b"\n" in raw:
        return None
    size = 4096
    while True:
        entry, found, room = _Passwd(), ctypes.POINTER(_Passwd)(), ctypes.create_string_buffer(size)
        status = _libc.getpwnam_r(raw, ctypes.byref(entry), room, size, ctypes.byref(found))
        if status == errno.EINTR:
            continue
        if status != errno.ERANGE or size >= _LARGEST_ENTRY:
            break
        size *= 4
    if found:
        home, shell = _text(entry.home), _text(entry.shell)
        return User(_text(entry.name), entry.uid, entry.gid, _text(entry.gecos), home, shell)
    if status in _NOT_THERE:
        return None
    raise UsersDown(f"cannot find user {name}: {os.strerror(status)}")


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "surrogateescape")
