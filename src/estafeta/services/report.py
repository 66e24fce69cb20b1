"""qmgr asks bounce(8) to tell a sender what became of a message: failed, delayed, or (on request) delivered.

Over `private/bounce`, `private/defer` and `private/trace`, one request and one reply a message. The daemon keeps
nothing: the reasons are in the request, the content is read from the spool by place. Ok means that the report is on
stable storage (or that none is due, as for a bounce of a bounce that nobody wants), so qmgr may let go.
"""

from __future__ import annotations

import asyncio

import msgspec

from estafeta.mail.envelope import Envelope
from estafeta.net.frames import Frames, connect
from estafeta.queue.place import Place
from estafeta.services.delivery import Result

BOUNCE, DELAY, SUCCESS, VERIFY = "bounce", "delay", "success", "verify"


class ReportRequest(msgspec.Struct, array_like=True):
    """`results` maps the index of a recipient in the envelope to what became of it."""

    number: int
    kind: str
    """BOUNCE: non-delivery. DELAY: still trying. SUCCESS: NOTIFY=SUCCESS. VERIFY: sendmail -bv and -v."""
    place: Place
    envelope: Envelope
    results: dict[int, Result]


class ReportReply(msgspec.Struct, array_like=True):
    number: int
    ok: bool
    reason: str = ""


encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(ReportRequest).decode
decode_reply = msgspec.msgpack.Decoder(ReportReply).decode


class Reporter:
    """The asking side: one connection to one of the three services, opened when it is needed."""

    def __init__(self, socket: str, timeout: float) -> None:
        self._socket = socket
        self._timeout = timeout
        self._frames: Frames | None = None
        self._opening = asyncio.Lock()
        self._number = 0
        self._asked: dict[int, asyncio.Future[ReportReply]] = {}

    async def ask(self, kind: str, place: Place, envelope: Envelope, results: dict[int, Result]) -> str:
        """Have a report written. Returns "" when it is safe, else why it could not be done; ask again later then."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._ask(kind, place, envelope, results)
        except TimeoutError:
            return f"{self._socket}: no answer within {self._timeout:g} seconds"
        except OSError as error:
            return f"{self._socket}: {error.strerror or error}"

    async def _ask(self, kind: str, place: Place, envelope: Envelope, results: dict[int, Result]) -> str:
        frames = await self._connection()
        self._number += 1
        number = self._number
        reply: asyncio.Future[ReportReply] = asyncio.get_running_loop().create_future()
        self._asked[number] = reply
        try:
            frames.send(encode(ReportRequest(number, kind, place, envelope, results)))
            answer = await reply
        finally:
            del self._asked[number]
        return "" if answer.ok else answer.reason or "the report could not be written"

    async def _connection(self) -> Frames:
        async with self._opening:
            if self._frames is None or not self._frames.open:
                self._frames = await connect(self._socket, self._received, self._closed)
            return self._frames

    def _received(self, payload: bytes) -> None:
        reply = decode_reply(payload)
        waiting = self._asked.get(reply.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    def _closed(self, reason: Exception | None) -> None:
        self._frames = None
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("connection lost"))

    def close(self) -> None:
        if self._frames is not None:
            self._frames.close()
