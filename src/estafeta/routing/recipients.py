"""Who exists: reject_unlisted_recipient and reject_unlisted_sender. LOCAL_RECIPIENT_README, ADDRESS_CLASS_README.

An address is listed when a canonical or virtual alias table knows it, or when the table of valid recipients of its
class does, or when its class has no such table. An address that routing itself sends to error: or retry: is answered
with that transport's text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.mail.address import fold, quote, same, split
from estafeta.routing.answer import ALIAS, LOCAL, MAILBOX, RELAY, Resolved, Unlisted
from estafeta.tables.address_lookup import find_address
from estafeta.tables.maps import Held, Maps
from estafeta.tables.table import Flags

if TYPE_CHECKING:
    from estafeta.config.instance import Config
    from estafeta.routing.routing import Routing

_TABLES = {
    LOCAL: "local recipient table",
    ALIAS: "virtual alias table",
    MAILBOX: "virtual mailbox table",
    RELAY: "relay recipient table",
}


class Recipients:
    """The recipient tables of one configuration."""

    def __init__(self, conf: Config, routing: Routing) -> None:
        self._routing = routing
        self._delimiters = conf.recipient_delimiter
        self._owner_special = conf.owner_request_special
        self._double_bounce = conf.double_bounce_sender
        self._show_table = conf.show_user_unknown_table_name
        aliases = Maps.open(conf.virtual_alias_maps, name="virtual_alias_maps")
        canonical = Maps.open(conf.canonical_maps, name="canonical_maps")
        of_recipients = Maps.open(conf.recipient_canonical_maps, name="recipient_canonical_maps")
        of_senders = Maps.open(conf.sender_canonical_maps, name="sender_canonical_maps")
        self._rewriting_recipients = [maps for maps in (of_recipients, canonical, aliases) if maps]
        self._rewriting_senders = [maps for maps in (of_senders, canonical, aliases) if maps]
        self._always_listed = {"postmaster", "mailer-daemon", fold(self._double_bounce)}
        """Local parts that nobody needs to list: RFC 5321 4.5.1 wants the first; the others qmgr takes."""
        self._listing = {
            LOCAL: _local_recipient_maps(conf),
            MAILBOX: Maps.open(conf.virtual_mailbox_maps, name="virtual_mailbox_maps"),
            RELAY: Maps.open(conf.relay_recipient_maps, name="relay_recipient_maps"),
        }
        self._codes = {
            LOCAL: conf.unknown_local_recipient_reject_code,
            ALIAS: conf.unknown_virtual_alias_reject_code,
            MAILBOX: conf.unknown_virtual_mailbox_reject_code,
            RELAY: conf.unknown_relay_recipient_reject_code,
        }

    async def unlisted_recipient(self, address: str) -> Unlisted | None:
        return await self._unlisted(address, self._rewriting_recipients, "5.1.1")

    async def unlisted_sender(self, address: str) -> Unlisted | None:
        if not address or same(address, self._double_bounce) or address.startswith(self._double_bounce + "@"):
            return None
        return await self._unlisted(address, self._rewriting_senders, "5.1.0")

    async def _unlisted(self, address: str, rewriting: list[Maps], dsn: str) -> Unlisted | None:
        resolved = await self._routing.resolve(self._routing.rewritten(address))
        if resolved.invalid:
            return None  # not an address: whoever parsed it says so in other words
        for maps in rewriting:
            if await self._listed(maps, resolved.recipient):
                return None
        if resolved.address_class != ALIAS and resolved.transport in ("error", "retry"):
            return _own_words(resolved, dsn)
        if resolved.address_class == LOCAL and fold(split(resolved.recipient)[0]) in self._always_listed:
            return None
        listing = self._listing.get(resolved.address_class)
        if resolved.address_class != ALIAS and (not listing or await self._listed(listing, resolved.recipient)):
            return None
        if resolved.address_class == ALIAS and dsn == "5.1.0":
            dsn = "5.1.1"  # whoever speaks of a sender turns it into 5.1.7: RFC 3463 3.2
        table = f" in {_TABLES[resolved.address_class]}" if self._show_table else ""
        code = self._codes[resolved.address_class]
        return Unlisted(code, dsn if code >= 500 else "4" + dsn[1:], "User unknown" + table)

    async def _listed(self, maps: Maps, address: str) -> bool:
        found = await find_address(
            maps,
            address,
            delimiters=self._delimiters,
            is_local=self._routing.domains.completes_bare_names,
            owner_special=self._owner_special,
            quoted=quote(address),
        )
        return found is not None


def _local_recipient_maps(conf: Config) -> Maps:
    """Alias tables among them have their source in aliases(5) form, which matters when an index has to be built."""
    name = "local_recipient_maps"
    aliases = {spec.removeprefix("proxy:") for spec in conf.alias_maps}
    held = [
        Held(spec, Flags(aliases=spec.removeprefix("proxy:") in aliases), name=name)
        for spec in conf.local_recipient_maps
    ]
    return Maps(held, name)


def _own_words(resolved: Resolved, dsn: str) -> Unlisted:
    """What the table said behind error: or retry:. A text without a status gets that of an unknown user."""
    later = resolved.transport == "retry"
    if resolved.error == resolved.nexthop:
        status, _, text = resolved.nexthop.partition(" ")
        text = text.strip()
    else:
        status, text = dsn, resolved.nexthop
    status = ("4" if later else "5") + status[1:]
    return Unlisted(450 if later else 550, status, text)
