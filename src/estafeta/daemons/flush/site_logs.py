"""The accounts: one file in flush/ for each site, with the queue ids of mail that waits for it, a line each.

Only ever appended to, and emptied when delivery is asked for; so it may name mail that has gone, and mail twice. It is
a hint, not a promise: what it does not name is tried when its own time comes. Therefore nothing is synced here.
Several processes may work on the same file: each holds its lock (flock) while it does.

    modification time   something was added, or the account was emptied
    access time         somebody asked; set by us alone, whatever the file system does about reading

The files end in `.ids`, so they are not mistaken for those that Postfix keeps here under names of its own making.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

from estafeta.base import log

FOLDER = "flush"
SUFFIX = ".ids"
LONGEST_NAME = 200
LARGEST = 16 * 1024 * 1024
"""Bytes of one account. Beyond that it is written anew without what it says twice, and if that does not help, what
comes is not noted: it is tried at its own time."""


class SiteLogs:
    """Blocks: call it in a thread. Raises OSError."""

    def __init__(self, folder: str = FOLDER, *, largest: int = LARGEST, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._largest = largest
        self._clock = clock
        self._full: set[str] = set()

    def account(self, site: str) -> str:
        """The file of a site."""
        name = quote(site.lower(), safe="", errors="surrogateescape")
        if len(name) > LONGEST_NAME:
            name = "=" + hashlib.sha256(name.encode()).hexdigest()
        return os.path.join(self._folder, name + SUFFIX)

    def add(self, account: str, queue_ids: Iterable[str]) -> None:
        """Note messages that wait."""
        added = "".join(f"{queue_id}\n" for queue_id in queue_ids).encode("ascii")
        with self._locked(account, os.O_RDWR | os.O_CREAT | os.O_APPEND) as fd:
            size = os.fstat(fd).st_size
            if not size:
                os.utime(fd, (self._clock(), self._clock()))
            if size + len(added) > self._largest and not self._shortened(fd, len(added)):
                if account not in self._full:
                    self._full.add(account)
                    log.warning(f"{account}: too much mail waits for this site: some of it is not noted")
                return
            self._full.discard(account)
            os.write(fd, added)

    def _shortened(self, fd: int, wanted: int) -> bool:
        """Write an account anew without what it says twice. Whether there is room for so many bytes then."""
        distinct = b"".join(line + b"\n" for line in dict.fromkeys(_read(fd).split()))
        # So much that the next addition does not do the same work again.
        if len(distinct) + wanted > self._largest * 3 // 4:
            return False
        os.ftruncate(fd, 0)
        os.write(fd, distinct)
        return True

    def take(self, account: str) -> list[str]:
        """The messages that wait, each once; the account is empty then."""
        try:
            with self._locked(account, os.O_RDWR) as fd:
                lines = _read(fd).decode("ascii", "replace").split()
                os.ftruncate(fd, 0)
                now = self._clock()
                os.utime(fd, (now, now))
        except FileNotFoundError:
            return []
        return list(dict.fromkeys(lines))

    def neglected(self, refresh_after: float) -> list[str]:
        """The accounts with mail that nobody has asked for in that time."""
        now = self._clock()
        found = ((path, _status(path)) for path in self._paths())
        return [path for path, status in found if status and status.st_size and status.st_atime + refresh_after <= now]

    def purge(self, purge_after: float) -> None:
        """Remove accounts that have been empty for that time."""
        for path in self._paths():
            try:
                with self._locked(path, os.O_RDWR) as fd:
                    status = os.fstat(fd)
                    if not status.st_size and status.st_mtime + purge_after <= self._clock():
                        os.unlink(path)
            except FileNotFoundError:
                continue

    def _paths(self) -> list[str]:
        with os.scandir(self._folder) as entries:
            return [entry.path for entry in entries if entry.name.endswith(SUFFIX)]

    @contextmanager
    def _locked(self, path: str, flags: int) -> Iterator[int]:
        while True:
            fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                there = _status(path)
                if there is None or there.st_ino != os.fstat(fd).st_ino:
                    continue  # removed as empty while we waited for it: what we write would be lost
                yield fd
                return
            finally:
                os.close(fd)


def _read(fd: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    pieces = []
    while piece := os.read(fd, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None
