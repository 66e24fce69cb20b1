"""What every delivery agent is built on: smtp, lmtp, local, virtual, pipe, error, retry, discard.

An agent subclasses `DeliveryAgent` and writes `deliver`: one message, one next hop, some recipients in, one outcome for
each recipient out. The rest is here: the conversation of `services/delivery.py` with qmgr, how many deliveries run at
once, one frame of reports for each turn of the event loop, the `to=<...>` log line, soft_bounce, and the promise that
whatever goes wrong in an agent is Deferred.

    class DiscardService(DeliveryAgent):
        async def deliver(self, delivery: Delivery) -> Answer:
            return Answer([self.settle(delivery, each, Sent("2.0.0", "gone")) for each in delivery.recipients])
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from estafeta.base import log
from estafeta.mail.envelope import TRACE_PROBE, TRACE_VERIFY, Recipient
from estafeta.mail.logline import delays_of, delivery_line
from estafeta.mail.outcome import STATUS_WORD, Bounced, Deferred, Outcome, Sent
from estafeta.net.frames import Frames
from estafeta.services.delivery import ENDING, Delivery, Ready, Report, decode_to_agent, encode, result_of
from estafeta.skeleton.service import Context, Service
from estafeta.skeleton.status_filter import StatusFilter

FAILED = Deferred("4.3.0", "mail system failure; see the log for the reason")
SWEEP = 60.0
"""Seconds between two looks for deliveries that take too long."""


@dataclass(slots=True)
class Answer:
    """What `deliver` returns: one outcome for each recipient, in the order of the delivery.

    `dead` is set when the next hop as a whole could not be reached (connection or handshake failed): qmgr narrows its
    concurrency to that next hop and in the end suspends it, for this reason.
    """

    outcomes: list[Outcome]
    dead: Deferred | None = None


class DeliveryAgent(Service):
    """One process of a transport. It has one connection, from qmgr, and those of agents that pass mail on when there
    may be no other process for them; `slots` deliveries run at a time."""

    status_filter: StatusFilter | None = None
    """Set by agents that have a `*_delivery_status_filter`, when they open."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.conversations: set[Conversation] = set()
        self.running = 0
        """Deliveries, of all connections."""

    async def deliver(self, delivery: Delivery) -> Answer:
        """Deliver to all of `delivery.recipients`; log each through `settle`. May raise: all is put off."""
        raise NotImplementedError(f"{type(self).__name__} delivers nothing")

    def at_once(self, delivery: Delivery) -> Answer | None:
        """An answer that needs no waiting; None for `deliver` to be called. It saves a task for each delivery."""
        return None

    def client(self, release: Callable[[], None]) -> asyncio.BaseProtocol:
        conversation = Conversation(self, self.slots, release)
        self.conversations.add(conversation)
        return conversation.frames

    def draining(self) -> None:
        """Tell qmgr to send no more. It closes when it has heard about everything that it sent, which releases it."""
        for conversation in self.conversations:
            conversation.end()

    @property
    def slots(self) -> int:
        """How many deliveries this process makes at the same time; 0 for no limit."""
        return self.context.slots

    def take_next(self, last: Conversation) -> None:
        """A delivery of `last` has ended. Those who have other connections go first: they are few, and wait for it."""
        if len(self.conversations) > 1 and any(one.take_next() for one in self.conversations if one is not last):
            return
        last.take_next()

    def settle(
        self,
        delivery: Delivery,
        recipient: Recipient,
        outcome: Outcome,
        *,
        connected: float = 0.0,
        conn_use: int = 0,
    ) -> Outcome:
        """Write the log line of one recipient; returns the outcome for the answer: as the status filter has it, and
        put off instead of returned under soft_bounce.

        `connected` is when the connection was ready, seconds since the epoch, 0 where there is none; `conn_use` counts
        the deliveries over it.
        """
        if self.status_filter is not None:
            outcome = self.status_filter(outcome)
        status = STATUS_WORD[type(outcome)]
        if isinstance(outcome, Bounced) and self.conf.soft_bounce:
            status = "SOFTBOUNCE"
            softer = "4" + outcome.dsn[1:]
            outcome = Deferred(softer, outcome.text, outcome.relay, outcome.remote_mta, outcome.diagnostic)
        if delivery.trace & TRACE_VERIFY:
            status = "deliverable" if isinstance(outcome, Sent) else "undeliverable"
            if delivery.trace & TRACE_PROBE and status != "deliverable" and not self.conf.address_verify_negative_cache:
                status = "undeliverable-but-not-cached"
        log.info(
            delivery_line(
                delivery.queue_id,
                recipient.address,
                recipient.original,
                outcome.relay,
                delays_of(delivery.arrived, delivery.activated, delivery.handed, connected, time.time()),
                outcome.dsn,
                status,
                outcome.text,
                conn_use=conn_use,
                limit=self.conf.delay_logging_resolution_limit,
            )
        )
        return outcome

    def settle_all(self, delivery: Delivery, outcome: Outcome, *, dead: bool = False) -> Answer:
        """The same outcome for every recipient. `dead`: the next hop cannot be reached, so others need not try."""
        outcomes = [self.settle(delivery, recipient, outcome) for recipient in delivery.recipients]
        return Answer(outcomes, outcome if dead and isinstance(outcome, Deferred) else None)

    async def guarded(self, delivery: Delivery) -> Answer:
        """`deliver`, where an exception or a wrong number of outcomes puts the whole delivery off."""
        try:
            answer = await self.deliver(delivery)
            if len(answer.outcomes) != len(delivery.recipients):
                raise RuntimeError(f"{len(answer.outcomes)} outcomes for {len(delivery.recipients)} recipients")
            return answer
        except Exception as error:
            return self.failed(delivery, error)

    def failed(self, delivery: Delivery, error: Exception) -> Answer:
        """An agent that fails takes no mail along: say what happened, and try again later."""
        where = traceback.extract_tb(error.__traceback__)[-1:]
        place = f" ({where[0].filename}:{where[0].lineno})" if where else ""
        log.warning(f"{delivery.queue_id}: delivery to {delivery.nexthop} failed: {error!r}{place}")
        return self.settle_all(delivery, FAILED)


class Conversation:
    """One connection from qmgr."""

    def __init__(self, agent: DeliveryAgent, slots: int, release: Callable[[], None]) -> None:
        self.agent = agent
        self.slots = slots
        self.frames = Frames(self._received, self._closed, self._opened)
        self._release = release
        self._waiting: deque[Delivery] = deque()
        self._running: dict[asyncio.Task[None], tuple[Delivery, float]] = {}
        """Each with the moment when it began, in the loop's seconds."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._reports: list[Ready | Report] = []
        self._loop = asyncio.get_running_loop()
        self._gone = False

    def end(self) -> None:
        """Tell qmgr to send no more; it closes when it has heard about everything that it sent."""
        if not self._gone:
            self._say(Ready(ENDING))

    def _opened(self, frames: Frames) -> None:
        frames.send(encode([Ready(self.slots)]))

    def _received(self, payload: bytes) -> None:
        try:
            deliveries = decode_to_agent(payload)
        except msgspec.MsgspecError as error:
            log.warning(f"malformed delivery request: {error}; is qmgr of the same release? run: postfix reload")
            self.frames.close()
            return
        for delivery in deliveries:
            answer = self._at_once(delivery)
            if answer is not None:
                self._report(delivery, answer)
            elif self.slots and self.agent.running >= self.slots:
                self._waiting.append(delivery)
            else:
                self._begin(delivery)

    def _at_once(self, delivery: Delivery) -> Answer | None:
        try:
            return self.agent.at_once(delivery)
        except Exception as error:
            return self.agent.failed(delivery, error)

    def _begin(self, delivery: Delivery) -> None:
        task = self._loop.create_task(self._run(delivery))
        self._running[task] = (delivery, self._loop.time())
        self.agent.running += 1
        task.add_done_callback(self._finished)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP, self._sweep)

    async def _run(self, delivery: Delivery) -> None:
        self._report(delivery, await self.agent.guarded(delivery))

    def _finished(self, task: asyncio.Task[None]) -> None:
        delivery, _ = self._running.pop(task)
        self.agent.running -= 1
        if task.cancelled() or task.exception() is not None:
            # qmgr must hear of every delivery, or it would wait for ever.
            reason = "it was given up" if task.cancelled() else repr(task.exception())
            log.warning(f"{delivery.queue_id}: delivery to {delivery.nexthop} failed: {reason}")
            self._report(delivery, Answer([FAILED for _ in delivery.recipients]))
        self.agent.take_next(self)
        if self._gone and not self._running:
            self._let_go()

    def take_next(self) -> bool:
        """Begin what has waited longest; False when nothing waits."""
        if not self._waiting:
            return False
        self._begin(self._waiting.popleft())
        return True

    def _sweep(self) -> None:
        """Give up deliveries that take longer than anything may: daemon_timeout."""
        self._sweeper = None
        oldest = self._loop.time() - self.agent.conf.daemon_timeout
        for task, (_, began) in list(self._running.items()):
            if began < oldest:
                task.cancel()
        if self._running:
            self._sweeper = self._loop.call_later(SWEEP, self._sweep)

    def _report(self, delivery: Delivery, answer: Answer) -> None:
        dead = result_of(answer.dead) if answer.dead is not None else None
        self._say(Report(delivery.number, [result_of(outcome) for outcome in answer.outcomes], dead))

    def _say(self, word: Ready | Report) -> None:
        if not self._reports:
            self._loop.call_soon(self._flush)
        self._reports.append(word)

    def _flush(self) -> None:
        reports, self._reports = self._reports, []
        if not self._gone:
            self.frames.send(encode(reports))

    def _closed(self, reason: Exception | None) -> None:
        # What has not begun is qmgr's again: it hears no report, so it will ask anew. What runs must run to its end.
        self._gone = True
        self._waiting.clear()
        if not self._running:
            self._let_go()

    def _let_go(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        self.agent.conversations.discard(self)
        self._release()
