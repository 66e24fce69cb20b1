"""transport(5): which transport and next hop the administrator wants for an address or domain.

Keys, in order: `user+ext@domain`, `user@domain`, the domain, its parents as `.parent` (or as `parent`, where
parent_domain_matches_subdomains says so), and `*`. A result is `transport:nexthop`; a part that is empty says
nothing, so that what the address's class gives remains, except that a transport without next hop goes to the
recipient's domain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.mail.address import quote, split_extension
from estafeta.tables.domain_lookup import parents
from estafeta.tables.maps import Maps
from estafeta.tables.table import Flags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from estafeta.config.instance import Config


_NO_PARTS = Flags(substitute=False)
"""What a stranger writes into an address must not choose where mail goes."""


class Transports:
    """transport_maps of one configuration; true if there are any."""

    __slots__ = ("_delimiters", "_maps", "_owner_special", "_parent_matches")

    def __init__(self, conf: Config) -> None:
        self._maps = Maps.open(conf.transport_maps, name="transport_maps", flags=_NO_PARTS)
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
        # Patterns see the whole address and no part of it; but `*`, when nothing else applies.
        for key in (domain, *self._parents_of(domain)):
            value = await self._maps.find(key, partial=True)
            if value is not None:
                return value
        return await self._maps.find("*")

    def _parents_of(self, domain: str) -> Iterator[str]:
        """An address literal has none."""
        if domain.startswith("["):
            return iter(())
        return parents(domain, parent_matches_subdomains=self._parent_matches)


def split_transport(value: str) -> tuple[str, str]:
    """`smtp:[host]:25` -> ("smtp", "[host]:25"); `smtp` -> ("smtp", ""). Blanks around the parts do not count."""
    transport, _, nexthop = value.partition(":")
    return transport.strip(), nexthop.strip()
