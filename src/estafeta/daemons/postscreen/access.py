"""postscreen_access_list: clients that are let through or turned away without tests.

In order: permit, reject, dunno, permit_mynetworks, or a table that is asked for the address and answers with such
words. The first verdict counts. A table that cannot be asked has no verdict: the client is tested like any other, which
is neither letting it through nor turning it away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.tables.maps import Maps
from estafeta.tables.match import MatchList
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from estafeta.config.instance import Config

PERMIT, REJECT, DUNNO = "permit", "reject", "dunno"
_VERDICTS = {PERMIT, REJECT, DUNNO}
_NETWORKS = "permit_mynetworks"
QUICK = frozenset(
    ["btree", "cdb", "cidr", "dbm", "fail", "hash", "inline", "lmdb", "pcre", "regexp", "sdbm", "static", "texthash"]
)
"""Types of tables that are files or nothing: they answer without a wait."""


class AccessList:
    """`await access.verdict(address)`: permit, reject or dunno."""

    def __init__(self, conf: Config) -> None:
        self._name = "postscreen_access_list"
        self._networks = MatchList.open(conf.mynetworks, name="mynetworks")
        self._steps: list[str | Maps] = []
        self._quick = self._networks.constant
        for word in conf.postscreen_access_list:
            if ":" in word:
                self._quick = self._quick and word.partition(":")[0] in QUICK
                self._steps.append(Maps.open([word], name=self._name))
            elif word.lower() in _VERDICTS or word.lower() == _NETWORKS:
                self._steps.append(word.lower())
            else:
                log.warning(f"{self._name}: unknown command: {word} -- ignoring the remainder of this access list")
                break

    @property
    def quick(self) -> bool:
        """Whether nothing in it can make anybody wait."""
        return self._quick

    async def verdict(self, address: str) -> str:
        for step in self._steps:
            try:
                found = (
                    await self._word(step, address) if isinstance(step, str) else await self._in_table(step, address)
                )
            except TableDown as error:
                log.warning(f"{self._name}: {error}: [{address}] is tested instead")
                return DUNNO
            if found is not None:
                return found
        return DUNNO

    async def _word(self, word: str, address: str) -> str | None:
        if word != _NETWORKS:
            return word
        return PERMIT if await self._networks.matches_address("", address) else None

    async def _in_table(self, table: Maps, address: str) -> str | None:
        value = await table.find(address)
        return None if value is None else await self._listed(value.replace(",", " ").split(), table.specs[0], address)

    async def _listed(self, words: Sequence[str], where: str, address: str) -> str | None:
        for word in words:
            if word.lower() not in _VERDICTS and word.lower() != _NETWORKS:
                log.warning(f"{where}: unknown command: {word} -- ignoring the remainder of this access list")
                return DUNNO
            found = await self._word(word.lower(), address)
            if found is not None:
                return None if found == DUNNO else found
        return None
