"""Where each recipient of a message goes: routed, then handed to the scheduler of its transport.

Called by the active queue for one message at a time. A content filter goes before everything; routing says the rest.
Who cannot be tried now (a table, a transport or a destination that is away, `defer_transports`) goes through the retry
service, whose business it is to say so in the log; only where that is out of reach, too, do we write the line.

Address probes are routed by the `address_verify_*` parameters, and only so many may be under way: they are not to fill
the queue. qmgr(8), ADDRESS_VERIFICATION_README.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from estafeta.base import log
from estafeta.daemons.qmgr.agents import Agents, Connect, suspended
from estafeta.daemons.qmgr.limits import Limits, log_feedback
from estafeta.daemons.qmgr.schedule import Entry, Transport
from estafeta.mail.address import quote, split, split_extension
from estafeta.mail.envelope import TRACE_PROBE, TRACE_VERIFY
from estafeta.mail.logline import delays_of, delivery_line
from estafeta.services.delivery import Result
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from estafeta.daemons.qmgr.active import ActiveQueue
    from estafeta.daemons.qmgr.message import Message
    from estafeta.mail.envelope import Envelope

TURN = 50
"""Recipients of one message after which the rest of the process has its turn."""
RETRY = "retry"
TABLE_DOWN = ("4.3.0", "address resolver failure")
TOO_MANY_PROBES = ("4.3.2", "Too many address verification requests")


class Resolver(Protocol):
    """What we need of routing."""

    async def resolve(self, address: str, sender: str = "") -> Any: ...


class Dispatch:
    """`probe_routing` is the routing of address probes. `workers_of(transport)`: (processes, maxproc) of it."""

    def __init__(
        self,
        conf: Any,
        queue: ActiveQueue,
        routing: Resolver,
        probe_routing: Resolver,
        workers_of: Callable[[str], tuple[int, int]],
        clock: Callable[[], float],
        connect: Connect,
    ) -> None:
        self.transports: dict[str, Agents] = {}
        self._conf = conf
        self._queue = queue
        self._routing = routing
        self._probe_routing = probe_routing
        self._workers_of = workers_of
        self._clock = clock
        self._connect = connect
        self._recipient_limit: int = conf.qmgr_message_recipient_limit
        self._recipient_minimum: int = conf.qmgr_message_recipient_minimum
        self._probe_limit: int = conf.address_verify_pending_request_limit
        self._defer_transports = frozenset(conf.defer_transports)
        self._double_bounce = conf.double_bounce_sender.lower()
        self._error_service: str = conf.error_service_name
        self._table_warnings: dict[str, float] = {}

    async def route(self, message: Message) -> None:
        """Route recipients and hand them to the schedulers, as many as there is room for."""
        envelope = message.envelope
        touched: dict[Transport, None] = {}
        count = 0
        message.reading = True
        while message.todo:
            if self._queue.recipients >= self._recipient_limit and message.pending >= self._recipient_minimum:
                break
            index = message.todo.pop()
            if not await self._route_one(message, envelope, index, touched):
                break
            count += 1
            if count % TURN == 0:
                self.enlist(message, touched)
                await asyncio.sleep(0)
        message.reading = False
        self.enlist(message, touched)
        if message.todo:
            self._queue.starved.append(message)
        elif message.over:
            self._queue.over(message)

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
        routing = self._routing
        if envelope.trace & TRACE_PROBE:
            if self._queue.probes > self._probe_limit:
                self.count_in(message)
                self._retry(message, index, address, TOO_MANY_PROBES, touched)
                return True
            routing = self._probe_routing
        if envelope.content_filter and not envelope.trace & TRACE_VERIFY:
            # A filter takes everything, also what could not be delivered; a question about an address is not mail.
            transport, nexthop = self._filter(envelope.content_filter, address)
        else:
            try:
                resolved = await routing.resolve(address, envelope.sender)
            except TableDown as error:
                self._warn_of_table(f"{message.queue_id}: <{quote(address)}>: {error}", str(error))
                self.count_in(message)
                self._retry(message, index, address, TABLE_DOWN, touched)
                return True
            if message.withdrawn:
                return True
            transport, nexthop, address = resolved.transport, resolved.nexthop, resolved.recipient
            if resolved.address_class == "local" and split(address)[0].lower() == self._double_bounce:
                self.count_in(message)
                self._discard_double_bounce(message, index)
                return True
        agents = self.agents(self._error_service if transport == "error" else transport)
        if agents.scheduler.recipients >= agents.scheduler.limits.room_for(len(envelope.recipients)):
            message.todo.append(index)
            return False
        self.count_in(message)
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

    def _filter(self, content_filter: str, address: str) -> tuple[str, str]:
        """`transport:nexthop` of a content filter; an empty next hop is default_filter_nexthop or the domain."""
        transport, _, nexthop = content_filter.partition(":")
        return transport, nexthop or self._conf.default_filter_nexthop or split(address)[1] or self._conf.myhostname

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
            job.alone = bool(message.envelope.verp)
        scheduler.add(job, destination, index, address)
        touched[scheduler] = None

    def _destination_name(self, scheduler: Transport, nexthop: str, address: str) -> str:
        if scheduler.limits.recipients != 1:
            return nexthop.lower()
        local = split_extension(split(address)[0], self._conf.recipient_delimiter)[0]
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

    # --- transports

    def agents(self, transport: str) -> Agents:
        """The agents of a transport, which need not exist."""
        found = self.transports.get(transport)
        if found is None:
            workers, maxproc = self._workers_of(transport)
            if self._conf.destination_concurrency_feedback_debug:
                log_feedback(self._conf, transport)
            found = self.transports[transport] = Agents(
                Transport(transport, Limits.of(self._conf, transport, maxproc)),
                workers=workers,
                retry_time=self._conf.transport_retry_time,
                timeout=self._conf.qmgr_ipc_timeout,
                delivered=self._queue.delivered,
                put_off=self.put_off,
                clock=self._clock,
                connect=self._connect,
            )
        return found

    def enlist(self, message: Message, touched: dict[Transport, None]) -> None:
        for scheduler in touched:
            scheduler.enlist(message.jobs[scheduler])
            self.transports[scheduler.name].wanted()
        touched.clear()

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
            self.enlist(message, touched)
            if message.over:
                self._queue.over(message)

    def flush_transports(self) -> None:
        """Forget what is dead: transports and destinations."""
        for agents in self.transports.values():
            agents.flush()

    # --- who gets no further

    def _put_off_here(self, message: Message, index: int, reason: tuple[str, str], *, over: bool = True) -> None:
        if message.deferred is None:
            message.deferred = {}
        message.deferred[index] = Result("deferred", *reason)
        self.log_recipient(message, index, "deferred", *reason)
        message.pending -= 1
        self._queue.recipients -= 1
        if over and message.over:
            self._queue.over(message)

    def _discard_double_bounce(self, message: Message, index: int) -> None:
        """A report about a report about a report: enough. qmgr(8)."""
        text = "undeliverable postmaster notification discarded"
        self.log_recipient(message, index, "sent", "2.0.0", text)
        if message.envelope.trace & TRACE_VERIFY:
            self._queue.keep(message, index, Result("sent", "2.0.0", text))
        message.envelope.done.append(index)
        message.pending -= 1
        self._queue.recipients -= 1

    def log_recipient(self, message: Message, index: int, status: str, dsn: str, text: str) -> None:
        """The line for a recipient that no agent has seen."""
        recipient = message.envelope.recipients[index]
        if message.envelope.trace & TRACE_VERIFY:
            status = "deliverable" if status == "sent" else "undeliverable"
        now = self._clock()
        delays = delays_of(message.envelope.arrived, message.activated, now, 0.0, now)
        limit = self._conf.delay_logging_resolution_limit
        log.info(
            delivery_line(
                message.queue_id, recipient.address, recipient.original, "none", delays, dsn, status, text, limit=limit
            )
        )

    def count_in(self, message: Message) -> None:
        message.pending += 1
        self._queue.recipients += 1
