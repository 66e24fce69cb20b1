"""Asking another of our processes: the client's half of every conversation of questions and answers over frames.

`Asker` keeps one connection for many questions at the same time: questions bear numbers, and an answer repeats the
number of its question. It connects when there is something to ask, and again after the service has gone: a reload puts
another process in its place. `ask_once` is for the services whose connection carries one question.

Every error is an OSError with the socket in `filename` and the reason in `strerror`, whatever went wrong: nobody
listens, the connection is lost, no answer in time (TimeoutError), an answer that cannot be read.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

import msgspec

from estafeta.net.frames import Frames, connect


class Numbered(Protocol):
    """A message, which is a msgspec struct, that says which question it is or answers."""

    number: int


Reply = TypeVar("Reply", bound=Numbered)
Word = TypeVar("Word")
Connect = Callable[[str, Callable[[bytes], None], Callable[[Exception | None], None]], Awaitable[Frames]]

_encode = msgspec.msgpack.Encoder().encode


class Asker(Generic[Reply]):
    """One a process and service. `timeout` (seconds) is for the whole of a question, connecting included."""

    def __init__(
        self,
        socket: str,
        timeout: float,
        decode: Callable[[bytes], Reply],
        *,
        connect: Connect = connect,
        greeting: Callable[[], bytes | None] | None = None,
        lost: Callable[[], None] | None = None,
    ) -> None:
        """`greeting` makes what is said first on each new connection, if anything; no answer is awaited. `lost` is
        called when a connection has ended."""
        self.socket = socket
        self._greeting = greeting
        self._lost = lost
        self._timeout = timeout
        self._decode = decode
        self._connect = connect
        self._connecting = asyncio.Lock()
        self._frames: Frames | None = None
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        """What was asked over the connection there is: the end of an earlier one does not concern them."""
        self._number = 0

    async def ask(self, message: Numbered, *, retry_lost: bool = False) -> Reply:
        """The answer; `message.number` is set here. Raises OSError (TimeoutError): ask again later.

        The service may have done all the same what it was asked to. `retry_lost`: ask once more when the connection is
        lost, as when another process has taken the service's place; for questions that do no harm when asked twice.
        """
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    return await self._ask(message)
                except ConnectionResetError:
                    if not retry_lost:
                        raise
                    return await self._ask(message)
        except TimeoutError as error:
            raise _late(self.socket, self._timeout) from error

    def post(self, message: Numbered) -> asyncio.Future[Reply] | None:
        """Ask without waiting for the answer, which has no deadline; it is an OSError when the connection is lost.
        None if there is no connection just now: `open` makes one."""
        frames = self._frames
        if frames is None or not frames.open:
            return None
        self._number += 1
        message.number = number = self._number
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        frames.send(_encode(message))
        return reply

    def tell(self, message: Numbered) -> bool:
        """Say what wants no answer; false, and not said, if there is no connection just now."""
        if self._frames is None or not self._frames.open:
            return False
        self._frames.send(_encode(message))
        return True

    async def open(self) -> None:
        """Connect, if there is no connection. Raises OSError (TimeoutError)."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._connected()
        except TimeoutError as error:
            raise _late(self.socket, self._timeout) from error

    async def _connected(self) -> Frames:
        async with self._connecting:
            if self._frames is None or not self._frames.open:
                self._frames = await self._open()
            return self._frames

    async def _ask(self, message: Numbered) -> Reply:
        frames = await self._connected()
        waiting = self._waiting
        self._number += 1
        message.number = number = self._number
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        waiting[number] = reply
        try:
            frames.send(_encode(message))
            return await reply
        finally:
            waiting.pop(number, None)

    async def _open(self) -> Frames:
        waiting = self._waiting = {}
        try:
            frames = await self._connect(self.socket, partial(self._received, waiting), partial(self._closed, waiting))
        except OSError as error:
            error.filename = self.socket
            raise
        if self._greeting is not None and (word := self._greeting()) is not None:
            frames.send(word)
        return frames

    def _received(self, waiting: dict[int, asyncio.Future[Reply]], payload: bytes) -> None:
        try:
            reply = self._decode(payload)
        except msgspec.MsgspecError as error:
            # Whose answer it was cannot be told: all have to ask again.
            self._fail(waiting, OSError(errno.EBADMSG, f"malformed reply: {error}", self.socket))
            self.close()
            return
        asked = waiting.pop(reply.number, None)
        if asked is not None and not asked.done():
            asked.set_result(reply)

    def _closed(self, waiting: dict[int, asyncio.Future[Reply]], reason: Exception | None) -> None:
        self._fail(waiting, _lost(self.socket))
        if self._lost is not None:
            self._lost()

    @staticmethod
    def _fail(waiting: dict[int, asyncio.Future[Reply]], error: OSError) -> None:
        for asked in waiting.values():
            if not asked.done():
                asked.set_exception(error)
                asked.exception()  # it may be that nobody waits any more

    def close(self) -> None:
        """Hang up: who waits for an answer gets ConnectionResetError. Another question connects again."""
        frames, self._frames = self._frames, None
        if frames is not None:
            frames.close()


async def ask_once(socket: str, payload: bytes, timeout: float, decode: Callable[[bytes], Word]) -> Word:
    """One question over a connection of its own, and the first answer. Raises OSError (TimeoutError)."""
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def received(payload: bytes) -> None:
        if not answer.done():
            answer.set_result(payload)

    def closed(reason: Exception | None) -> None:
        if not answer.done():
            answer.set_exception(_lost(socket))
            answer.exception()  # it may be that nobody waits any more

    frames: Frames | None = None
    try:
        async with asyncio.timeout(timeout):
            frames = await connect(socket, received, closed)
            frames.send(payload)
            return decode(await answer)
    except TimeoutError as error:
        raise _late(socket, timeout) from error
    except OSError as error:
        error.filename = socket
        raise
    except msgspec.MsgspecError as error:
        raise OSError(errno.EBADMSG, f"malformed reply: {error}", socket) from error
    finally:
        if frames is not None:
            frames.close()


def _lost(socket: str) -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "lost connection", socket)


def _late(socket: str, timeout: float) -> TimeoutError:
    return TimeoutError(errno.ETIMEDOUT, f"no answer within {timeout:g} seconds", socket)
