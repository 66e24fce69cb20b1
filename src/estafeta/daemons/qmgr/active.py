"""The active queue: the messages qmgr is working on.

New messages come by notice and wait in `backlog.Incoming`, deferred ones in `backlog.Deferred`; as there is room in
memory they are taken from both in turn, so that a backlog of old mail does not stop new mail. `dispatch.py` routes each
recipient to the scheduler of its transport; agents report what became of it; when all have, `finish.py` decides.

A handful of tasks does the routing, each one message after the other. Where routing needs no waiting, one of them
does it all without a pause; where a table is slow, the others go on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from estafeta.base import log
from estafeta.daemons.qmgr.agents import LOST, Connect
from estafeta.daemons.qmgr.backlog import Deferred, Incoming
from estafeta.daemons.qmgr.dispatch import TURN, Dispatch, Resolver
from estafeta.daemons.qmgr.finish import Finish
from estafeta.daemons.qmgr.message import Message
from estafeta.daemons.qmgr.schedule import Entry
from estafeta.mail.envelope import (
    ASKED_REQUEUE,
    NOTIFY_DELAY,
    NOTIFY_SUCCESS,
    TRACE_PROBE,
    TRACE_VERIFY,
    Envelope,
    Trouble,
)
from estafeta.mail.logline import shown
from estafeta.net.frames import connect
from estafeta.queue.handover import Heard, Kept
from estafeta.queue.keeper import Found, Returned
from estafeta.queue.place import Place
from estafeta.queue.record import Damaged
from estafeta.queue.spool import MessageGone
from estafeta.services.delivery import Result

ROUTERS = 16
"""Messages that may wait for a table at the same time."""
READ_AGAIN = 10.0
"""Seconds until a new message is tried once more that the disk did not give."""


class ActiveQueue:
    """All that is in memory. `keeper`: queue.keeper.Keeper. `workers_of(transport)`: (processes, maxproc) of it.
    `probe_routing` is the routing of address probes, where it differs."""

    def __init__(
        self,
        conf: Any,
        keeper: Any,
        routing: Resolver,
        finish: Finish,
        workers_of: Callable[[str], tuple[int, int]],
        clock: Callable[[], float] = time.time,
        connect: Connect = connect,
        probe_routing: Resolver | None = None,
    ) -> None:
        self.conf = conf
        self.keeper = keeper
        self.incoming = Incoming(conf.qmgr_message_recipient_limit)
        self.deferred = Deferred(keeper.deferred_path)
        self.active: dict[str, Message] = {}
        self.loading: dict[str, str] = {}
        """Messages whose files somebody reads or changes, so that nobody else takes them up: id -> path of what is read
        because it is due, else ""."""
        self.reading: list[Place] = []
        """New messages whose envelopes are being read, to be taken up."""
        self.recipients = 0
        """Recipients with schedulers and agents."""
        self.flushed: set[str] = set()
        self._confirm_delay_cleared: bool = conf.confirm_delay_cleared
        self.probes = 0
        """Active messages that are address probes."""
        self.starved: list[Message] = []
        """Messages with recipients that wait for room."""
        self.dispatch = Dispatch(conf, self, routing, probe_routing or routing, workers_of, clock, connect)
        self.transports = self.dispatch.transports
        self.agents = self.dispatch.agents
        self.flush_transports = self.dispatch.flush_transports
        self._finish = finish
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._message_limit: int = conf.qmgr_message_active_limit
        self._recipient_limit: int = conf.qmgr_message_recipient_limit
        self._count = 0
        self._refill: deque[Message] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._waking = False
        self._next_warning = 0.0
        self._deferred_turn = False
        self._due_timer: asyncio.TimerHandle | None = None
        self._due_at = 0
        """When it rings, seconds since the epoch."""
        self.stopping = False
        self._told: Callable[[str, dict[int, Heard]], None] | None = None
        """Who hears reports since another qmgr has the messages."""
        finish.queue = self

    # --- in

    def start(self) -> None:
        self._tasks = [self._loop.create_task(self._router()) for _ in range(ROUTERS)]

    def arrived(self, place: Place, envelope: Envelope) -> None:
        """A message is on stable storage: take it up, or remember it."""
        self.incoming.add(Found(place, envelope))
        self.wake()

    def recovered(self, found: Found) -> None:
        """A message that was found in incoming/."""
        self.incoming.add(found)
        self.wake()

    def wake(self) -> None:
        """There may be something to take up."""
        if not self._waking and not self.stopping:
            self._waking = True
            self._loop.call_soon(self._wake_router)

    def _wake_router(self) -> None:
        self._waking = False
        if self._idle and self._has_work():
            idle = self._idle.pop()
            if not idle.done():
                idle.set_result(None)

    def _has_work(self) -> bool:
        if self._refill:
            return True
        return self._room() and (len(self.incoming) > 0 or self._is_due(self._clock()))

    @property
    def full(self) -> bool:
        """New mail waits, and there is no room for it."""
        return len(self.incoming) > 0 and not self._room()

    def _room(self) -> bool:
        if len(self.active) < self._message_limit and self.recipients < self._recipient_limit:
            return True
        self._warn_of_clog()
        return False

    def _warn_of_clog(self) -> None:
        """Name the destination that takes most of the memory, if one does: other mail has to wait for it."""
        now = self._clock()
        if not self.conf.qmgr_clog_warn_time or now < self._next_warning:
            return
        self._next_warning = now + self.conf.qmgr_clog_warn_time
        waiting = (
            (each.todo, each.nexthop)
            for agents in self.transports.values()
            for each in agents.scheduler.destinations.values()
        )
        most, nexthop = max(waiting, default=(0, ""))
        if most * 5 > self._message_limit:
            log.warning(f"mail for {nexthop} is using up {most} of {len(self.active)} active queue entries")

    def _is_due(self, now: float) -> bool:
        due = self.deferred.next_due
        if due is None:
            return False
        if due <= now:
            return True
        if self._due_timer is None or due < self._due_at:
            if self._due_timer is not None:
                self._due_timer.cancel()
            self._due_timer = self._loop.call_later(due - now, self._due)
            self._due_at = due
        return False

    def _due(self) -> None:
        self._due_timer = None
        self.wake()

    async def _router(self) -> None:
        served = 0
        while True:
            if not self._has_work() or self.stopping:
                idle = self._loop.create_future()
                self._idle.append(idle)
                await idle
                # If this one has to wait for a table, another is to go on.
                self.wake()
            try:
                await self._work()
            except Exception as error:
                log.error(f"routing failed: {error!r}: the message is taken up again at the next start or scan")
            served += 1
            if served % TURN == 0:
                await asyncio.sleep(0)

    async def _work(self) -> None:
        """One message, or more recipients of one."""
        if self._refill:
            message = self._refill.popleft()
            if message.todo and not message.reading and message.queue_id in self.active:
                await self.dispatch.route(message)
            return
        if not self._room():
            return
        now = self._clock()
        self._deferred_turn = not self._deferred_turn
        if self._deferred_turn and self._is_due(now):
            await self._take_deferred(now)
        elif len(self.incoming):
            await self._take_incoming(now)
        elif self._is_due(now):
            await self._take_deferred(now)

    async def _take_incoming(self, now: float) -> None:
        first = self.incoming.take()
        if first is None:
            return
        if isinstance(first, Place):
            self.reading.append(first)
            try:
                envelope = await asyncio.to_thread(self._finish.reader.envelope, first)
            except (MessageGone, Damaged) as error:
                log.warning(f"{first.path}: {error}: message lost from the queue")
                return
            except OSError as error:
                log.warning(f"{first.path}: {error.strerror}: will try again")
                self.incoming.put_off(first)
                self._loop.call_later(READ_AGAIN, self._read_again)
                return
            finally:
                self.reading.remove(first)
            first = Found(first, envelope)
        await self._activate(first, now)

    def _read_again(self) -> None:
        self.incoming.try_again()
        self.wake()

    async def _take_deferred(self, now: float) -> None:
        due = self.deferred.take(now)
        if due is None:
            return
        queue_id, path = due
        self.loading[queue_id] = path
        try:
            found = await asyncio.to_thread(self.keeper.load, path)
        except MessageGone:
            return
        except Damaged as error:
            self.keeper.corrupt(path, str(error))
            return
        except OSError as error:
            log.warning(f"{path}: {error.strerror}: will try again")
            self.deferred.add(queue_id, now + self.conf.minimal_backoff_time, path)
            return
        finally:
            self.loading.pop(queue_id, None)
        await self._activate(found, now)

    def adopt(self, found: Found) -> Message:
        """Make a message active without delivering it: a command is going to change it."""
        self._count += 1
        message = Message(found.place, found.envelope, self._count, self._clock())
        self._take_over(message, found)
        message.todo = []
        self.active[message.queue_id] = message
        if found.envelope.trace & TRACE_PROBE:
            self.probes += 1
        return message

    @property
    def reader(self) -> Any:
        return self._finish.reader

    async def _activate(self, found: Found, now: float) -> None:
        envelope = found.envelope
        if envelope.queue_id in self.active:
            return
        message = self._admitted(found, now)
        if self.flushed:
            message.flushed = envelope.queue_id in self.flushed
            self.flushed.discard(envelope.queue_id)
        if not (message.hold or message.requeue):
            log.info(
                f"{envelope.queue_id}: from=<{shown(envelope.sender)}>, size={envelope.size}, "
                f"nrcpt={len(envelope.recipients)} (queue active)"
            )
        await self.dispatch.route(message)

    def _admitted(self, found: Found, now: float) -> Message:
        """The message, with what is known of its recipients."""
        self._count += 1
        message = self.active[found.envelope.queue_id] = Message(found.place, found.envelope, self._count, now)
        if found.envelope.trace & TRACE_PROBE:
            self.probes += 1
        if found.envelope.hold_reason:
            # Held when it arrived, but we were not there to move it.
            message.hold = True
            message.todo = []
            return message
        self._take_over(message, found)
        if found.failed or found.heard or found.out:
            known = {*found.failed, *found.heard, *found.out}
            message.todo = [index for index in message.todo if index not in known]
        message.wish(found.wishes)
        asked = found.envelope.asked
        if asked:
            message.wish([*message.wishes, asked])
            if asked == ASKED_REQUEUE:
                found.envelope.asked = ""  # once: if intake does not want it, it is mail like any other
        return message

    def _take_over(self, message: Message, found: Found) -> None:
        """What a process before us has heard of recipients."""
        if found.failed:
            message.failed = {index: _result(trouble) for index, trouble in found.failed.items()}
        for index, heard in found.heard.items():
            self._recall(message, index, _result_of(heard))

    def _recall(self, message: Message, index: int, result: Result) -> None:
        """A recipient that was tried by order of the qmgr before us; what is final is among the marks already."""
        if result.status == "deferred" and not message.envelope.trace & TRACE_VERIFY:
            if message.deferred is None:
                message.deferred = {}
            message.deferred[index] = result
            return
        counts = result.status == "sent" or message.envelope.trace & TRACE_VERIFY
        if counts and self._is_reported(message.envelope, index, result):
            self.keep(message, index, result)

    # --- what the qmgr before us still delivers

    def away(self, found: Found) -> None:
        """A message that counts as being delivered until `returned` tells the last about it. The rest of its
        recipients need not wait."""
        message = self._admitted(found, self._clock())
        message.away = True
        self.dispatch.count_in(message)
        self._refill.append(message)
        self.wake()

    def returned(self, back: Returned) -> None:
        """What became of some of its recipients. Those that nobody knows anything of are tried anew."""
        message = self.active.get(back.queue_id)
        if message is None or not message.away:
            return
        if not message.withdrawn:
            message.todo += [index for index in back.recipients if index not in back.heard]
        if back.last:
            message.away = False
            message.pending -= 1
            self.recipients -= 1
        self._settle(message, list(back.heard), [_result_of(heard) for heard in back.heard.values()])
        if message.todo:
            self._refill.append(message)
            self.wake()

    # --- out

    def delivered(self, entry: Entry, results: list[Result]) -> None:
        """An agent has reported. LOST results, which no agent has logged, are logged here."""
        message: Message = entry.job.message
        if results[0] is LOST:
            for index in entry.recipients:
                self.dispatch.log_recipient(message, index, "deferred", LOST.dsn, LOST.text)
        if self._told is not None:
            self._told(message.queue_id, dict(zip(entry.recipients, map(_heard_of, results), strict=True)))
            return
        count = len(entry.recipients)
        message.pending -= count
        self.recipients -= count
        self._settle(message, entry.recipients, results)

    def _settle(self, message: Message, recipients: list[int], results: list[Result]) -> None:
        """Note what became of recipients; if they were the last ones, the attempt is over."""
        envelope = message.envelope
        sent: list[int] = []
        failed: dict[int, Trouble] | None = None
        for index, result in zip(recipients, results, strict=True):
            if envelope.trace & TRACE_VERIFY:
                self.keep(message, index, result)
            elif result.status == "sent":
                sent.append(index)
                if self._is_reported(envelope, index, result):
                    self.keep(message, index, result)
            elif result.status == "bounced":
                if message.failed is None:
                    message.failed = {}
                message.failed[index] = result
                failed = failed or {}
                failed[index] = Trouble(result.dsn, result.text, result.remote_mta, result.diagnostic)
            else:
                if message.deferred is None:
                    message.deferred = {}
                message.deferred[index] = result
        if sent:
            envelope.done += sent
        if failed:
            self.keeper.failed(message.queue_id, failed)
        over = message.over
        if sent and not (over and message.plain):
            self.keeper.done(message.queue_id, sent)
        if over:
            self.over(message)
        if self.starved:
            # Recipients may have left room for more.
            self._refill.extend(self.starved)
            self.starved.clear()
            self.wake()

    def _is_reported(self, envelope: Envelope, index: int, result: Result) -> bool:
        """Whether the sender wants to hear of it even if it went well."""
        notify = envelope.recipients[index].notify
        if envelope.warned and self._confirm_delay_cleared and (not notify or notify & NOTIFY_DELAY):
            return True
        return bool(envelope.trace or (notify & NOTIFY_SUCCESS and result.action))

    @staticmethod
    def keep(message: Message, index: int, result: Result) -> None:
        if message.sent is None:
            message.sent = {}
        message.sent[index] = result

    def over(self, message: Message) -> None:
        """All recipients have been tried."""
        if not message.finishing:
            message.finishing = True
            self._finish.finish(message)

    def left(self, message: Message) -> None:
        """A message is not active any more."""
        del self.active[message.queue_id]
        # Message, job and peers name one another: without this they stay until the collector looks at what is old. The
        # scheduler may keep a job for a while, until it comes by.
        for job in message.jobs.values():
            job.message = None
            job.peers.clear()
        if message.envelope.trace & TRACE_PROBE:
            self.probes -= 1
        if len(self.incoming) or len(self.deferred):
            self.wake()

    def withdraw(self, message: Message) -> None:
        """Take back what waits of a message (it is deleted or held); what agents have comes to its end."""
        message.withdrawn = True
        for scheduler, job in message.jobs.items():
            for entry in scheduler.withdraw(job):
                message.pending -= len(entry.recipients)
                self.recipients -= len(entry.recipients)
            self.transports[scheduler.name].wanted()
        message.todo = []
        if message.over:
            self.over(message)

    # --- the end

    async def rest(self, patience: float) -> bool:
        """Take nothing more; give agents `patience` seconds to report on what they have. Whether they have."""
        self.stopping = True
        if self._due_timer is not None:
            self._due_timer.cancel()
        for agents in self.transports.values():
            agents.end()
        deadline = self._loop.time() + patience
        while self.busy and self._loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return not self.busy

    @property
    def busy(self) -> bool:
        """Agents have something of ours."""
        return any(agents.scheduler.busy for agents in self.transports.values())

    def unfinished(self, now: float) -> list[str]:
        """The files of deferred/ that are being worked on or are due: the next qmgr goes on with them at once."""
        working = (message.place.path for message in self.active.values())
        files = [*self.loading.values(), *(path for path in working if path.startswith("deferred/"))]
        return [*self.deferred.overdue(now), *filter(None, files)]

    def leave(self, told: Callable[[str, dict[int, Heard]], None]) -> dict[str, Kept]:
        """Another qmgr takes over. Returns what it has to know; what agents report from now on goes to
        `told(queue id, {index of a recipient: what became of it})` and nowhere else."""
        self._told = told
        for task in self._tasks:
            task.cancel()
        out: dict[str, list[int]] = {}
        for agents in self.transports.values():
            for entry in agents.leave():
                out.setdefault(entry.job.message.queue_id, []).extend(entry.recipients)
        kept: dict[str, Kept] = {}
        for queue_id, message in self.active.items():
            if queue_id not in out and not message.away:
                continue
            known = {**(message.sent or {}), **(message.deferred or {})}
            heard = {index: _heard_of(result) for index, result in known.items()}
            if queue_id in out or heard or message.wishes:
                kept[queue_id] = Kept(message.place, out.get(queue_id, []), heard, message.wishes)
        return kept

    async def stop(self, patience: float) -> None:
        """Take nothing more; agents have `patience` seconds, then the connections close."""
        await self.rest(patience)
        for task in self._tasks:
            task.cancel()
        for agents in self.transports.values():
            agents.close()


def _heard_of(result: Result) -> Heard:
    return Heard(*(getattr(result, name) for name in Heard.__struct_fields__))


def _result_of(heard: Heard) -> Result:
    return Result(*(getattr(heard, name) for name in heard.__struct_fields__))


def _result(trouble: Trouble) -> Result:
    return Result("bounced", trouble.dsn, trouble.text, trouble.remote_mta, trouble.diagnostic)
