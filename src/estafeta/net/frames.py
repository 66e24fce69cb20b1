"""Frames between our own processes: four bytes of length, big-endian, then that many bytes.

Both ends are ours, but a frame has a limit all the same, so that damage cannot ask for the whole memory. What is sent
during one turn of the event loop goes out in one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LARGEST_FRAME = 512 * 1024 * 1024
"""Bytes. A message with a million recipients fits; a corrupt length does not."""


class Frames(asyncio.Protocol):
    """One connection. `received(payload)` for each frame, `closed(reason)` once at the end."""

    def __init__(
        self,
        received: Callable[[bytes], None],
        closed: Callable[[Exception | None], None] | None = None,
        opened: Callable[[Frames], None] | None = None,
    ) -> None:
        self._received = received
        self._closed = closed
        self._opened = opened
        self._held = bytearray()
        self._outgoing: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # stream transports are Transports
        transport.set_write_buffer_limits(high=4 * 1024 * 1024)  # type: ignore[attr-defined]  # as above
        if self._outgoing:
            self._loop.call_soon(self._flush)
        if self._opened:
            self._opened(self)

    def data_received(self, data: bytes) -> None:
        held = self._held
        if held:
            held += data
            data = bytes(held)
            held.clear()
        start, end = 0, len(data)
        while end - start >= 4:
            length = int.from_bytes(data[start : start + 4], "big")
            if length > LARGEST_FRAME:
                self.close()
                return
            if end - start - 4 < length:
                break
            payload = data[start + 4 : start + 4 + length]
            start += 4 + length
            self._received(payload)
        if start < end:
            held += data[start:] if start else data

    def send(self, payload: bytes) -> None:
        """Queue a frame; it leaves at the end of this turn of the loop, with all others of the turn."""
        if not self._outgoing and self._transport is not None:
            self._loop.call_soon(self._flush)
        self._outgoing.append(len(payload).to_bytes(4, "big"))
        self._outgoing.append(payload)

    def _flush(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        outgoing, self._outgoing = self._outgoing, []
        if outgoing:
            self._transport.write(b"".join(outgoing))

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def connection_lost(self, reason: Exception | None) -> None:
        self.writable.set()
        if self._closed:
            self._closed(reason)


async def connect(
    path: str, received: Callable[[bytes], None], closed: Callable[[Exception | None], None] | None = None
) -> Frames:
    """Connect to a local socket. Raises OSError when nobody listens."""
    loop = asyncio.get_running_loop()
    _, frames = await loop.create_unix_connection(lambda: Frames(received, closed), path)
    return frames
