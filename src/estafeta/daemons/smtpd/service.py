"""smtpd as a service of master: a session for each connection. smtpd(8)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.daemons.smtpd.limits import ClientLimits
from estafeta.daemons.smtpd.policy import Policy
from estafeta.daemons.smtpd.session import Session
from estafeta.daemons.smtpd.user_limits import UserLimits
from estafeta.intake.intake import Intake
from estafeta.net.dns import Resolver
from estafeta.net.peer import Client, endpoints
from estafeta.net.stream import Stream
from estafeta.routing.routing import Routing
from estafeta.services.anvil import LIMITS, AnvilClient
from estafeta.services.notice import NoticeSender
from estafeta.services.passed import Origin
from estafeta.skeleton.service import Context, Service
from estafeta.tables.dns_filter import DnsReplyFilter


class SmtpdService(Service):
    """One worker process of an smtpd entry."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._policy: Policy
        self._impatient: Policy
        """How new clients are served while the service is crowded."""
        self._stress = context.stress
        self._intake: Intake
        self._resolver: Resolver
        self._sessions: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Open every table and compile every restriction list. Raises OpenRelay, ConfigError."""
        routing = Routing.open(self.conf, self.context.overrides_of(self.conf.rewrite_service_name))
        self._resolver = Resolver()
        self._intake = Intake.open(self.conf, context=self.context, routing=routing)
        self._resolver.reply_filter = DnsReplyFilter.open(
            self.conf.smtpd_dns_reply_filter, name="smtpd_dns_reply_filter"
        )
        self._policy = Policy(
            self.conf,
            intake=self._intake,
            routing=routing,
            resolver=self._resolver,
            read=self.context.read_file,
        )
        if self._stress is not None:
            entry = self.context.entry
            stressed = Config.build(self.conf.settings, entry.overrides | {"stress": "yes"}, service=entry.name)
            self._impatient = self._policy.under_stress(stressed)
        self._anvil = AnvilClient()
        self._limit(self._policy)
        if self._stress is not None:
            self._limit(self._impatient)

    async def start(self) -> None:
        """Open the journal, as the user whose it is."""
        await self._intake.start(NoticeSender())
        for policy in self._policies():
            if policy.sasl is not None:
                await policy.sasl.authenticator.start()

    def _limit(self, policy: Policy) -> None:
        """Set what clients and users may do, if somebody counts it."""
        conf, entry = policy.conf, self.context.entry
        policy.limits = ClientLimits.of(conf, self._anvil, entry.name)
        policy.user_limits = UserLimits.of(conf, self._anvil)
        if any(each.program == "anvil" for each in self.context.entries):
            return
        if policy.user_limits is not None or any(map(conf.is_set, LIMITS)):
            log.warning(
                f"{entry.where}: master.cf has no anvil service: smtpd_client_connection_count_limit and other limits "
                "have no effect; add the line: anvil unix - - n - 1 anvil"
            )
        policy.limits = policy.user_limits = None

    def _policies(self) -> list[Policy]:
        """Each with an authenticator of its own."""
        if self._stress is None or self._impatient.sasl is self._policy.sasl:
            return [self._policy]
        return [self._policy, self._impatient]

    def client(self, release: Callable[[], None]) -> asyncio.BaseProtocol:
        return Stream(opened=lambda stream: self._opened(stream, release))

    def passed(self, release: Callable[[], None], origin: Origin) -> asyncio.BaseProtocol:
        return Stream(opened=lambda stream: self._opened(stream, release, origin))

    def _opened(self, stream: Stream, release: Callable[[], None], origin: Origin | None = None) -> None:
        if origin is None:
            address, port, own, own_port = endpoints(stream.transport)
        else:
            address, port, own, own_port = origin.client, origin.client_port, origin.server, origin.server_port
        policy = self._policy if self._stress is None or not self._stress.on else self._impatient
        session = Session(policy, stream, Client("", address, port), release, own, own_port)
        session.screened = self.context.entry.type == "pass"
        # The loop keeps only weak references to tasks.
        task = asyncio.get_running_loop().create_task(session.run())
        self._sessions.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._sessions.discard(task)
        if not task.cancelled():
            task.exception()  # the session has logged it

    async def stop(self) -> None:
        self._policy.hang_up()
        self._anvil.close()
        await self._policy.postmaster.stop()
        for policy in self._policies():
            if policy.sasl is not None:
                await policy.sasl.authenticator.stop()
        await self._resolver.close()
        await self._intake.stop()
