"""showq(8): lists the queue for mailq and postqueue, to whoever may connect. Reading is a thread's work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from estafeta.base import log
from estafeta.net.frames import Frames
from estafeta.services.showq import PIECE, Shown, encode, listing
from estafeta.skeleton.service import Service


class ShowqService(Service):
    """A client says nothing; it gets the list and is shown out."""

    def client(self, release: Callable[[], None]) -> asyncio.BaseProtocol:
        return _Client(release).frames


class _Client:
    def __init__(self, release: Callable[[], None]) -> None:
        self.frames = Frames(lambda payload: None, self._closed, self._opened)
        self._release = release
        self._task: asyncio.Task[None] | None = None

    def _opened(self, frames: Frames) -> None:
        self._task = asyncio.get_running_loop().create_task(self._list(frames))

    def _closed(self, reason: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()
        self._release()

    async def _list(self, frames: Frames) -> None:
        try:
            messages = listing()
            while frames.open and (piece := await asyncio.to_thread(_piece, messages)):
                frames.send(encode(piece))
                await asyncio.sleep(0)
                await frames.writable.wait()
            frames.send(encode([]))
        except OSError as error:
            # Without its end the client knows that the list is not whole.
            log.warning(f"cannot list the queue: {error}")
        finally:
            frames.close()


def _piece(messages: Iterator[Shown]) -> list[Shown]:
    piece = []
    for message in messages:
        piece.append(message)
        if len(piece) >= PIECE:
            break
    return piece
