"""crypt(3), thread-safe: everything that the system's libcrypt knows (yescrypt, bcrypt, SHA-crypt, MD5-crypt, DES).

Called with the library's own memory for each password, so that several threads may compute at a time; ctypes lets the
other threads run meanwhile.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from functools import cache

_LONGEST = 512
"""Bytes of a password that libcrypt takes."""


@cache
def _library() -> ctypes.CDLL | None:
    for name in ("libcrypt.so.1", "libcrypt.so.2", ctypes.util.find_library("crypt")):
        if not name:
            continue
        try:
            library = ctypes.CDLL(name, use_errno=True)
            library.crypt_ra.restype = ctypes.c_char_p
            library.crypt_ra.argtypes = (
                ctypes.c_char_p,
                ctypes.c_char_p,
                ctypes.POINTER(ctypes.c_void_p),
                ctypes.POINTER(ctypes.c_int),
            )
        except (OSError, AttributeError):
            continue
        library.crypt_gensalt_ra.restype = ctypes.c_void_p
        library.crypt_gensalt_ra.argtypes = (ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_int)
        return library
    return None


def load() -> bool:
    """Find the library now, while its file can be seen. False if there is none (it needs libxcrypt's crypt_ra)."""
    return _library() is not None


_libc = ctypes.CDLL(None)
_libc.free.argtypes = (ctypes.c_void_p,)
_libc.free.restype = None


class CryptUnavailable(Exception):
    """There is no libcrypt, or it does not know the method."""


def crypt(password: bytes, setting: bytes) -> bytes:
    """The hash, which begins with its setting. Blocks for as long as the method is slow. Raises CryptUnavailable."""
    library = _library()
    if library is None:
        raise CryptUnavailable("no libcrypt.so with crypt_ra was found: install libcrypt1")
    if len(password) >= _LONGEST:
        return b""
    memory, size = ctypes.c_void_p(), ctypes.c_int(0)
    try:
        found = library.crypt_ra(password, setting, ctypes.byref(memory), ctypes.byref(size))
        if not found or found.startswith(b"*"):
            method = setting[:3].decode("ascii", "replace")
            raise CryptUnavailable(f"libcrypt cannot compute a hash of the kind {method!r}")
        return bytes(found)
    finally:
        if memory:
            # The password was in there.
            ctypes.memset(memory, 0, size.value)
            _libc.free(memory)


def new_setting(prefix: bytes, rounds: int = 0) -> bytes:
    """A setting with a fresh salt. `prefix`: `$y$`, `$6$`, ...; 0 rounds for libcrypt's default."""
    library = _library()
    if library is None:
        raise CryptUnavailable("no libcrypt.so with crypt_ra was found: install libcrypt1")
    chance = os.urandom(32)
    place = library.crypt_gensalt_ra(prefix, rounds, chance, len(chance))
    if not place:
        raise CryptUnavailable(f"libcrypt does not know {prefix.decode()}")
    try:
        return ctypes.string_at(place)
    finally:
        _libc.free(place)
