"""An agent hands a recipient to another transport: mailbox_transport and its kin of local(8), best_mx_transport.

`lmtp:unix:private/dovecot-lmtp` is a transport and its next hop. We ask the transport's agent as qmgr would, over its
socket; it writes the recipient's log line, and its answer is ours. A connection is kept only while something is
asked over it, because the agent's process is reserved for us that long.
"""

from __future__ import annotations

import asyncio
import time

import msgspec

from estafeta.base import log
from estafeta.mail.envelope import Recipient
from estafeta.mail.logline import shown
from estafeta.mail.outcome import Deferred, Outcome
from estafeta.net import frames
from estafeta.services.delivery import Delivery, Report, decode_from_agent, encode, outcome_of

UNAVAILABLE = Deferred("4.3.0", "mail transport unavailable", "none")


class _Asked:
    """One connection and what is asked over it."""

    def __init__(self, transport: str) -> None:
        self.transport = transport
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting: dict[int, asyncio.Future[Outcome | None]] = {}
        self.frames: frames.Frames | None = None
        self.users = 0

    def received(self, payload: bytes) -> None:
        for word in decode_from_agent(payload):
            if isinstance(word, Report):
                answer = self.waiting.pop(word.number, None)
                if answer is not None and not answer.done():
                    answer.set_result(outcome_of(word.results[0]) if word.results else None)
            elif not self.ready.done():
                self.ready.set_result(None)

    def closed(self, reason: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionResetError(f"transport {self.transport} closed the connection"))
        for answer in self.waiting.values():
            if not answer.done():
                answer.set_result(None)


class PassOn:
    """One a process."""

    def __init__(self, *, timeout: float) -> None:
        self._timeout = timeout
        self._open: dict[str, _Asked] = {}
        self._number = 0

    async def deliver(self, target: str, delivery: Delivery, recipient: Recipient) -> Outcome | None:
        """`target`: `transport` or `transport:nexthop`. None: it could not be asked, and nothing is logged yet."""
        transport, _, nexthop = target.partition(":")
        log.info(f"{delivery.queue_id}: passing <{shown(recipient.address)}> to transport={transport}")
        asked = self._open.get(transport)
        if asked is None:
            asked = self._open[transport] = _Asked(transport)
        asked.users += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await self._ask(asked, nexthop or delivery.nexthop, delivery, recipient)
        except (OSError, msgspec.MsgspecError) as error:
            log.warning(f"{delivery.queue_id}: cannot ask transport {transport}: {error}")
            return None
        finally:
            asked.users -= 1
            if not asked.users:
                self._open.pop(transport, None)
                if asked.frames is not None:
                    asked.frames.close()

    async def _ask(self, asked: _Asked, nexthop: str, delivery: Delivery, recipient: Recipient) -> Outcome | None:
        if asked.users == 1:
            try:
                asked.frames = await frames.connect(f"private/{asked.transport}", asked.received, asked.closed)
            except OSError as error:
                asked.closed(error)
                raise
        await asyncio.shield(asked.ready)
        assert asked.frames is not None
        self._number += 1
        number = self._number
        answer: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        asked.waiting[number] = answer
        asked.frames.send(
            encode(
                [
                    msgspec.structs.replace(
                        delivery,
                        number=number,
                        transport=asked.transport,
                        nexthop=nexthop,
                        recipients=[recipient],
                        handed=time.time(),
                    )
                ]
            )
        )
        return await answer
