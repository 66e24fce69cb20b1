"""How many clients at a time: maxproc, shared among the processes of a service.

For a local socket each process has its share. TCP clients are spread by the kernel, not by us, so there the processes
draw from one pot: a pipe filled with as many bytes as there may be clients. Taking a client takes a byte out, and a
process that finds the pipe empty waits until it is readable. How many each process holds stands in shared memory, so
that master can put back what a killed process took along.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import termios
from collections.abc import Callable

CELL = 4
"""Bytes of one process's count in the shared memory."""


class Pot:
    """The clients that a TCP service may still take. Made by master, used by all processes of the service."""

    def __init__(self, limit: int, workers: int) -> None:
        self.limit = limit
        self._cells = mmap.mmap(-1, max(1, workers) * CELL)
        self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        if limit > 4096:
            # The default capacity is 64 KiB. Where the kernel allows no more, the pot holds as much as fits.
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, limit)
        self._put(limit)

    def fileno(self) -> int:
        """Readable while there is a place."""
        return self._out

    @property
    def descriptors(self) -> tuple[int, int]:
        return self._out, self._in

    def take(self, worker: int) -> bool:
        """Take a place, if there is one."""
        try:
            if not os.read(self._out, 1):
                return False
        except BlockingIOError:
            return False
        self._write(worker, self.held(worker) + 1)
        return True

    def give(self, worker: int) -> None:
        """Give a place back."""
        self._write(worker, self.held(worker) - 1)
        self._put(1)

    @property
    def empty(self) -> bool:
        """Whether every place is taken."""
        return int.from_bytes(fcntl.ioctl(self._out, termios.FIONREAD, b"\0\0\0\0"), "little") == 0

    def held(self, worker: int) -> int:
        return int.from_bytes(self._cells[worker * CELL : (worker + 1) * CELL], "little")

    def recover(self, worker: int) -> int:
        """Put back what a process that is gone held; how many that was."""
        lost = self.held(worker)
        self._write(worker, 0)
        self._put(lost)
        return lost

    def close(self) -> None:
        os.close(self._in)
        os.close(self._out)
        self._cells.close()

    def _put(self, count: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while count > 0:
                count -= os.write(self._in, b"." * min(count, 4096))

    def _write(self, worker: int, count: int) -> None:
        self._cells[worker * CELL : (worker + 1) * CELL] = count.to_bytes(CELL, "little")


class Slots:
    """The places of one process: at most `limit` (0: any number), and each from the pot, if there is one."""

    __slots__ = ("_cell", "clients", "crowded", "limit", "pot")

    def __init__(self, limit: int = 0, pot: Pot | None = None, cell: int = 0) -> None:
        self.limit = limit
        self.pot = pot
        self.clients = 0
        self.crowded: Callable[[], None] | None = None
        """Called when a client gets the last place, or none."""
        self._cell = cell

    @property
    def full(self) -> bool:
        """Whether this process has reached its own limit."""
        return bool(self.limit) and self.clients >= self.limit

    def take(self) -> bool:
        if self.limit and self.clients >= self.limit:
            return False
        if self.pot is not None and not self.pot.take(self._cell):
            if self.crowded is not None:
                self.crowded()
            return False
        self.clients += 1
        if self.crowded is not None and (self.pot.empty if self.pot is not None else self.full):
            self.crowded()
        return True

    def give(self) -> None:
        self.clients -= 1
        if self.pot is not None:
            self.pot.give(self._cell)


def share(limit: int, workers: int, worker: int) -> int:
    """What one of `workers` processes gets of `limit` places; 0 for no limit. The shares add up to the limit."""
    return limit // workers + (worker < limit % workers) if limit else 0
