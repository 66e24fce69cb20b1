"""From a destination to the servers to try, in order: mail exchangers, their addresses, and who we are ourselves.

RFC 5321 5.1: mail exchangers by preference, equal ones in random order; a domain without them is its own. A server
list that leads back to this machine ends before it, or the mail would circle. RFC 7505: a null MX takes no mail.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from estafeta.base import log
from estafeta.base.networks import number_of, text_of
from estafeta.daemons.smtp.errors import Failure, LoopsBack, SiteError
from estafeta.daemons.smtp.nexthop import Destination
from estafeta.net.dns import BadAnswer, BadName, DnsDown, DnsError, Dropped, Mx, NoData, NoSuchDomain, Srv

SMTP_PORT = 25
MOST_EXCHANGERS = 100
"""Mail exchangers of one domain that are looked at."""


class Names(Protocol):
    """What is asked of net.dns.Resolver."""

    async def mx(self, domain: str) -> list[Mx]: ...

    async def srv(self, name: str) -> list[Srv]: ...

    async def canonical(self, host: str) -> tuple[str, bool]: ...

    async def addresses(self, host: str, *, family: int = 0) -> list[str]: ...

    async def native(self, host: str, *, family: int = 0) -> list[str]: ...


@dataclass(slots=True, frozen=True)
class Server:
    """One address to connect to. `path` is set for a local socket."""

    host: str
    address: str
    port: int = 0
    preference: int = 0
    best: bool = False
    """Among the servers of the best preference: where mail that loops would show itself."""
    path: str = ""

    @property
    def shown(self) -> str:
        """host[address], as in texts."""
        return f"{self.host}[{self.address}]"

    @property
    def relay(self) -> str:
        """host[address]:port, as in relay= of the log."""
        return f"{self.host}[{self.path}]" if self.path else f"{self.host}[{self.address}]:{self.port}"


@dataclass(slots=True, frozen=True)
class Settings:
    """What of main.cf matters for finding servers."""

    myhostname: str
    families: tuple[int, ...] = (4, 6)
    """4 and 6, in the order in which Postfix asks: A before AAAA."""
    own_addresses: frozenset[tuple[int, int]] = frozenset()
    use_dns: bool = True
    lookup: tuple[str, ...] = ("dns",)
    """smtp_host_lookup: dns, native."""
    preference: str = "any"
    balance: bool = True
    randomize: bool = True
    address_limit: int = 5
    ignore_mx_error: bool = False
    defer_no_address: bool = False
    srv: frozenset[str] = frozenset()
    """Services whose hosts are found by SRV: use_srv_lookup."""
    srv_fallback: bool = False
    ignore_srv_error: bool = False
    cname_overrides: bool = False
    dnssec: bool = False


class Directory:
    """Finds servers. Chance and the resolver are handed in."""

    def __init__(self, names: Names, settings: Settings, chance: random.Random) -> None:
        self._names = names
        self._settings = settings
        self._chance = chance

    async def servers(self, destination: Destination, *, lmtp: bool = False) -> list[Server]:
        """The servers of one destination, best first, at most smtp_mx_address_limit. Raises SiteError."""
        if destination.path:
            return [Server(self._settings.myhostname, destination.path, path=destination.path)]
        detect = not lmtp and destination.port == SMTP_PORT
        if destination.service in self._settings.srv and destination.service and self._settings.use_dns:
            by_service = await self._of_service(destination)
            if by_service is not None:
                return self._limited(by_service)
        if destination.literal or not self._settings.use_dns:
            found = await self._of_host(destination, detect)
        else:
            found = await self._of_domain(destination, detect)
        return self._limited(found)

    async def _of_host(self, destination: Destination, detect: bool) -> list[Server]:
        try:
            name, addresses = await self._addresses(destination.host)
        except _NoAddress as error:
            raise SiteError(error.failure) from error
        found = self._order([Server(name, each, destination.port, 0, True) for each in addresses])
        if detect and self._find_self(found, "") is not None:
            raise LoopsBack(_loops(destination.host))
        return found

    async def _of_domain(self, destination: Destination, detect: bool) -> list[Server]:
        domain = destination.host
        number = number_of(domain)
        if number is not None:
            return [Server(domain, domain, destination.port, 0, True)]
        try:
            exchangers = (await self._names.mx(domain))[:MOST_EXCHANGERS]
        except (NoSuchDomain, NoData):
            return await self._of_host(destination, detect)
        except DnsDown as error:
            if self._settings.ignore_mx_error:
                return await self._of_host(destination, detect)
            raise SiteError(_later(error)) from error
        except (BadName, BadAnswer) as error:
            raise SiteError(Failure("5.4.4", str(error), hard=True)) from error
        if len(exchangers) == 1 and not exchangers[0].host:
            raise SiteError(Failure("5.1.0", f"Domain {domain} does not accept mail (nullMX)", hard=True))
        return await self._of_exchangers(exchangers, destination, detect)

    async def _of_exchangers(self, exchangers: list[Mx], destination: Destination, detect: bool) -> list[Server]:
        found: list[Server] = []
        last: Failure | None = None
        later = False
        for preference, host in exchangers:
            try:
                name, addresses = await self._addresses(host)
            except _NoAddress as error:
                last = error.failure
                later = later or not last.hard
                continue
            best = not found or found[0].preference == preference
            found.extend(Server(name, each, destination.port, preference, best) for each in addresses)
        if not found:
            log.warning(f"no MX host for {destination.host} has a valid address record")
            assert last is not None
            raise SiteError(_as_soft(last) if later or self._settings.defer_no_address else last)
        mine = self._find_self(found, self._settings.myhostname) if detect else None
        if mine is not None:
            # We are an exchanger of this domain ourselves: only better ones may get the mail. RFC 5321 5.1.
            found = [server for server in found if server.preference < mine]
            if not found and exchangers[0].preference < mine:
                # There are better ones, whose addresses cannot be found just now: this mail does not circle, it waits.
                text = f"unable to find primary relay for {destination.host}"
                raise SiteError(Failure("4.4.4", text, throttle=True))
            if not found:
                raise LoopsBack(_loops(destination.host))
        return self._order(found)

    async def _of_service(self, destination: Destination) -> list[Server] | None:
        """The hosts that SRV records name, best first; None where MX records are to be asked instead. RFC 2782."""
        domain, settings = destination.host, self._settings
        try:
            records = await self._names.srv(f"_{destination.service}._tcp.{domain}")
        except DnsDown as error:
            if settings.srv_fallback or settings.ignore_srv_error:
                return None
            raise SiteError(_later(error)) from error
        except DnsError as error:
            if settings.srv_fallback and not isinstance(error, BadName):
                return None
            raise SiteError(Failure("5.4.4", str(error), hard=True)) from error
        if len(records) == 1 and not records[0].host:
            text = f"Domain {domain} does not offer the service {destination.service} (null SRV)"
            raise SiteError(Failure("5.1.0", text, hard=True))
        found: list[Server] = []
        last: Failure | None = None
        for place, record in enumerate(self._by_weight(records)[:MOST_EXCHANGERS]):
            try:
                name, addresses = await self._addresses(record.host)
            except _NoAddress as error:
                last = error.failure if last is None or last.hard else last
                continue
            # Their order is decided already; equal addresses of one host are shuffled below.
            found += self._order([Server(name, each, record.port, place) for each in addresses])
        if not found:
            log.warning(f"no SRV host for {domain} has a valid address record")
            raise SiteError(last or Failure("5.4.4", f"no SRV host for {domain} can be used", hard=True))
        return found

    def _by_weight(self, records: list[Srv]) -> list[Srv]:
        """Lowest priority first; equal ones by chance, in the proportion of their weights. RFC 2782."""
        ordered: list[Srv] = []
        waiting = sorted((record for record in records if record.host), key=lambda record: record.priority)
        while waiting:
            equal = [record for record in waiting if record.priority == waiting[0].priority]
            chosen = self._chance.choices(equal, [record.weight or 0.01 for record in equal])[0]
            ordered.append(chosen)
            waiting.remove(chosen)
        return ordered

    def _find_self(self, servers: Sequence[Server], myhostname: str) -> int | None:
        """The preference of the first server that is this machine."""
        own, name = self._settings.own_addresses, myhostname.lower()
        for server in servers:
            if (name and server.host.lower() == name) or number_of(server.address) in own:
                return server.preference
        return None

    async def _addresses(self, host: str) -> tuple[str, list[str]]:
        """The host's name for logs, and its addresses of the families in use. Raises _NoAddress."""
        number = number_of(host)
        if number is not None:
            if number[0] not in self._settings.families:
                # An address of a protocol that inet_protocols turns off is no host that could be found.
                raise _NoAddress(Failure("5.4.4", str(BadName(host, "")), hard=True))
            return host, [text_of(*number)]
        failure: Failure | None = None
        # In whatever order smtp_host_lookup names them, DNS comes first; and what it cannot tell now nobody else may.
        if self._settings.use_dns and "dns" in self._settings.lookup:
            found, failure = await self._ask(self._names.addresses, host)
            if found:
                return await self._name_of(host), found
            if failure is not None and not failure.hard:
                raise _NoAddress(failure)
        if failure is None or "native" in self._settings.lookup:
            found, failure = await self._ask(self._names.native, host, native=True)
            if found:
                return host, found
        assert failure is not None
        raise _NoAddress(failure)

    async def _name_of(self, host: str) -> str:
        """The host, or what it is an alias of where that is wanted (or proven)."""
        if not self._settings.cname_overrides and not self._settings.dnssec:
            return host
        canonical, secure = await self._names.canonical(host)
        return canonical if self._settings.cname_overrides or secure else host

    async def _ask(self, how: _Lookup, host: str, *, native: bool = False) -> tuple[list[str], Failure | None]:
        """Every family in turn; the last failure counts, but what is only unknown more than what is denied."""
        found: list[str] = []
        denied: Failure | None = None
        unknown: Failure | None = None
        for family in self._settings.families:
            try:
                found += await how(host, family=family)
            except DnsError as error:
                text = _native_text(host, error) if native else str(error)
                # A loop of aliases is nobody's address, and stays so.
                if isinstance(error, NoSuchDomain | NoData | BadName) or (isinstance(error, BadAnswer) and not native):
                    denied = Failure("5.4.4", text, hard=True)
                else:
                    unknown = Failure("4.4.4", text, throttle=True) if native else _later(error)
        return found, unknown or denied

    def _order(self, servers: list[Server]) -> list[Server]:
        """By preference; equal ones by chance, or the preferred protocol first."""
        if len(servers) < 2:
            return servers
        if self._settings.randomize:
            self._chance.shuffle(servers)
        wanted = {"ipv4": False, "ipv6": True}.get(self._settings.preference)
        if wanted is None:
            return sorted(servers, key=lambda server: server.preference)
        return sorted(servers, key=lambda server: (server.preference, (":" in server.address) != wanted))

    def _limited(self, servers: list[Server]) -> list[Server]:
        limit = self._settings.address_limit
        if not limit or len(servers) <= limit:
            return servers
        six = ":" in servers[0].address
        others = sum((":" in server.address) != six for server in servers)
        if not self._settings.balance or not others:
            return servers[:limit]
        # One protocol that does not work must not take all the places: the other one gets half of them, if it can.
        places = {six: 0, not six: min(others, max(limit // 2, limit - (len(servers) - others)))}
        places[six] = limit - places[not six]
        kept = []
        for server in servers:
            family = ":" in server.address
            if places[family]:
                places[family] -= 1
                kept.append(server)
        return kept


def _later(error: DnsError) -> Failure:
    """Name servers that do not answer, or an answer that a filter emptied."""
    dsn = "4.7.0" if isinstance(error, Dropped) else "4.4.3" if isinstance(error, DnsDown) else "4.4.4"
    return Failure(dsn, str(error), throttle=True)


def _native_text(host: str, error: DnsError) -> str:
    """The C library's words, which people know from Postfix's log."""
    if isinstance(error, NoData):
        reason = "No address associated with hostname"
    elif isinstance(error, NoSuchDomain | BadName):
        reason = "Name or service not known"
    else:
        reason = "Temporary failure in name resolution"
    return f"unable to look up host {host}: {reason}"


class _NoAddress(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class _Lookup(Protocol):
    async def __call__(self, host: str, *, family: int = 0) -> list[str]: ...


def _as_soft(failure: Failure) -> Failure:
    return Failure("4" + failure.dsn[1:], failure.text, throttle=True)


def _loops(domain: str) -> Failure:
    return Failure("5.4.6", f"mail for {domain} loops back to myself", hard=True)
