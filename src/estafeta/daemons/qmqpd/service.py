"""qmqpd as a service of master: a conversation for each connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from estafeta.base import log
from estafeta.daemons.qmqpd.conversation import Conversation
from estafeta.intake.intake import Intake
from estafeta.net.dns import Resolver
from estafeta.net.peer import Peers, endpoints
from estafeta.net.stream import Stream
from estafeta.services.notice import NoticeSender
from estafeta.skeleton.service import Context, Service
from estafeta.tables.match import MatchList
from estafeta.tables.table import TableDown


class QmqpdService(Service):
    """One process of a qmqpd entry."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        parents = "qmqpd_authorized_clients" in self.conf.parent_domain_matches_subdomains
        self._authorized = MatchList.open(
            self.conf.qmqpd_authorized_clients, parent_matches_subdomains=parents, name="qmqpd_authorized_clients"
        )
        self._resolver = Resolver()
        self._peers = Peers(self._resolver)
        self.intake = Intake.open(self.conf, context=self.context)

    async def start(self) -> None:
        await self.intake.start(NoticeSender())

    def client(self, release: Callable[[], None]) -> asyncio.BaseProtocol:
        return Stream(opened=lambda stream: self._opened(stream, release))

    def _opened(self, stream: Stream, release: Callable[[], None]) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(stream))
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            release()
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error(f"conversation ended by an error in this program: {error!r}")
                stream.abort()

        task.add_done_callback(ended)

    async def _serve(self, stream: Stream) -> None:
        address, port, _, _ = endpoints(stream.transport)
        name, reverse, _, _ = await self._peers.names(address)
        await Conversation(self.conf, self.intake, stream, (name, address, port, reverse)).run(self.is_authorized)

    async def is_authorized(self, name: str, address: str) -> bool:
        """Whether this client may use us; not while a table cannot say so."""
        try:
            return await self._authorized.matches_address(name, address)
        except TableDown as down:
            log.warning(f"qmqpd_authorized_clients: {down}")
            return False

    async def stop(self) -> None:
        await self._resolver.close()
        await self.intake.stop()
