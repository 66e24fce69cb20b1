"""local(8): one process of the transport. What happens to a recipient is in expansion.py."""

from __future__ import annotations

import asyncio
from functools import partial

from estafeta.accounts.system import Users
from estafeta.config.instance import Config
from estafeta.daemons.local.expansion import Expansion, Office
from estafeta.daemons.local.mailbox import UserMailboxes
from estafeta.mail.envelope import Recipient
from estafeta.mail.outcome import Deferred, Outcome
from estafeta.queue.place import Place
from estafeta.queue.spool import Reader
from estafeta.routing.routing import Routing
from estafeta.services.delivery import Delivery
from estafeta.services.pass_on import PassOn
from estafeta.services.submission import Submitter
from estafeta.skeleton.agent import Answer, DeliveryAgent
from estafeta.skeleton.status_filter import StatusFilter
from estafeta.store import letter
from estafeta.store.identity import give_up_groups
from estafeta.store.letter import Content
from estafeta.store.mailbox_limit import contradiction
from estafeta.tables.maps import Maps
from estafeta.tables.table import Flags

MISCONFIGURED = Deferred("4.3.5", "mail system configuration error", "local")


class LocalService(DeliveryAgent):
    """Mail for users of this system."""

    async def open(self) -> None:
        conf = self.conf
        plain = Flags(substitute=False, trusted=True)  # part of an address must not become a command or a file
        of_aliases = Flags(substitute=False, aliases=True, trusted=True)
        self._aliases = Maps.open(conf.alias_maps, name="alias_maps", flags=of_aliases)
        self._mailbox_transports = Maps.open(conf.mailbox_transport_maps, name="mailbox_transport_maps", flags=plain)
        self._fallback_transports = Maps.open(conf.fallback_transport_maps, name="fallback_transport_maps", flags=plain)
        self._routing = self._open_routing(conf)
        self.status_filter = StatusFilter.open(conf.local_delivery_status_filter, name="local_delivery_status_filter")
        self._refused = contradiction(conf, "mailbox_size_limit")

    def _open_routing(self, conf: Config) -> Routing:
        return Routing.open(conf, self.context.overrides_of(conf.rewrite_service_name), listing=False)

    async def start(self) -> None:
        conf = self.conf
        give_up_groups()
        self._reader = Reader()
        self._office = Office(
            conf,
            self._aliases,
            self._mailbox_transports,
            self._fallback_transports,
            self._routing,
            Users(),
            UserMailboxes(conf),
            PassOn(timeout=conf.ipc_timeout),
            Submitter(),
            self._reader,
        )

    async def stop(self) -> None:
        await self._office.mailboxes.close()
        self._reader.close()

    async def deliver(self, delivery: Delivery) -> Answer:
        if self._refused:
            return self.settle_all(delivery, MISCONFIGURED)
        content = self._content(delivery.place)
        seen = letter.delivered_to(self._reader.head(delivery.place))
        work = [self._one(delivery, recipient, content, seen) for recipient in delivery.recipients]
        if len(work) == 1:
            return Answer([await work[0]])
        return Answer(await asyncio.gather(*work))

    async def _one(self, delivery: Delivery, recipient: Recipient, content: Content, seen: set[str]) -> Outcome:
        return await Expansion(self._office, delivery, recipient, content, seen, partial(self.settle, delivery)).run()

    def _content(self, place: Place) -> Content:
        if place.head + place.body > self.conf.estafeta_large_message:
            # Opened now: the thread that reads it acts as the receiving user, who may not look into the queue.
            return self._reader.opened(place)
        return self._reader.content(place)
