"""Which class a domain is of: local, virtual alias, virtual mailbox, relay, or any other. ADDRESS_CLASS_README.

A domain should be in one class only. One that is listed twice still goes somewhere, and a warning says so.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.config.interfaces import Address, addresses_of, local_addresses
from estafeta.mail.address import fold, literal_address
from estafeta.routing.answer import ALIAS, DEFAULT, LOCAL, MAILBOX, RELAY
from estafeta.tables.match import MatchList
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from estafeta.config.instance import Config


MOST_TOLD = 1000
"""Domains that are remembered as having been warned of."""


class Domains:
    """The lists of one configuration. Raises TableDown where a list's table cannot answer."""

    def __init__(self, conf: Config) -> None:
        parents = conf.parent_domain_matches_subdomains
        self._local = MatchList.open(conf.mydestination, name="mydestination")
        self._alias = MatchList.open(conf.virtual_alias_domains, name="virtual_alias_domains")
        self._mailbox = MatchList.open(conf.virtual_mailbox_domains, name="virtual_mailbox_domains")
        self._relay = MatchList.open(
            conf.relay_domains, parent_matches_subdomains="relay_domains" in parents, name="relay_domains"
        )
        self._own = own_addresses(conf.inet_interfaces, conf.proxy_interfaces, conf.inet_protocols)
        self._origin = fold(conf.myorigin)
        self._told: set[tuple[str, str, str]] = set()
        self.constant = all(listed.constant for listed in (self._local, self._alias, self._mailbox, self._relay))
        """Whether every answer comes from memory and cannot change."""

    async def is_local(self, domain: str) -> bool:
        """Whether mail to `domain` ends at this machine: mydestination, or an address literal of ours."""
        domain = domain.removesuffix(".")
        if await self._local.matches_name(domain):
            return True
        literal = literal_address(domain)
        return literal is not None and ipaddress.ip_address(literal) in self._own

    async def completes_bare_names(self, domain: str) -> bool:
        """Whether tables may hold `user` for user@domain: $myorigin, or a local domain. canonical(5), virtual(5)."""
        return fold(domain) == self._origin or await self.is_local(domain)

    async def class_of(self, domain: str, *, local: bool) -> str:
        """The class of a domain, given whether it `is_local`. Warns of a domain that is in two."""
        if local:
            await self._warn_of_both(domain, "mydestination", self._alias, self._mailbox)
            return LOCAL
        if await self._alias.matches_name(domain):
            await self._warn_of_both(domain, "virtual_alias_domains", self._mailbox, self._relay)
            return ALIAS
        if await self._mailbox.matches_name(domain):
            await self._warn_of_both(domain, "virtual_mailbox_domains", self._relay)
            return MAILBOX
        return RELAY if await self._relay.matches_domain(domain) else DEFAULT

    async def _warn_of_both(self, domain: str, name: str, *others: MatchList) -> None:
        for other in others:
            try:
                both = await (other.matches_domain if other is self._relay else other.matches_name)(domain)
            except TableDown:
                continue  # only the warning depends on it
            about = fold(domain), name, other.name
            if both and about not in self._told:
                if len(self._told) >= MOST_TOLD:
                    self._told.clear()  # strangers choose the domains where a list holds all
                self._told.add(about)
                log.warning(f"do not list domain {domain} in BOTH {name} and {other.name}")


def own_addresses(
    inet_interfaces: Sequence[str], proxy_interfaces: Sequence[str], inet_protocols: Sequence[str] = ("all",)
) -> frozenset[object]:
    """The IP addresses that stand for this machine: those it receives mail on, itself or through a proxy."""
    protocols = {word.lower() for word in inet_protocols}
    versions = {version for version, name in ((4, "ipv4"), (6, "ipv6")) if protocols & {"all", name}}
    words = {word.lower() for word in inet_interfaces}
    found: set[Address] = set()
    if words & {"all", "loopback-only"}:
        every = [entry.address for entry in local_addresses()]
        found.update(address for address in every if "all" in words or address.is_loopback)
    for host in (*(words - {"all", "loopback-only"}), *proxy_interfaces):
        try:
            found |= addresses_of(host)
        except OSError as error:
            log.warning(
                f"inet_interfaces or proxy_interfaces: host not found: {host} ({error}): mail to user@[its address] "
                "is not recognized as local; write the address itself"
            )
    return frozenset(address for address in found if address.version in versions)
