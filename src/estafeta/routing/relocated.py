"""relocated(5): users who have gone. Their mail is returned with the note where to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.mail.address import quote
from estafeta.tables.address_lookup import find_address
from estafeta.tables.maps import Maps

if TYPE_CHECKING:
    from estafeta.config.instance import Config
    from estafeta.routing.domains import Domains

PREFIX = "5.1.6 User has moved to "


class Relocated:
    """relocated_maps of one configuration; true if there are any."""

    __slots__ = ("_delimiters", "_domains", "_maps", "_owner_special", "_prefix")

    def __init__(self, conf: Config, domains: Domains) -> None:
        self._maps = Maps.open(conf.relocated_maps, name="relocated_maps")
        self._delimiters = conf.recipient_delimiter
        self._owner_special = conf.owner_request_special
        self._prefix = PREFIX if conf.relocated_prefix_enable else ""
        self._domains = domains

    def __bool__(self) -> bool:
        return bool(self._maps)

    async def find(self, address: str) -> str | None:
        """`5.1.6 User has moved to ...`, for error(8); None for somebody who is still here. Raises TableDown."""
        found = await find_address(
            self._maps,
            address,
            delimiters=self._delimiters,
            is_local=self._domains.completes_bare_names,
            owner_special=self._owner_special,
            quoted=quote(address),
        )
        return None if found is None else self._prefix + found.value
