"""transport(5): which transport and next hop the administrator wants for an address or domain.

Keys, in order: `user+ext@domain`, `user@domain`, the domain, its parents as `.parent` (or as `parent`, where
parent_domain_matches_subdomains says so), and `*`. A result is `transport:nexthop`; a part that is empty says
nothing, so that what the address's class gives remains, except that a transport without next hop goes to the
recipient's domain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.mail.address import quote, split_extension
from estafeta.tables.domain_lookup import find_domain
from estafeta.tables.maps import Maps

if TYPE_CHECKING:
    from estafeta.config.instance import Config


class Transports:
    """transport_maps of one configuration; true if there are any."""

    __slots__ = ("_delimiters", "_maps", "_owner_special", "_parent_matches")

    def __init__(self, conf: Config) -> None:
        self._maps = Maps.open(conf.transport_maps, name="transport_maps")
        self._delimiters = conf.recipient_delimiter
        self._owner_special = conf.owner_request_special
        self._parent_matches = "transport_maps" in conf.parent_domain_matches_subdomains

    def __bool__(self) -> bool:
        return bool(self._maps)

    async def find(self, local: str, domain: str) -> tuple[str, str] | None:
        """(transport, nexthop), each perhaps empty; None where no entry applies. Raises TableDown."""
        value = await self._value(local, domain)
        return None if value is None else split_transport(value)

    async def _value(self, local: str, domain: str) -> str | None:
        address = quote(f"{local}@{domain}")
        value = await self._maps.find(address)
        if value is not None:
            return value
        bare, extension = split_extension(local, self._delimiters, owner_special=self._owner_special)
        if extension:
            value = await self._maps.find(quote(f"{bare}@{domain}"), partial=True)
            if value is not None:
                return value
        # Patterns were asked with the whole address; but the domain itself is a key that Postfix puts to them too.
        value = await find_domain(self._maps, domain, parent_matches_subdomains=self._parent_matches)
        if value is not None:
            return value
        return await self._maps.find("*", partial=True)


def split_transport(value: str) -> tuple[str, str]:
    """`smtp:[host]:25` -> ("smtp", "[host]:25"); `smtp` -> ("smtp", ""). Blanks around the parts do not count."""
    transport, _, nexthop = value.partition(":")
    return transport.strip(), nexthop.strip()
