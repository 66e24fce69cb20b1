"""What a table of addresses gives for one: canonical(5), virtual(5), generic(5) are asked and read alike.

The extension that was left off to find an entry is put to the addresses found, where propagate_unmatched_extensions
names the kind of table; `@domain` as a result keeps the user; results are put into standard form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.mail import mailboxes
from estafeta.mail.address import quote, split
from estafeta.tables.address_lookup import IsLocal, find_address
from estafeta.tables.maps import Maps
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from collections.abc import Callable

    from estafeta.config.instance import Config


class Replacement:
    """The rules of one configuration."""

    __slots__ = ("_delimiters", "_is_local", "_owner_special", "_propagate", "_rewrite")

    def __init__(self, conf: Config, rewrite: Callable[..., str], is_local: IsLocal) -> None:
        """`rewrite`: Rewriter.rewrite or Routing.rewritten."""
        self._rewrite = rewrite
        self._is_local = is_local
        self._delimiters = conf.recipient_delimiter
        self._owner_special = conf.owner_request_special
        self._propagate = frozenset(conf.propagate_unmatched_extensions)

    def extends(self, kind: str) -> bool:
        """Whether tables of this kind (canonical, virtual, generic) keep extensions."""
        return kind in self._propagate

    async def find(self, address: str, maps: Maps, *, extend: bool) -> list[str] | None:
        """The addresses in standard form that the table gives for this one; None if it gives none. Raises TableDown."""
        found = await self.entry(address, maps)
        if found is None:
            return None
        value, extension = found
        local = split(address)[0]
        if not extend:
            extension = ""
        return [self._completed(box, local, extension) for box in mailboxes.scan(value)]

    async def entry(self, address: str, maps: Maps) -> tuple[str, str] | None:
        """(value as the table has it, extension that was left off). Raises TableDown."""
        found = await find_address(
            maps,
            address,
            delimiters=self._delimiters,
            is_local=self._is_local,
            owner_special=self._owner_special,
            quoted=quote(address),
        )
        if found is None:
            return None
        if not found.value.isascii() and not _is_utf8(found.value):
            raise TableDown(f"{maps.name}: the value for {address} is not UTF-8: write it anew")
        return found.value, found.extension

    def _completed(self, box: mailboxes.Mailbox, local: str, extension: str) -> str:
        address = box.address
        if address.startswith("@"):
            return self._rewrite(local + address)  # @old -> @new keeps the user
        if extension:
            user, at, domain = address.rpartition("@")
            address = f"{user}{extension}@{domain}" if at else address + extension
        return self._rewrite(address, quoted=box.quoted)


def _is_utf8(text: str) -> bool:
    """Whether no byte of the table's file had to be smuggled in as a surrogate: an envelope cannot hold one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
