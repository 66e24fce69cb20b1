"""The delivery agents of one transport, as qmgr sees them: one connection for each worker process.

The first connection is made when there is something to deliver, the next ones when those there are have enough to do.
A worker that answers nothing, because master cannot start it or it hangs, is no worker. An agent that dies takes no
mail along: what it had is put off; a transport whose agents cannot be reached at all is left alone for
transport_retry_time.

What became possible during one turn of the event loop is handed over at its end, in one frame for each worker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec

from estafeta.base import log
from estafeta.daemons.qmgr.message import Message
from estafeta.daemons.qmgr.schedule import Entry, Transport
from estafeta.mail.envelope import Recipient
from estafeta.mail.verp import verp_sender
from estafeta.net.frames import Frames, connect
from estafeta.services.delivery import ENDING, Delivery, Ready, Report, Result, decode_from_agent, encode

UNAVAILABLE = ("4.3.0", "mail transport unavailable")
LOST = Result("deferred", "4.3.0", "unknown mail transport error")
SHARE = 8
"""Deliveries that a worker should have before the next one is called in."""

Delivered = Callable[[Entry, list[Result]], None]
PutOff = Callable[[list[Entry], tuple[str, str]], None]
Connect = Callable[[str, Callable[[bytes], None], Callable[[Exception | None], None]], Awaitable[Frames]]


class Worker:
    """One connection. `slots` is -1 until the agent has said how much it takes."""

    def __init__(self, agents: Agents) -> None:
        self.agents = agents
        self.frames: Frames | None = None
        self.slots = -1
        self.ending = False
        self.gone = False
        self.answered = 0
        self.busy: dict[int, Entry] = {}
        self.outgoing: list[Delivery] = []

    @property
    def free(self) -> bool:
        if self.slots < 0 or self.ending or self.gone:
            return False
        return not self.slots or len(self.busy) < self.slots

    def received(self, payload: bytes) -> None:
        try:
            words = decode_from_agent(payload)
        except msgspec.MsgspecError as error:
            log.warning(f"private/{self.agents.name} socket: malformed response: {error}")
            self.close()
            return
        for word in words:
            if isinstance(word, Report):
                entry = self.busy.pop(word.number, None)
                if entry is not None:
                    self.answered += 1
                    self.agents.reported(entry, word)
            else:
                self.heard(word)
        if self.ending and not self.busy:
            self.close()
        self.agents.wanted()

    def heard(self, word: Ready) -> None:
        if word.slots == ENDING:
            self.ending = True
        else:
            self.slots = word.slots

    def closed(self, reason: Exception | None) -> None:
        self.gone = True
        self.agents.lost(self)

    def close(self) -> None:
        if self.frames is not None:
            self.frames.close()

    def flush(self) -> None:
        if self.outgoing and self.frames is not None:
            outgoing, self.outgoing = self.outgoing, []
            self.frames.send(encode(outgoing))


class Agents:
    """One transport: its scheduler and its workers."""

    def __init__(
        self,
        scheduler: Transport,
        *,
        workers: int,
        retry_time: float,
        timeout: float,
        delivered: Delivered,
        put_off: PutOff,
        clock: Callable[[], float] = time.time,
        connect: Connect = connect,
    ) -> None:
        self.scheduler = scheduler
        self.name = scheduler.name
        self.suspended: tuple[str, str] | None = None
        """Why nothing is sent now."""
        self._most_workers = workers
        self._retry_time = retry_time
        self._timeout = timeout
        self._delivered = delivered
        self._put_off = put_off
        self._clock = clock
        self._connect_to = connect
        self._loop = asyncio.get_running_loop()
        self._workers: list[Worker] = []
        self._connecting: asyncio.Task[None] | None = None
        self._pumping = False
        self._number = 0
        self._tick: asyncio.TimerHandle | None = None
        self._resume: asyncio.TimerHandle | None = None
        self.closing = False
        self.leaving = False
        """Another qmgr schedules now; reports on what agents have are still taken."""

    # --- what happens

    def wanted(self) -> None:
        """Something may be possible that was not: look at the end of this turn of the loop."""
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def reported(self, entry: Entry, report: Report) -> None:
        now = self._clock()
        dead = (report.dead.dsn, report.dead.text) if report.dead is not None else None
        results = report.results
        if len(results) != len(entry.recipients):
            log.warning(f"transport {self.name}: {len(results)} results for {len(entry.recipients)} recipients")
            results = [LOST] * len(entry.recipients)
        orphans = self.scheduler.finished(entry, now, dead)
        self._delivered(entry, results)
        if orphans and dead is not None and not self.closing:
            self._put_off(orphans, suspended(dead))

    def lost(self, worker: Worker) -> None:
        """The connection is gone, and what it had with it."""
        if worker in self._workers:
            self._workers.remove(worker)
        entries = list(worker.busy.values())
        worker.busy.clear()
        if self.closing and not self.leaving:
            # We end, and so does the agent: the next qmgr finds the mail as it is and sends it at once.
            self.scheduler.busy -= len(entries)
            return
        if entries:
            log.warning(f"private/{self.name} socket: lost connection; {len(entries)} deliveries are tried again later")
        now = self._clock()
        for entry in entries:
            self.scheduler.finished(entry, now)
            self._delivered(entry, [LOST] * len(entry.recipients))
        if self.leaving:
            return
        # An agent that dies before it ever answers would die again at once.
        if not worker.ending and not worker.answered and (entries or self.scheduler.todo):
            self._suspend(UNAVAILABLE if not entries else (LOST.dsn, LOST.text))
        self.wanted()

    def flush(self) -> None:
        """Try again what counts as unreachable."""
        self.scheduler.flush()
        self._go_on()

    def end(self) -> None:
        """No more deliveries; reports are still taken."""
        self.closing = True
        self.leaving = False

    def leave(self) -> list[Entry]:
        """Another qmgr takes over: each connection closes when everything that it carries is reported. Returns that."""
        self.leaving = True
        self._end_timers()
        entries: list[Entry] = []
        for worker in list(self._workers):
            worker.ending = True
            entries += worker.busy.values()
            if not worker.busy:
                worker.close()
        return entries

    def close(self) -> None:
        """The connections close, whatever they have."""
        self.leaving = False
        self._end_timers()
        for worker in list(self._workers):
            worker.close()

    def _end_timers(self) -> None:
        self.closing = True
        for timer in (self._tick, self._resume):
            if timer is not None:
                timer.cancel()
        if self._connecting is not None:
            self._connecting.cancel()

    # --- handing over

    def _pump(self) -> None:
        self._pumping = False
        if self.closing:
            return
        now = self._clock()
        self.scheduler.tick(now)
        while self.scheduler.todo and self.suspended is None:
            worker = self._freest()
            if worker is None:
                break
            entry = self.scheduler.next(now)
            if entry is None:
                break
            self._hand(worker, entry, now)
        for worker in self._workers:
            worker.flush()
        self._call_in()
        self._set_timer(now)

    def _freest(self) -> Worker | None:
        best = None
        for worker in self._workers:
            if worker.free and (best is None or len(worker.busy) < len(best.busy)):
                best = worker
        return best

    def _hand(self, worker: Worker, entry: Entry, now: float) -> None:
        message: Message = entry.job.message
        envelope = message.envelope
        everyone = envelope.recipients
        recipients = []
        for index, address in zip(entry.recipients, entry.addresses, strict=True):
            one = everyone[index]
            if one.address != address:
                one = Recipient(address, one.original or one.address, one.notify, one.orcpt)
            recipients.append(one)
        sender = envelope.sender
        if envelope.verp:
            one = everyone[entry.recipients[0]]
            sender = verp_sender(envelope.verp, sender, one.original or one.address)
        self._number += 1
        worker.busy[self._number] = entry
        worker.outgoing.append(
            Delivery(
                self._number,
                message.place,
                message.queue_id,
                self.name,
                entry.destination.nexthop,
                sender,
                recipients,
                envelope.arrived,
                message.activated,
                now,
                envelope.size,
                envelope.envid,
                envelope.ret,
                envelope.encoding,
                envelope.smtputf8,
                envelope.trace,
                envelope.client,
                envelope.verp,
                envelope.context,
            )
        )

    # --- connections

    def _call_in(self) -> None:
        """Connect to one more worker if there is work for it."""
        if self._connecting is not None or not self.scheduler.todo or self.suspended or self.scheduler.held:
            return
        serving = [worker for worker in self._workers if not worker.ending]
        if not serving or (
            len(serving) < self._most_workers
            and all(worker.slots >= 0 for worker in serving)
            and all(len(worker.busy) >= SHARE or not worker.free for worker in serving)
        ):
            self._connecting = self._loop.create_task(self._connect(first=not serving))
            self._connecting.add_done_callback(self._connected)

    async def _connect(self, *, first: bool) -> None:
        path = f"private/{self.name}"
        worker = Worker(self)
        try:
            async with asyncio.timeout(self._timeout):
                worker.frames = await self._connect_to(path, worker.received, worker.closed)
        except (OSError, TimeoutError) as error:
            reason = "timeout" if isinstance(error, TimeoutError) else error.strerror or str(error)
            log.warning(f"connect to transport {path}: {reason}")
            if first:
                self._suspend(UNAVAILABLE)
            return
        if worker.gone:
            return
        self._workers.append(worker)
        # master accepts for a worker that it is yet to start. One that never speaks is none, however.
        self._loop.call_later(self._timeout, self._check_ready, worker)

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(f"connect to transport private/{self.name}: {error!r}")
        self.wanted()

    def _check_ready(self, worker: Worker) -> None:
        if worker.slots >= 0 or worker.gone or self.closing:
            return
        if all(other is worker or other.slots < 0 for other in self._workers):
            log.warning(f"timeout connecting to transport: private/{self.name}")
            worker.ending = True
            self._suspend(UNAVAILABLE)
        worker.close()

    def _suspend(self, reason: tuple[str, str]) -> None:
        self.suspended = reason
        if self._resume is not None:
            self._resume.cancel()
        self._resume = self._loop.call_later(self._retry_time, self._go_on)
        entries = self.scheduler.drain_all()
        if entries:
            self._put_off(entries, reason)

    def _go_on(self) -> None:
        self.suspended = None
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        self.wanted()

    def _set_timer(self, now: float) -> None:
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        if (moment := self.scheduler.wake_at) is not None:
            self._tick = self._loop.call_later(max(moment - now, 0.01), self.wanted)


def suspended(reason: tuple[str, str]) -> tuple[str, str]:
    """The reason as those hear it who were not even tried."""
    return reason[0], f"delivery temporarily suspended: {reason[1]}"
