"""Intake tells qmgr that a message is on stable storage. There is no reply.

The socket is qmgr's own, `private/notice`; frames hold one or more of these, as `net/frames.py` packs them. If qmgr is
away, the notice is lost and nothing else is: qmgr finds the record when it scans incoming/.

The other way qmgr says two words only, each when it begins to be true: `FULL`, new mail waits because there is no room
in the active queue, and `ROOM`. While it is full, writers let each message wait a moment (in_flow_delay).
"""

from __future__ import annotations

import asyncio

import msgspec

from estafeta.base import log
from estafeta.mail.envelope import Envelope
from estafeta.net.frames import Frames, connect
from estafeta.queue.place import Place

SOCKET = "private/notice"

FULL, ROOM = b"F", b"R"
"""What qmgr says: whole frames."""


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


class Missed(msgspec.Struct, array_like=True, tag="M"):
    """Notices were lost while qmgr was away: it is to look into incoming/ soon."""


Notice = Arrived | Sealed | Held | Missed
Batch = list[Notice]

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Batch).decode


RECONNECT = 0.2
"""Seconds between attempts to reach qmgr, as long as it has not been told of everything."""

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
        self._retry: asyncio.TimerHandle | None = None
        self._flushing = False
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        self.full = False
        """qmgr cannot take mail up as fast as it comes."""
        self._room = asyncio.Event()

    async def relief(self, most: float) -> None:
        """Wait until qmgr has room again, at most so many seconds."""
        try:
            await asyncio.wait_for(self._room.wait(), most)
        except TimeoutError:
            pass  # that was all the patience asked for

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
        if self._retry is not None:
            return  # qmgr was away a moment ago; when it is back, it is told to look for itself
        if len(self._waiting) >= MOST_WAITING:
            self._drop()
        self._waiting.append(notice)
        if self._task is None and not self._flushing:
            self._go_on()

    def _go_on(self) -> None:
        """See to it that what waits leaves: at the end of this turn, or when qmgr can be reached."""
        if self._frames is not None and self._frames.open and self._frames.writable.is_set():
            self._flushing = True
            self._loop.call_soon(self._flush)
        else:
            self._begin_to_reach()

    def _begin_to_reach(self) -> None:
        self._retry = None
        self._task = self._loop.create_task(self._reach())
        self._task.add_done_callback(self._reached)

    def _drop(self) -> None:
        self._waiting = [Missed()]

    def _flush(self) -> None:
        self._flushing = False
        if self._waiting and self._frames is not None:
            batch, self._waiting = self._waiting, []
            self._frames.send(encode(batch))

    async def _reach(self) -> None:
        """Connect, or wait until qmgr reads again; then say what has gathered."""
        if self._frames is not None and self._frames.open:
            await self._frames.writable.wait()
        else:
            try:
                self._frames = await connect(self._path, self._heard, self._closed)
            except OSError:
                self._frames = None
                self._drop()
                self._retry = self._loop.call_later(self._reconnect, self._begin_to_reach)
                return
        self._flush()

    def _reached(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and task.exception() is not None:
            log.warning(f"notice to qmgr: {task.exception()}")
        if self._waiting and self._retry is None:
            self._go_on()

    def _heard(self, payload: bytes) -> None:
        self._set_full(payload == FULL)

    def _set_full(self, full: bool) -> None:
        self.full = full
        if full:
            self._room.clear()
        else:
            self._room.set()

    def _closed(self, reason: Exception | None) -> None:
        """qmgr has gone; what was under way to it may be lost, so the next one is told to look."""
        self._frames = None
        self._set_full(False)
        if self._stopped:
            return
        self._drop()
        if self._task is None and self._retry is None:
            self._retry = self._loop.call_later(self._reconnect, self._begin_to_reach)

    async def stop(self) -> None:
        """Say what is left, hang up."""
        self._stopped = True
        if self._retry is not None:
            self._retry.cancel()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=1)
        if self._frames is not None and self._frames.open:
            self._flush()
            self._frames.close()
