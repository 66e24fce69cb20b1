"""The file under a `CacheStore`: LMDB, as Postfix's lmdb tables are, so that `postmap -s` can show it.

It has one writer. Two locks say so: a flock for as long as the file is open, which other processes of ours ask for,
and the whole-file lock of Postfix's programs, shared while the file is open and exclusive while it is changed.

LMDB trusts the pages that it reads, and a damaged file would kill the process, at every start anew. So a file is walked
through once in a child process before it is used.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Mapping

import lmdb

from estafeta.base import log
from estafeta.tables.index_build import hashed_key
from estafeta.tables.lmdb_env import MAGIC_END, decode, encode, has_magic, is_lmdb

MAP_SIZES = (1 << 34, 1 << 30, 1 << 26)
"""Bytes of address space, of which the file uses what it needs; smaller ones where the process is limited."""
LONGEST_CHECK = 60
"""Seconds for walking through the file."""


class CacheFileError(Exception):
    """The file cannot be read or written; the text says why."""


class CacheFile:
    """Opened for reading and writing. Raises BlockingIOError if another process has it, OSError, CacheFileError."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = _claimed(path)
        try:
            if os.fstat(self._fd).st_size:
                problem = _problem(path, self._fd)
                if problem:
                    self._set_aside(problem)
            self._env = self._open()
            # Only now: to open the environment opens and closes the file, which gives such a lock up.
            fcntl.lockf(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BaseException:
            os.close(self._fd)
            raise

    def get(self, key: str) -> str | None:
        raw = hashed_key(encode(key) + b"\0")
        try:
            with self._env.begin() as transaction:
                value = transaction.get(raw)
        except lmdb.Error as error:
            raise CacheFileError(f"cannot read {self._path}: {error}") from None
        if value is None:
            return None
        return decode(value.partition(b"\0")[2] if raw.startswith(b"\0") else value)

    def page(self, after: bytes | None, most: int) -> tuple[list[tuple[str, str]], bytes | None]:
        """The entries behind the key `after` (None: from the start), and what to continue with, None at the end."""
        found: list[tuple[str, str]] = []
        raw = after
        try:
            with self._env.begin() as transaction:
                cursor = transaction.cursor()
                there = cursor.first() if after is None else cursor.set_range(after)
                if there and after is not None and cursor.key() == after:
                    there = cursor.next()
                while there and len(found) < most:
                    raw, value = cursor.item()
                    key = raw
                    if raw.startswith(b"\0"):  # a long key stands in its value
                        key, _, value = value.partition(b"\0")
                    found.append((decode(key), decode(value)))
                    there = cursor.next()
        except lmdb.Error as error:
            raise CacheFileError(f"cannot read {self._path}: {error}") from None
        return found, raw if there else None

    def write(self, changes: Mapping[str, str | None]) -> None:
        """All of them or none; None deletes. Blocks until they are on the disk."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX)
            with self._env.begin(write=True) as transaction:
                for key, value in changes.items():
                    raw = hashed_key(encode(key) + b"\0")
                    if value is None:
                        transaction.delete(raw)
                    else:
                        long = encode(key) + b"\0" if raw.startswith(b"\0") else b""
                        transaction.put(raw, long + encode(value) + b"\0")
        except (lmdb.Error, OSError) as error:
            raise CacheFileError(f"cannot write {self._path}: {getattr(error, 'strerror', None) or error}") from None
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_SH)

    def close(self) -> None:
        self._env.close()
        os.close(self._fd)

    def _open(self) -> lmdb.Environment:
        for size in MAP_SIZES:
            try:
                # With LMDB's own locks: the loop reads while the thread writes.
                env = lmdb.open(self._path, subdir=False, map_size=size, metasync=False, max_readers=16)
            except lmdb.MemoryError as error:
                problem: Exception = error
            except lmdb.Error as error:
                raise CacheFileError(str(error)) from None
            else:
                env.reader_check()  # places of readers that were killed
                return env
        raise CacheFileError(str(problem))

    def _set_aside(self, problem: str) -> None:
        aside = f"{self._path}.aside"
        os.rename(self._path, aside)
        _forget_lock_file(self._path)
        log.warning(f"{self._path}: {problem}: moved to {aside}, and a new one begun")
        old, self._fd = self._fd, _claimed(self._path)
        os.close(old)


def _claimed(path: str) -> int:
    """The file, ours alone from now on; it is made if it is not there. Raises BlockingIOError, OSError."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours, named = os.fstat(fd), os.stat(path)
        except FileNotFoundError:
            os.close(fd)
            continue
        except BaseException as error:
            os.close(fd)
            if isinstance(error, PermissionError):  # what some systems say for a lock that somebody has
                raise BlockingIOError(error.errno, error.strerror) from None
            raise
        if (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino):
            return fd
        os.close(fd)  # it was set aside while we waited


def _forget_lock_file(path: str) -> None:
    """LMDB's own, of which nobody else can be a user: the file itself is claimed."""
    try:
        os.unlink(f"{path}-lock")
    except FileNotFoundError:
        return


def _problem(path: str, fd: int) -> str:
    """Why the file cannot serve; "" if it does."""
    if not has_magic(os.pread(fd, MAGIC_END, 0)):
        return "not a cache of ours (Berkeley DB perhaps)"
    return "" if _walks(path) else "damaged or cut short"


def _walks(path: str) -> bool:
    """Whether a child process gets through the whole file alive."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LONGEST_CHECK)
            _walk(path)
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def _walk(path: str) -> None:
    with lmdb.open(path, subdir=False, readonly=True, lock=False, create=False, map_size=MAP_SIZES[-1]) as env:
        used = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
        if os.path.getsize(path) < used:
            raise lmdb.CorruptedError("cut short")
        with env.begin() as transaction:
            for key, value in transaction.cursor():
                if not key.endswith(b"\0") and not key.startswith(b"\0"):
                    raise lmdb.CorruptedError("a key without its end")
                if not value.endswith(b"\0"):
                    raise lmdb.CorruptedError("a value without its end")


def is_cache(path: str) -> bool:
    """Whether a file may be one of these: LMDB, with LMDB's lock file beside it, which other tables do without."""
    try:
        return is_lmdb(path) and os.path.exists(f"{path}-lock")
    except OSError:
        return False
