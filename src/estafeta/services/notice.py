"""Intake tells qmgr that a message is on stable storage. One way: there is no reply.

The socket is qmgr's own, `private/notice`; frames hold one or more of these, as `net/frames.py` packs them. If qmgr is
away, the notice is lost and nothing else is: qmgr finds the record when it scans incoming/.
"""

from __future__ import annotations

import asyncio

import msgspec

from estafeta.base import log
from estafeta.mail.envelope import Envelope
from estafeta.net.frames import Frames, connect
from estafeta.queue.place import Place

SOCKET = "private/notice"


class Arrived(msgspec.Struct, array_like=True, tag="A"):
    """One committed message."""

    place: Place
    envelope: Envelope


class Sealed(msgspec.Struct, array_like=True, tag="S"):
    """A journal segment will get no more records: it can go when all `records` of it are released."""

    segment: str
    records: int


class Held(msgspec.Struct, array_like=True, tag="H"):
    """A committed message that goes straight to hold/ (the HOLD action)."""

    place: Place
    envelope: Envelope


Notice = Arrived | Sealed | Held
Batch = list[Notice]

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Batch).decode


RECONNECT = 1.0
"""Seconds between attempts to reach qmgr."""

MOST_WAITING = 20_000
"""Notices held while qmgr is slow; beyond that they are dropped, and qmgr finds the mail by itself."""


class NoticeSender:
    """The writing side: one a process. Notices of one turn of the event loop travel together."""

    def __init__(self, path: str = SOCKET, *, reconnect: float = RECONNECT) -> None:
        self._path = path
        self._reconnect = reconnect
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Notice] = []
        self._frames: Frames | None = None
        self._retry_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def arrived(self, place: Place, envelope: Envelope) -> None:
        """A message is on stable storage."""
        self.send(Arrived(place, envelope))

    def held(self, place: Place, envelope: Envelope) -> None:
        """A message is on stable storage and is to be held."""
        self.send(Held(place, envelope))

    def sealed(self, segment: str, records: int) -> None:
        """A journal segment gets no more records."""
        self.send(Sealed(segment, records))

    def send(self, notice: Notice) -> None:
        """Queue a notice. Never fails and never waits; it may be lost."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.clear()
        self._waiting.append(notice)
        if self._task is None:
            frames = self._frames
            if frames is not None and frames.open and frames.writable.is_set():
                if len(self._waiting) == 1:
                    self._loop.call_soon(self._flush)
                return
            if frames is None and self._loop.time() < self._retry_at:
                self._waiting.clear()  # qmgr was away a moment ago
                return
            self._task = self._loop.create_task(self._reach())
            self._task.add_done_callback(self._reached)

    def _flush(self) -> None:
        if self._waiting and self._frames is not None:
            batch, self._waiting = self._waiting, []
            self._frames.send(encode(batch))

    async def _reach(self) -> None:
        """Connect, or wait until qmgr reads again; then say what has gathered."""
        if self._frames is not None and self._frames.open:
            await self._frames.writable.wait()
        else:
            try:
                self._frames = await connect(self._path, self._ignored, self._closed)
            except OSError:
                self._frames = None
                self._retry_at = self._loop.time() + self._reconnect
                self._waiting.clear()
                return
        self._flush()

    def _reached(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and task.exception() is not None:
            log.warning(f"notice to qmgr: {task.exception()}")

    def _ignored(self, payload: bytes) -> None:
        """qmgr says nothing here."""

    def _closed(self, reason: Exception | None) -> None:
        self._frames = None

    async def stop(self) -> None:
        """Say what is left, hang up."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=1)
        if self._frames is not None and self._frames.open:
            self._flush()
            self._frames.close()
