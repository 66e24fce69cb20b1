"""The DNSBL score of an address: the weights of all lists that have it, added up.

One look-up serves all clients that come from an address at the same time; who comes later finds the answers in the
resolver's cache. What a list does not answer in time counts as nothing: a list that is down turns nobody away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.config.main_cf import ConfigError
from estafeta.net.dns_names import DnsDown
from estafeta.net.dnsbl import UNKNOWN_TTL, DnsLists, Site, SiteError, parse_site, reversed_address
from estafeta.tables.maps import Maps
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from estafeta.config.instance import Config
    from estafeta.net.dns import Resolver

    from .visitor import Visitor

DNSBLOG = "dnsblog"
"""Whose name these log lines bear in Postfix."""


class Rank:
    """What is known so far."""

    __slots__ = ("blamed", "done", "score", "ttl", "waiting", "weight")

    def __init__(self) -> None:
        self.score = 0
        self.ttl = UNKNOWN_TTL
        self.blamed = ""
        """The list to name to the client: the one of the most weight. Its name may hold a password."""
        self.weight = 0
        self.done = False
        self.waiting: list[Visitor] = []


class Ranks:
    """Asks all lists of postscreen_dnsbl_sites."""

    def __init__(self, conf: Config, resolver: Resolver, done: Callable[[Visitor], None]) -> None:
        """`done(visitor)` is called when all lists have answered. Raises ConfigError."""
        self._sites: dict[str, list[Site]] = {}
        for text in conf.postscreen_dnsbl_sites:
            try:
                site = parse_site(text, weighted=True)
            except SiteError as error:
                raise ConfigError(f"postscreen_dnsbl_sites: {error}") from None
            self._sites.setdefault(site.domain, []).append(site)
        self._lists = DnsLists(resolver)
        self._timeout = conf.postscreen_dnsbl_timeout
        self._delay = conf.dnsblog_reply_delay
        self._least, self._most = conf.postscreen_dnsbl_min_ttl, conf.postscreen_dnsbl_max_ttl
        self._names = Maps.open(conf.postscreen_dnsbl_reply_map, name="postscreen_dnsbl_reply_map")
        self._done = done
        self._asking: dict[str, Rank] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, visitor: Visitor) -> Rank:
        """Begin, or join in what is being asked."""
        rank = self._asking.get(visitor.address)
        if rank is None:
            rank = self._asking[visitor.address] = Rank()
            task = asyncio.get_running_loop().create_task(self._look(visitor.address, rank))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        rank.waiting.append(visitor)
        return rank

    def life(self, rank: Rank) -> int:
        """Seconds for which a good result counts."""
        return max(self._least, min(self._most, rank.ttl)) if rank.ttl > 0 else self._least

    async def shown(self, domain: str) -> str:
        """The name of a list as clients may see it; "" when that cannot be told."""
        try:
            return await self._names.find(domain) or domain
        except TableDown as error:
            log.warning(f"postscreen_dnsbl_reply_map: {error}: the list is not named to the client")
            return ""

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _look(self, address: str, rank: Rank) -> None:
        subject = reversed_address(address)
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.gather(
                    *(self._one(address, subject, domain, sites, rank) for domain, sites in self._sites.items())
                )
        except TimeoutError:
            log.warning(f"dnsblog reply timeout {self._timeout}s for {address}")
        finally:
            rank.done = True
            # Who comes from now on asks anew, and is answered by the resolver's cache.
            del self._asking[address]
            waiting, rank.waiting = rank.waiting, []
            for visitor in waiting:
                self._done(visitor)

    async def _one(self, address: str, subject: str, domain: str, sites: list[Site], rank: Rank) -> None:
        try:
            reply = await self._lists.ask(subject, domain)
        except DnsDown as error:
            log.warning(f"dnsblog_query: lookup error for DNS query {error.name}: {error}", DNSBLOG)
            return
        if self._delay:
            await asyncio.sleep(self._delay)
        if reply.ttl > 0:
            rank.ttl = reply.ttl if rank.ttl < 0 else min(rank.ttl, reply.ttl)
        for found in reply.addresses:
            log.info(f"addr {address} listed by domain {domain} as {found}", DNSBLOG)
        for site in sites:
            if site.counts(reply.addresses) is None:
                self._lists.notice_errors(reply, site)
                continue
            rank.score += site.weight
            if site.weight > rank.weight:
                rank.weight, rank.blamed = site.weight, domain
