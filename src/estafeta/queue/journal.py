"""The journal: where new mail becomes durable, many messages with one sync.

One writer process, one open segment. Messages that arrive while a sync runs wait for the next one together: that is the
whole of group commit; a lone message is written at once. All disk work runs in one thread of its own, so the loop never
waits for the disk.

A segment is `incoming/SERIAL.journal`, locked (flock) by its writer as long as it may grow. It is sealed when it is
full, when it has been idle for a while, when the process ends, or when a write failed. After a failed write nothing is
assumed written: the file is cut back, every message of the batch is refused with "try again", and the next batch gets a
new segment.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable
from typing import Any

from estafeta.base import log
from estafeta.base.durable import fsync_folder, write_all
from estafeta.base.worker_thread import WorkerThread
from estafeta.queue import record
from estafeta.queue.ids import take_serial

SUFFIX = ".journal"
IDLE_SEAL = 5.0
"""Seconds without a message after which a segment is sealed, so that delivered mail does not stay on disk for long."""


class SpoolError(OSError):
    """The disk refused. Nothing of this message is stored; the submitter must be told to try again."""


class _Batch:
    """Messages that become durable together."""

    __slots__ = ("buffers", "size", "waiting")

    def __init__(self) -> None:
        self.buffers: list[bytes] = []
        self.size = 0
        self.waiting: list[tuple[int, asyncio.Future[tuple[str, int]]]] = []
        """Offset in the batch, and who waits for it."""


class _Segment:
    """The open file. Touched by the writer thread only."""

    __slots__ = ("fd", "path", "records", "size")

    def __init__(self, directory: str) -> None:
        self.path = f"incoming/{take_serial(directory):012X}{SUFFIX}"
        final = os.path.join(directory, self.path)
        draft = f"{final}.new"
        self.fd = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # Locked before it has its name, so that a scan never takes it for a dead writer's.
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            os.rename(draft, final)
            fsync_folder(os.path.dirname(final))
        except OSError:
            os.close(self.fd)
            for name in (draft, final):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)
            raise
        self.size = 0
        self.records = 0


class Journal:
    """The segment writer of one process."""

    def __init__(self, *, directory: str, segment_size: int, sealed: Callable[[str, int], None] | None = None) -> None:
        self._directory = directory
        self._segment_size = segment_size
        self._sealed = sealed
        self._loop = asyncio.get_running_loop()
        self._thread = WorkerThread("journal")
        self._segment: _Segment | None = None
        self._waiting: _Batch | None = None
        self._writing = False
        self._idle: asyncio.TimerHandle | None = None
        self._last_commit = 0.0
        self._quiet: asyncio.Future[None] | None = None

    async def append(self, buffers: list[bytes]) -> tuple[str, int]:
        """Store one packed record. Returns (segment, offset) when it is on stable storage; raises SpoolError."""
        batch = self._waiting
        if batch is None:
            batch = self._waiting = _Batch()
            if not self._writing:
                self._writing = True
                # One turn later, so that all messages of this turn share the first sync too.
                self._loop.call_soon(self._start)
        stored: asyncio.Future[tuple[str, int]] = self._loop.create_future()
        batch.waiting.append((batch.size, stored))
        batch.buffers += buffers
        batch.size += sum(map(len, buffers))
        return await stored

    def _start(self) -> None:
        batch, self._waiting = self._waiting, None
        if batch is None:
            self._rest()
            self._last_commit = self._loop.time()
            if self._idle is None:
                self._idle = self._loop.call_later(IDLE_SEAL, self._seal_if_idle)
            return
        self._thread.do(self._write, batch, done=lambda written, error: self._finished(batch, written, error))

    def _finished(self, batch: _Batch, written: Any, error: BaseException | None) -> None:
        for offset, stored in batch.waiting:
            if stored.done():
                continue  # its submitter has gone away
            if error is None:
                path, start = written
                stored.set_result((path, start + offset))
            else:
                stored.set_exception(error)
        self._start()

    def _write(self, batch: _Batch) -> tuple[str, int]:
        """In the writer thread: the batch to the segment, durable."""
        try:
            if self._segment is not None and self._segment.size >= self._segment_size:
                self._seal(self._segment)
            if self._segment is None:
                self._segment = _Segment(self._directory)
        except OSError as error:
            raise SpoolError(error.errno, f"cannot make a journal segment in incoming/: {error.strerror}") from error
        segment = self._segment
        start = segment.size
        try:
            write_all(segment.fd, batch.buffers)
            os.fdatasync(segment.fd)
        except OSError as error:
            log.warning(f"write {segment.path}: {error.strerror}: the messages of this moment are refused for now")
            self._cut_back(segment)
            raise SpoolError(error.errno, f"write {segment.path}: {error.strerror}") from error
        segment.size += batch.size
        segment.records += len(batch.waiting)
        return segment.path, start

    def _cut_back(self, segment: _Segment) -> None:
        """After a failed write: what stands behind the last good record was acknowledged to nobody."""
        try:
            os.ftruncate(segment.fd, segment.size)
        except OSError as error:
            log.warning(f"truncate {segment.path}: {error.strerror}")
        self._seal(segment)

    def _seal(self, segment: _Segment) -> None:
        """In the writer thread: no more records for this segment; its lock is given back."""
        self._segment = None
        try:
            write_all(segment.fd, record.pack(record.SEAL, b"", (), b"%d" % segment.records))
        except OSError as error:
            log.warning(f"seal {segment.path}: {error.strerror}")
        os.close(segment.fd)
        if self._sealed is not None:
            self._loop.call_soon_threadsafe(self._sealed, segment.path, segment.records)

    def _seal_if_idle(self) -> None:
        self._idle = None
        if self._writing or self._waiting is not None:
            return
        left = self._last_commit + IDLE_SEAL - self._loop.time()
        if left > 0.01:
            self._idle = self._loop.call_later(left, self._seal_if_idle)
            return
        self._writing = True
        self._thread.do(self._seal_now, done=self._start_quietly)

    def _start_quietly(self, _: object, error: BaseException | None) -> None:
        """After an idle seal: go on with what came meanwhile, without arming the idle timer for nothing."""
        if self._waiting is None:
            self._rest()
        else:
            self._start()

    def _rest(self) -> None:
        self._writing = False
        if self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(None)

    def _seal_now(self) -> None:
        if self._segment is not None:
            self._seal(self._segment)

    async def stop(self) -> None:
        """Wait for what is being written, then seal."""
        while self._writing:
            self._quiet = self._loop.create_future()
            await self._quiet
        if self._idle is not None:
            self._idle.cancel()
        await self._thread.run(self._seal_now)
        self._thread.stop()
