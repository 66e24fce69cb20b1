"""virtual(8): mailboxes of people who have no account here.

The whole address says everything, through tables: where the mailbox is (virtual_mailbox_maps, below
virtual_mailbox_base) and with whose rights it is written (virtual_uid_maps, virtual_gid_maps). A path that ends in `/`
is a Maildir, any other an mbox file. A table that cannot answer, and an owner that is missing or too powerful, put
the mail off; only a mailbox that does not exist, or may not grow, returns it.
"""

from __future__ import annotations

import asyncio
import time

from estafeta.base import log
from estafeta.mail.address import quote
from estafeta.mail.envelope import TRACE_VERIFY, Recipient
from estafeta.mail.outcome import Bounced, Deferred, Outcome, Sent
from estafeta.queue.place import Place
from estafeta.queue.spool import Reader
from estafeta.services.delivery import Delivery
from estafeta.skeleton.agent import FAILED, Answer, DeliveryAgent
from estafeta.skeleton.status_filter import StatusFilter
from estafeta.store import letter
from estafeta.store.depot import Depot
from estafeta.store.identity import NotAllowed, give_up_groups
from estafeta.store.letter import Content
from estafeta.store.mailbox_limit import contradiction
from estafeta.store.mbox import Locks, Mailbox, Mboxes
from estafeta.store.problem import MailboxProblem
from estafeta.tables.address_lookup import find_address
from estafeta.tables.maps import Maps
from estafeta.tables.table import Flags, TableDown

RELAY = "virtual"
MISCONFIGURED = Deferred("4.3.5", "mail system configuration error", RELAY)
_OWNER_TABLE = Flags(substitute=False, trusted=True)
"""Part of an address must not decide whose rights are used."""


class VirtualService(DeliveryAgent):
    """One process of the transport."""

    async def open(self) -> None:
        conf = self.conf
        name = "virtual_mailbox_maps"
        self._mailboxes = Maps.open(conf.virtual_mailbox_maps, name=name, flags=_OWNER_TABLE)
        self._uids = Maps.open(conf.virtual_uid_maps, name="virtual_uid_maps", flags=_OWNER_TABLE)
        self._gids = Maps.open(conf.virtual_gid_maps, name="virtual_gid_maps", flags=_OWNER_TABLE)
        self.status_filter = StatusFilter.open(
            conf.virtual_delivery_status_filter, name="virtual_delivery_status_filter"
        )
        if not conf.virtual_mailbox_base:
            log.warning("virtual_mailbox_base is empty, so mail for virtual mailboxes waits: set it to their directory")

        self._refused = contradiction(conf, "virtual_mailbox_limit")

    async def start(self) -> None:
        conf = self.conf
        give_up_groups()
        self._reader = Reader()
        self._depot = Depot(batch=conf.estafeta_mailbox_sync == "batch")
        self._mboxes = Mboxes(Locks.of(conf, conf.virtual_mailbox_lock))

    async def stop(self) -> None:
        await self._depot.close()
        await self._mboxes.close()
        self._reader.close()

    async def deliver(self, delivery: Delivery) -> Answer:
        if self._refused:
            return self.settle_all(delivery, MISCONFIGURED)
        content = self._content(delivery.place)
        if len(delivery.recipients) == 1:
            return Answer([await self._settled(delivery, delivery.recipients[0], content)])
        work = [self._settled(delivery, recipient, content) for recipient in delivery.recipients]
        return Answer(await asyncio.gather(*work))

    def _content(self, place: Place) -> Content:
        if place.head + place.body > self.conf.estafeta_large_message:
            # Opened now: the thread that reads it acts as the receiving user, who may not look into the queue.
            return self._reader.opened(place)
        return self._reader.content(place)

    async def _settled(self, delivery: Delivery, recipient: Recipient, content: Content) -> Outcome:
        try:
            outcome = await self._to_recipient(delivery, recipient, content)
        except TableDown as error:
            log.warning(f"{delivery.queue_id}: recipient {recipient.address}: {error}")
            outcome = MISCONFIGURED
        except Exception as error:
            # Not raised, because others of this delivery may have their mail already.
            outcome = self.trouble(delivery, recipient, error)
        return self.settle(delivery, recipient, outcome)

    def trouble(self, delivery: Delivery, recipient: Recipient, error: Exception) -> Outcome:
        """What goes wrong in a way that no rule foresees puts this recipient off."""
        log.warning(f"{delivery.queue_id}: delivery to {recipient.address} failed: {error!r}")
        return Deferred(FAILED.dsn, FAILED.text, RELAY)

    async def _to_recipient(self, delivery: Delivery, recipient: Recipient, content: Content) -> Outcome:
        address = recipient.address.lower()
        path = await self._find(self._mailboxes, address)
        if path is None:
            return Bounced("5.1.1", f'unknown user: "{address}"', RELAY)
        base = self.conf.virtual_mailbox_base
        if not base or ".." in path.split("/"):
            why = "leads out of virtual_mailbox_base" if base else "needs virtual_mailbox_base, which is empty"
            log.warning(f"recipient {address}: mailbox {path!r} {why}")
            return MISCONFIGURED
        uid = await self._owner(self._uids, address, least=self.conf.virtual_minimum_uid)
        gid = await self._owner(self._gids, address, least=1) if uid is not None else None
        if uid is None or gid is None:
            return MISCONFIGURED
        if delivery.trace & TRACE_VERIFY:
            kind = "maildir" if path.endswith("/") else "mailbox"
            return Sent("2.0.0", f"delivers to {kind}", RELAY, action="deliverable")
        original = recipient.original or recipient.address if self.conf.enable_original_recipient else ""
        opening = letter.opening(delivery.sender, original, recipient.address)
        return await self._store(delivery, f"{base}/{path}", uid, gid, opening, content)

    async def _store(
        self, delivery: Delivery, path: str, uid: int, gid: int, opening: bytes, content: Content
    ) -> Outcome:
        limit = self.conf.virtual_mailbox_limit
        maildir = path.endswith("/")
        try:
            if maildir:
                await self._depot.put(
                    path, lambda: letter.maildir_pieces(opening, content), uid=uid, gid=gid, limit=limit
                )
                return Sent("2.0.0", "delivered to maildir", RELAY, action="delivered")
            mailbox = Mailbox(path, uid, gid, limit, strict_owner=self.conf.strict_mailbox_ownership)
            sender, now = delivery.sender, time.time()
            await self._mboxes.put(mailbox, lambda: letter.mbox_pieces(sender, now, opening, content))
            return Sent("2.0.0", "delivered to mailbox", RELAY, action="delivered")
        except NotAllowed as error:
            return Deferred("4.3.0", str(error.strerror), RELAY)
        except MailboxProblem as problem:
            for remark in problem.remarks:
                log.warning(remark)
            text = f"maildir delivery failed: {problem}" if maildir else f"delivery failed to mailbox {path}: {problem}"
            if problem.full:
                return Bounced(problem.dsn, text, RELAY, diagnostic=problem.diagnostic)
            return Deferred("4" + problem.dsn[1:], text, RELAY, diagnostic=problem.diagnostic)

    async def _owner(self, maps: Maps, address: str, *, least: int) -> int | None:
        """The number that the table gives; None, with a warning, if there is none that may be used."""
        value = await self._find(maps, address)
        if value is None:
            log.warning(f"recipient {address}: not found in {maps.name}")
            return None
        if not (value.isascii() and value.isdigit()) or not least <= int(value) < 2**32 - 1:
            log.warning(f"recipient {address}: bad {maps.name[8:11]} {value} in {maps.name}")
            return None
        return int(value)

    async def _find(self, maps: Maps, address: str) -> str | None:
        found = await find_address(
            maps,
            address,
            delimiters=self.conf.recipient_delimiter,
            is_local=_never,
            owner_special=self.conf.owner_request_special,
            quoted=quote(address),
        )
        return None if found is None else found.value


async def _never(domain: str) -> bool:
    return False
