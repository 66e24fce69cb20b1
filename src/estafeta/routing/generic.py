"""generic(5): addresses that mean something here only, replaced as mail leaves for the world.

smtp(8) and lmtp(8) ask for the envelope and rewrite the header; a table is asked once for an address, and what it gives
is not looked up again. What is logged and reported keeps the address that this system knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.mail import header
from estafeta.mail.address_field import RECIPIENTS, SENDERS, replaced
from estafeta.routing.domains import Domains
from estafeta.routing.replacement import Replacement
from estafeta.routing.rewrite import Rewriter
from estafeta.tables.maps import Maps

if TYPE_CHECKING:
    from estafeta.config.instance import Config
    from estafeta.mail.mailboxes import Mailbox

FIELDS = SENDERS | RECIPIENTS


class Generic:
    """`Generic(conf, settings.generic_maps, "smtp_generic_maps")`; true if it names any table."""

    __slots__ = ("_extend", "_maps", "_replacement", "_token_limit")

    def __init__(self, conf: Config, specs: tuple[str, ...], name: str) -> None:
        self._maps = Maps.open(specs, name=name)
        self._replacement = Replacement(conf, Rewriter(conf).rewrite, Domains(conf).completes_bare_names)
        self._extend = self._replacement.extends("generic")
        self._token_limit = conf.header_address_token_limit

    def __bool__(self) -> bool:
        return bool(self._maps)

    async def address(self, address: str) -> str:
        """The address as the world is to see it. Internal form in and out. Raises TableDown."""
        if not address:
            return address
        found = await self._replacement.find(address, self._maps, extend=self._extend)
        if not found:
            return address
        if len(found) > 1:
            log.warning(f"multi-valued {self._maps.name} result for {address}")
        return found[0]

    async def head(self, head: bytes) -> bytes:
        """A header block with the addresses in it replaced; the same object if none is. Raises TableDown."""
        pieces: list[bytes] = []
        done = 0
        for each in header.find(head, FIELDS):
            new = await replaced(head[each.start : each.end], each.value - each.start, self._of_box, self._token_limit)
            if new is not None:
                pieces += (head[done : each.start], new)
                done = each.end
        return b"".join((*pieces, head[done:])) if pieces else head

    async def _of_box(self, box: Mailbox) -> str:
        return await self.address(box.address)
