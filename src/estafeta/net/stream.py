"""A line stream: what an SMTP session reads from and writes to.

Built on asyncio.Protocol so that a line that is already here is returned without suspending, and so that everything
written while answering pipelined commands leaves in one write, when the session next has to wait. One lazy timer a
stream keeps the deadline; arming it costs an assignment.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from estafeta.net.tls.peer import TlsPeer

if TYPE_CHECKING:
    from estafeta.net.tls.layer import Tracer
    from estafeta.net.tls.server import ServerTls

READ_LIMIT = 256 * 1024
"""Bytes held before the transport is told to stop reading."""
LAST_WORDS = 30.0
"""Seconds that a peer has to take what is still to be sent when the connection is closed."""


class PeerGone(ConnectionError):
    """The peer closed the connection or it broke."""


class LineTooLong(Exception):
    """A line is longer than the limit; `part` is what fits, the rest of the line is still to be skipped or read."""

    def __init__(self, part: bytes) -> None:
        super().__init__(f"line longer than {len(part)} bytes")
        self.part = part


class Stream(asyncio.Protocol):
    """One connection. Waits raise TimeoutError past the deadline and PeerGone when the peer is gone."""

    def __init__(
        self, opened: Callable[[Stream], None] | None = None, closed: Callable[[], None] | None = None
    ) -> None:
        self._opened = opened
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._held = bytearray()
        self._outgoing: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._transport: Any = None
        self._eof = False
        self._lost = False
        self._paused_reading = False
        self._paused_writing = False
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self.timeout = 300.0
        """Seconds that one wait may take."""
        self.until: float | None = None
        """The moment, by the loop's clock, at which any wait ends; it takes the place of `timeout` while it is set."""
        self.error: Exception | None = None
        self.record: deque[bytes | tuple[bytes, ...]] | None = None
        """Where lines that come in, and output in a tuple of one, are noted for a transcript; None for nowhere."""
        self.tls: TlsPeer | None = None
        """What the handshake told; None on a connection in the clear."""

    # --- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if self._opened:
            self._opened(self)

    def data_received(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > READ_LIMIT and not self._paused_reading:
            self._paused_reading = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._eof = True
        self._wake()
        return True  # keep our side open: what is still to be said must go out

    def pause_writing(self) -> None:
        self._paused_writing = True

    def resume_writing(self) -> None:
        self._paused_writing = False
        self._wake()

    def connection_lost(self, reason: Exception | None) -> None:
        self._eof = self._lost = True
        self._paused_writing = False  # nothing will ever drain; nobody must wait for it
        self.error = reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()
        if self._closed:
            self._closed()

    # --- the session's side

    async def line(self, limit: int) -> bytes:
        """The next line with its line end as it came (LF, perhaps after CR). Raises LineTooLong past `limit` bytes."""
        held, seen = self._held, 0
        while True:
            end = held.find(b"\n", seen, limit)
            if end >= 0:
                line = bytes(held[: end + 1])
                del held[: end + 1]
                if self.record is not None:
                    self.record.append(line)
                return line
            if len(held) >= limit:
                part = bytes(held[:limit])
                del held[:limit]
                if self.record is not None:
                    self.record.append(part)
                raise LineTooLong(part)
            seen = len(held)
            await self._more()

    async def skip_line(self) -> None:
        """The rest of a line that was too long, forgotten: its beginning alone says whether there is a secret in it."""
        held = self._held
        while (end := held.find(b"\n")) < 0:
            held.clear()
            await self._more()
        del held[: end + 1]

    async def chunk(self) -> bytes:
        """Whatever is here, at least one byte."""
        if not self._held:
            await self._more()
        data = bytes(self._held)
        self._held.clear()
        return data

    async def exactly(self, least: int, most: int) -> bytes:
        """Between `least` and `most` bytes: waits for `least`, takes up to `most`. Keep `least` small."""
        while len(self._held) < least:
            await self._more()
        data = bytes(self._held[:most])
        del self._held[:most]
        return data

    def unread(self, data: bytes) -> None:
        """Put back what was read too much (the commands pipelined behind a message's final dot)."""
        self._held[:0] = data

    @property
    def pending(self) -> bool:
        """Whether input is here that has not been read: the client pipelines."""
        return bool(self._held)

    def peek(self, most: int) -> bytes:
        """What of the unread input is here, not removed."""
        return bytes(self._held[:most])

    def take_pending(self) -> bytes:
        """All unread input, removed: what STARTTLS must throw away, what early talkers said."""
        data = bytes(self._held)
        self._held.clear()
        return data

    def write(self, data: bytes) -> None:
        """Queue output; it leaves at the next wait, or at flush."""
        if self.record is not None:
            self.record.append((data,))
        self._outgoing.append(data)

    def flush(self) -> None:
        """Hand all queued output to the transport in one write."""
        if self._outgoing and self._transport is not None:
            data = self._outgoing[0] if len(self._outgoing) == 1 else b"".join(self._outgoing)
            self._outgoing.clear()
            if not self._transport.is_closing():
                self._transport.write(data)

    async def drain(self) -> None:
        """Flush, and wait while the peer is slow to read."""
        self.flush()
        while self._paused_writing:
            await self._wait()

    async def readable(self) -> bool:
        """Flush and wait until input is here; False at the end of input. For greet delays and idle checks."""
        self.flush()
        while not self._held and not self._eof:
            await self._wait()
        return bool(self._held)

    async def start_tls(self, server: ServerTls, timeout: float, trace: Tracer | None = None) -> TlsPeer:
        """Flush, and go on in TLS, as the server. Unread input is taken for the client's handshake: what came in the
        clear and does not belong there is to be thrown away before. `timeout`: seconds for all of it.

        Raises TlsError, PeerGone, TimeoutError. After that nothing can be said
        any more: close. `trace` is shown what happens.
        """
        from estafeta.net.tls.layer import HandshakeLost, TlsLayer

        self.flush()
        if self.gone:
            raise PeerGone("lost connection")
        layer = TlsLayer(server, self, self._transport)
        try:
            tls = await layer.handshake(self.take_pending(), timeout, trace)
        except HandshakeLost:
            raise PeerGone("lost connection") from None
        self._transport = layer
        self._paused_reading = False
        self.tls = tls
        layer.begin()
        return tls

    @property
    def gone(self) -> bool:
        return self._eof or self._transport is None or self._transport.is_closing()

    def close(self) -> None:
        """Send what is queued, then close. A peer that does not take it is not waited for without end."""
        self.flush()
        if self._transport is None:
            return
        if not self._lost:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(LAST_WORDS, self.abort)
        self._transport.close()

    def abort(self) -> None:
        """Close at once, queued output lost."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def transport(self) -> Any:
        return self._transport

    async def _more(self) -> None:
        self.flush()
        while self._paused_writing:
            # A peer that sends and never reads: what we owe it must not pile up.
            await self._wait()
        if self._paused_reading:
            self._paused_reading = False
            self._transport.resume_reading()
        before = len(self._held)
        while len(self._held) == before:
            if self._eof:
                raise PeerGone("lost connection")
            await self._wait()

    async def _wait(self) -> None:
        self._deadline = self._loop.time() + self.timeout if self.until is None else self.until
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)
        elif self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _check_deadline(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        left = self._deadline - self._loop.time()
        if left > 0.001:
            self._timer = self._loop.call_later(left, self._check_deadline)
            return
        self._waiter.set_exception(TimeoutError("timeout"))
