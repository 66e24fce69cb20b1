"""Where each address class is sent, before transport_maps have their say.

The next hop comes, in this order, from the class's transport parameter, from the relay host (of the sender, then
general; relay and default classes only), and from the recipient's domain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.mail.address import quote, split, split_extension
from estafeta.routing.answer import ALIAS, DEFAULT, LOCAL, MAILBOX, RELAY
from estafeta.routing.transports import split_transport
from estafeta.tables.maps import Maps

if TYPE_CHECKING:
    from estafeta.config.instance import Config

_PARAMETERS = {
    LOCAL: "local_transport",
    MAILBOX: "virtual_transport",
    RELAY: "relay_transport",
    DEFAULT: "default_transport",
}

NOTHING = "DUNNO"
"""The result of a sender-dependent table that ends the search without an answer."""


class ClassRoutes:
    """The transports of one configuration."""

    __slots__ = (
        "_default_maps",
        "_delimiters",
        "_fixed",
        "_keys",
        "_owner_special",
        "_relayhost",
        "_relayhost_maps",
        "_unknown",
        "depends_on_sender",
    )

    def __init__(self, conf: Config) -> None:
        self._fixed = {kind: split_transport(getattr(conf, name)) for kind, name in _PARAMETERS.items()}
        for kind, (transport, _) in self._fixed.items():
            if not transport:
                name = _PARAMETERS[kind]
                log.warning(
                    f"{conf.origin(name)}: parameter {name}: null transport is not allowed, its mail waits: write a "
                    "name of master.cf before the colon"
                )
        self._relayhost = conf.value("relayhost").strip()
        self._relayhost_maps = Maps.open(conf.sender_dependent_relayhost_maps, name="sender_dependent_relayhost_maps")
        self._default_maps = Maps.open(
            conf.sender_dependent_default_transport_maps, name="sender_dependent_default_transport_maps"
        )
        self._keys = (
            conf.empty_address_relayhost_maps_lookup_key,
            conf.empty_address_default_transport_maps_lookup_key,
        )
        self._delimiters = conf.recipient_delimiter
        self._owner_special = conf.owner_request_special
        self._unknown = "5.1.1 User unknown" + (" in virtual alias table" if conf.show_user_unknown_table_name else "")
        self.depends_on_sender = bool(self._relayhost_maps) or bool(self._default_maps)

    async def route(self, address_class: str, domain: str, sender: str) -> tuple[str, str]:
        """(transport, next hop) for a domain of a class. Raises TableDown."""
        if address_class == ALIAS:
            # Whoever still has such an address after virtual alias expansion was not in the table.
            return "error", self._unknown
        transport, nexthop = self._fixed[address_class]
        if address_class == DEFAULT and self._default_maps:
            own = await self._of_sender(self._default_maps, sender, self._keys[1])
            if own:
                transport, nexthop = split_transport(own)
        if nexthop:
            return transport, nexthop
        if address_class in (LOCAL, MAILBOX):
            return transport, domain
        if self._relayhost_maps:
            own = await self._of_sender(self._relayhost_maps, sender, self._keys[0])
            if own:
                return transport, own
        return transport, self._relayhost or domain

    async def _of_sender(self, maps: Maps, sender: str, empty_key: str) -> str:
        """The entry for the sender or its @domain; "" for none."""
        if not sender:
            keys = [empty_key]
        else:
            local, domain = split(sender)
            bare, extension = split_extension(local, self._delimiters, owner_special=self._owner_special)
            keys = [quote(sender)]
            if extension:
                keys.append(quote(f"{bare}@{domain}"))
            keys.append(f"@{domain}")
        for index, key in enumerate(keys):
            value = await maps.find(key, partial=index > 0)
            if value is not None:
                return "" if value.upper() == NOTHING else value
        return ""
