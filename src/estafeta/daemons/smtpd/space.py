"""How much room the queue's file system has: what SIZE= and queue_minfree are held against."""

from __future__ import annotations

import os
import time

from estafeta.base import log


class Space:
    """Free bytes in the file system of the queue, looked up at most once a second."""

    __slots__ = ("_free", "_looked", "_path")

    def __init__(self, path: str) -> None:
        self._path = path
        self._free = 1 << 62
        self._looked = -1.0

    def free(self) -> int:
        now = time.monotonic()
        if now - self._looked >= 1.0:
            self._looked = now
            try:
                status = os.statvfs(self._path)
                self._free = status.f_bavail * status.f_frsize
            except OSError as error:
                log.warning(f"cannot find out the free space of {self._path}: {error.strerror}")
                self._free = 1 << 62
        return self._free
