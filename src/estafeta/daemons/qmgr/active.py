"""The active queue: the messages qmgr is working on.

New messages come by notice and wait in `backlog.Incoming`, deferred ones in `backlog.Deferred`; as there is room in
memory they are taken from both in turn, so that a backlog of old mail does not stop new mail. Each recipient is routed
and goes to the scheduler of its transport; agents report what became of it; when all have, `finish.py` decides.

A handful of tasks does the routing, each one message after the other. Where routing needs no waiting, one of them
does it all without a pause; where a table is slow, the others go on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from estafeta.base import log
from estafeta.daemons.qmgr.agents import LOST, Agents, Connect, suspended
from estafeta.daemons.qmgr.backlog import Deferred, Incoming
from estafeta.daemons.qmgr.finish import Finish
from estafeta.daemons.qmgr.limits import Limits
from estafeta.daemons.qmgr.message import Message
from estafeta.daemons.qmgr.schedule import Entry, Transport
from estafeta.mail.address import quote, split, split_extension
from estafeta.mail.envelope import NOTIFY_SUCCESS, TRACE_VERIFY, Envelope, Trouble
from estafeta.mail.logline import delays_of, delivery_line
from estafeta.net.frames import connect
from estafeta.queue.handover import Heard, Kept
from estafeta.queue.keeper import Found, Returned
from estafeta.queue.place import Place
from estafeta.queue.record import Damaged
from estafeta.queue.spool import MessageGone
from estafeta.services.delivery import Result
from estafeta.tables.table import TableDown

ROUTERS = 16
"""Messages that may wait for a table at the same time."""
TURN = 50
"""Messages or recipients after which a router lets the rest of the process have its turn."""
RETRY = "retry"


class Resolver(Protocol):
    """What we need of routing."""

    async def resolve(self, address: str, sender: str = "") -> Any: ...


class ActiveQueue:
    """All that is in memory. `keeper`: queue.keeper.Keeper. `workers_of(transport)`: (processes, maxproc) of it."""

    def __init__(
        self,
        conf: Any,
        keeper: Any,
        routing: Resolver,
        finish: Finish,
        workers_of: Callable[[str], tuple[int, int]],
        clock: Callable[[], float] = time.time,
        connect: Connect = connect,
    ) -> None:
        self.conf = conf
        self.keeper = keeper
        self.incoming = Incoming(conf.qmgr_message_recipient_limit)
        self.deferred = Deferred()
        self.active: dict[str, Message] = {}
        self.loading: set[str] = set()
        """Ids of messages whose files somebody reads or changes, so that nobody else takes them up."""
        self.recipients = 0
        """Recipients with schedulers and agents."""
        self.expire: set[str] = set()
        """Ids of messages that are to be returned if they are not delivered now."""
        self.flushed: set[str] = set()
        self.transports: dict[str, Agents] = {}
        self._routing = routing
        self._finish = finish
        self._workers_of = workers_of
        self._clock = clock
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._message_limit: int = conf.qmgr_message_active_limit
        self._recipient_limit: int = conf.qmgr_message_recipient_limit
        self._recipient_minimum: int = conf.qmgr_message_recipient_minimum
        self._defer_transports = frozenset(conf.defer_transports)
        self._double_bounce = conf.double_bounce_sender.lower()
        self._error_service: str = conf.error_service_name
        self._count = 0
        self._refill: deque[Message] = deque()
        self._starved: list[Message] = []
        self._idle: list[asyncio.Future[None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._waking = False
        self._next_warning = 0.0
        self._table_warnings: dict[str, float] = {}
        self._deferred_turn = False
        self._due_timer: asyncio.TimerHandle | None = None
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
        if self._due_timer is None or self._due_timer.when() > self._loop.time() + due - now + 1:
            if self._due_timer is not None:
                self._due_timer.cancel()
            # A second late rather than early: one wake-up then serves what is due in the same second.
            self._due_timer = self._loop.call_later(due - now + 1, self._due)
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
                await self._route(message)
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
            try:
                envelope = await asyncio.to_thread(self._finish.reader.envelope, first)
            except (MessageGone, Damaged) as error:
                log.warning(f"{first.path}: {error}: message lost from the queue")
                return
            first = Found(first, envelope)
        await self._activate(first, now)

    async def _take_deferred(self, now: float) -> None:
        due = self.deferred.take(now)
        if due is None:
            return
        queue_id, path = due
        self.loading.add(queue_id)
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
            self.loading.discard(queue_id)
        await self._activate(found, now)

    def adopt(self, found: Found) -> Message:
        """Make a message active without delivering it: a command is going to change it."""
        self._count += 1
        message = Message(found.place, found.envelope, self._count, self._clock())
        message.todo = []
        self.active[message.queue_id] = message
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
        if self.expire:
            message.expire = envelope.queue_id in self.expire
            self.expire.discard(envelope.queue_id)
        if not message.hold:
            log.info(
                f"{envelope.queue_id}: from=<{quote(envelope.sender)}>, size={envelope.size}, "
                f"nrcpt={len(envelope.recipients)} (queue active)"
            )
        await self._route(message)

    def _admitted(self, found: Found, now: float) -> Message:
        """The message, with what is known of its recipients."""
        self._count += 1
        message = self.active[found.envelope.queue_id] = Message(found.place, found.envelope, self._count, now)
        if found.envelope.hold_reason:
            # Held when it arrived, but we were not there to move it.
            message.hold = True
            message.todo = []
            return message
        if found.failed:
            message.failed = {index: _result(trouble) for index, trouble in found.failed.items()}
        for index, heard in found.heard.items():
            self._recall(message, index, _result_of(heard))
        if found.failed or found.heard or found.out:
            known = {*found.failed, *found.heard, *found.out}
            message.todo = [index for index in message.todo if index not in known]
        message.wish(found.wishes)
        return message

    def _recall(self, message: Message, index: int, result: Result) -> None:
        """A recipient that was tried by order of the qmgr before us; what is final is among the marks already."""
        if result.status == "deferred" and not message.envelope.trace & TRACE_VERIFY:
            if message.deferred is None:
                message.deferred = {}
            message.deferred[index] = result
            return
        counts = result.status == "sent" or message.envelope.trace & TRACE_VERIFY
        if counts and self._is_reported(message.envelope, index, result):
            self._keep(message, index, result)

    # --- what the qmgr before us still delivers

    def away(self, found: Found) -> None:
        """A message that counts as being delivered until `returned` tells the last about it. The rest of its
        recipients need not wait."""
        message = self._admitted(found, self._clock())
        message.away = True
        self._count_in(message)
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

    # --- routing

    async def _route(self, message: Message) -> None:
        """Route recipients and hand them to the schedulers, as many as there is room for."""
        envelope = message.envelope
        touched: dict[Transport, None] = {}
        count = 0
        message.reading = True
        while message.todo:
            if self.recipients >= self._recipient_limit and message.pending >= self._recipient_minimum:
                break
            index = message.todo.pop()
            if not await self._route_one(message, envelope, index, touched):
                break
            count += 1
            if count % TURN == 0:
                self._enlist(message, touched)
                await asyncio.sleep(0)
        message.reading = False
        self._enlist(message, touched)
        if message.todo:
            self._starved.append(message)
        elif message.over:
            self.over(message)

    async def _route_one(
        self, message: Message, envelope: Envelope, index: int, touched: dict[Transport, None]
    ) -> bool:
        """False when the recipient has to wait because its transport has enough in memory."""
        recipient = envelope.recipients[index]
        address = recipient.address
        if envelope.redirect:
            if index != 0:
                envelope.done.append(index)
                return True
            address = envelope.redirect
        try:
            resolved = await self._routing.resolve(address, envelope.sender)
        except TableDown as error:
            self._warn_of_table(f"{message.queue_id}: <{quote(address)}>: {error}", str(error))
            self._count_in(message)
            self._retry(message, index, address, ("4.3.0", "address resolver failure"), touched)
            return True
        if message.withdrawn:
            return True
        transport, nexthop, address = resolved.transport, resolved.nexthop, resolved.recipient
        if envelope.content_filter and not resolved.error:
            transport, nexthop = self._filter(envelope.content_filter, address)
        elif resolved.address_class == "local" and split(address)[0].lower() == self._double_bounce:
            self._count_in(message)
            self._discard_double_bounce(message, index)
            return True
        agents = self.agents(self._error_service if transport == "error" else transport)
        if agents.scheduler.recipients >= agents.scheduler.limits.room_for(len(envelope.recipients)):
            message.todo.append(index)
            return False
        self._count_in(message)
        self._assign(message, index, agents, nexthop, address, touched)
        return True

    def _warn_of_table(self, text: str, reason: str) -> None:
        """Once a minute for each reason: a table that is down is asked for every recipient there is."""
        now = self._clock()
        if now >= self._table_warnings.get(reason, 0.0):
            if len(self._table_warnings) > 1000:
                self._table_warnings.clear()
            self._table_warnings[reason] = now + 60
            log.warning(text)

    def _count_in(self, message: Message) -> None:
        message.pending += 1
        self.recipients += 1

    def _filter(self, content_filter: str, address: str) -> tuple[str, str]:
        """`transport:nexthop` of a content filter; an empty next hop is default_filter_nexthop or the domain."""
        transport, _, nexthop = content_filter.partition(":")
        return transport, nexthop or self.conf.default_filter_nexthop or split(address)[1]

    def _assign(
        self,
        message: Message,
        index: int,
        agents: Agents,
        nexthop: str,
        address: str,
        touched: dict[Transport, None],
    ) -> None:
        """To its transport, or to retry where that or the destination cannot be reached now."""
        scheduler = agents.scheduler
        if agents.suspended is not None:
            self._retry(message, index, address, agents.suspended, touched)
            return
        if scheduler.name in self._defer_transports and not message.flushed:
            self._retry(message, index, address, ("4.3.2", "deferred transport"), touched)
            return
        destination = scheduler.destination(self._destination_name(scheduler, nexthop, address), nexthop)
        if destination.dead:
            self._retry(message, index, address, suspended(destination.reason), touched)
            return
        job = message.jobs.get(scheduler)
        if job is None:
            job = message.jobs[scheduler] = scheduler.job(message, message.number, message.activated)
        scheduler.add(job, destination, index, address)
        touched[scheduler] = None

    def _destination_name(self, scheduler: Transport, nexthop: str, address: str) -> str:
        if scheduler.limits.recipients != 1:
            return nexthop.lower()
        local = split_extension(split(address)[0], self.conf.recipient_delimiter)[0]
        return f"{local}@{nexthop}".lower()

    def _retry(
        self, message: Message, index: int, address: str, reason: tuple[str, str], touched: dict[Transport, None]
    ) -> None:
        """Through the retry service, whose business it is to say so; by ourselves when that is out of reach."""
        agents = self.agents(RETRY)
        if agents.suspended is not None:
            self._put_off_here(message, index, reason)
            return
        scheduler = agents.scheduler
        nexthop = f"{reason[0]} {reason[1]}"
        job = message.jobs.get(scheduler)
        if job is None:
            job = message.jobs[scheduler] = scheduler.job(message, message.number, message.activated)
        scheduler.add(job, scheduler.destination(nexthop, nexthop), index, address)
        touched[scheduler] = None

    def _enlist(self, message: Message, touched: dict[Transport, None]) -> None:
        for scheduler in touched:
            scheduler.enlist(message.jobs[scheduler])
            self.transports[scheduler.name].wanted()
        touched.clear()

    def agents(self, transport: str) -> Agents:
        """The agents of a transport, which need not exist."""
        found = self.transports.get(transport)
        if found is None:
            workers, maxproc = self._workers_of(transport)
            found = self.transports[transport] = Agents(
                Transport(transport, Limits.of(self.conf, transport, maxproc)),
                workers=workers,
                retry_time=self.conf.transport_retry_time,
                timeout=self.conf.qmgr_ipc_timeout,
                delivered=self.delivered,
                put_off=self.put_off,
                clock=self._clock,
                connect=self._connect,
            )
        return found

    # --- out

    def delivered(self, entry: Entry, results: list[Result]) -> None:
        """An agent has reported. LOST results, which no agent has logged, are logged here."""
        message: Message = entry.job.message
        if results[0] is LOST:
            for index in entry.recipients:
                self.log_recipient(message, index, "deferred", LOST.dsn, LOST.text)
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
                self._keep(message, index, result)
            elif result.status == "sent":
                sent.append(index)
                if self._is_reported(envelope, index, result):
                    self._keep(message, index, result)
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
        if self._starved:
            # Recipients may have left room for more.
            self._refill.extend(self._starved)
            self._starved.clear()
            self.wake()

    @staticmethod
    def _is_reported(envelope: Envelope, index: int, result: Result) -> bool:
        """Whether the sender wants to hear of it even if it went well."""
        return bool(envelope.trace or (envelope.recipients[index].notify & NOTIFY_SUCCESS and result.action))

    @staticmethod
    def _keep(message: Message, index: int, result: Result) -> None:
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
        if len(self.incoming) or len(self.deferred):
            self.wake()

    def put_off(self, entries: list[Entry], reason: tuple[str, str]) -> None:
        """These are not sent now, for a reason that has nothing to do with them."""
        messages: dict[int, tuple[Message, dict[Transport, None]]] = {}
        for entry in entries:
            message: Message = entry.job.message
            _, touched = messages.setdefault(message.number, (message, {}))
            for index, address in zip(entry.recipients, entry.addresses, strict=True):
                if entry.job.transport.name == RETRY:
                    self._put_off_here(message, index, reason, over=False)
                else:
                    self._retry(message, index, address, reason, touched)
        for message, touched in messages.values():
            self._enlist(message, touched)
            if message.over:
                self.over(message)

    def _put_off_here(self, message: Message, index: int, reason: tuple[str, str], *, over: bool = True) -> None:
        if message.deferred is None:
            message.deferred = {}
        message.deferred[index] = Result("deferred", *reason)
        self.log_recipient(message, index, "deferred", *reason)
        message.pending -= 1
        self.recipients -= 1
        if over and message.over:
            self.over(message)

    def _discard_double_bounce(self, message: Message, index: int) -> None:
        """A report about a report about a report: enough. qmgr(8)."""
        self.log_recipient(message, index, "sent", "2.0.0", "undeliverable postmaster notification discarded")
        message.envelope.done.append(index)
        message.pending -= 1
        self.recipients -= 1

    def log_recipient(self, message: Message, index: int, status: str, dsn: str, text: str) -> None:
        """The line for a recipient that no agent has seen."""
        recipient = message.envelope.recipients[index]
        now = self._clock()
        delays = delays_of(message.envelope.arrived, message.activated, now, 0.0, now)
        limit = self.conf.delay_logging_resolution_limit
        log.info(
            delivery_line(
                message.queue_id, recipient.address, recipient.original, "none", delays, dsn, status, text, limit=limit
            )
        )

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

    def flush_transports(self) -> None:
        """Forget what is dead: transports and destinations."""
        for agents in self.transports.values():
            agents.flush()

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
    return Result(*(getattr(heard, name) for name in Result.__struct_fields__))


def _result(trouble: Trouble) -> Result:
    return Result("bounced", trouble.dsn, trouble.text, trouble.remote_mta, trouble.diagnostic)
