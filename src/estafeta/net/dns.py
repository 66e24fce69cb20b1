"""The resolver: every DNS question of the mail system goes through one of these, one per process.

It asks the name servers of resolv.conf without blocking the loop, keeps answers as long as their TTL allows,
and lets equal questions that are asked at the same time share one answer. The `native` look-ups are what
Postfix does through the C library: hosts(5) first, then DNS with the search list.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import dns.rcode

from estafeta.base import log
from estafeta.base.networks import number_of, text_of
from estafeta.net import dns_transport
from estafeta.net.dns_cache import DnsCache
from estafeta.net.dns_message import MOST_CNAMES, MOST_RECORDS, Reply
from estafeta.net.dns_names import (
    Answer,
    BadAnswer,
    BadName,
    DnsDown,
    DnsError,
    Dropped,
    Mx,
    NoData,
    NoSuchDomain,
    Srv,
    check_name,
)
from estafeta.net.dnssec_probe import DnssecProbe
from estafeta.net.resolv_conf import LOOK_AGAIN, Hosts, Settings, WatchedFile, parse_hosts, parse_settings

__all__ = [
    "Answer",
    "BadAnswer",
    "BadName",
    "DnsDown",
    "DnsError",
    "Dropped",
    "Mx",
    "NoData",
    "NoSuchDomain",
    "Resolver",
    "Srv",
]

HOST_TYPES = frozenset({"A", "AAAA", "MX"})
"""Questions about names that must be host names."""

MOST_AT_ONCE = 400
"""Questions on the wire at the same time: each holds a socket."""

RES_DEFNAMES, RES_DNSRCH = "res_defnames", "res_dnsrch"
"""What `Resolver.complete` may hold: smtp_dns_resolver_options."""

Server = tuple[str, int]
ReplyFilter = Callable[[Answer], Awaitable[Answer]]


class Resolver:
    """Answers about names. Every method raises DnsDown for "ask later" and BadName for what is no name."""

    def __init__(
        self,
        *,
        nameservers: Sequence[Server] | None = None,
        timeout: float | None = None,
        attempts: int | None = None,
        resolv_conf: str | Path = "/etc/resolv.conf",
        hosts: str | Path = "/etc/hosts",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`nameservers` [(address, port)], `timeout` in seconds and `attempts` take the place of resolv.conf's.

        The files are read here: make the Resolver before entering a chroot.
        """
        self._given = (list(nameservers) if nameservers is not None else None, timeout, attempts)
        self._resolv_conf = WatchedFile(resolv_conf)
        self._hosts_file = WatchedFile(hosts)
        self._clock = clock
        self._cache = DnsCache(clock)
        self._asking: dict[tuple[str, str], asyncio.Task[Answer]] = {}
        self._wire: asyncio.Semaphore | None = None
        self._turn = 0
        self.reply_filter: ReplyFilter | None = None
        """What answers go through before `mx`, `addresses`, `srv` and `txt` use them. May raise DnsDown."""
        self.complete: frozenset[str] = frozenset()
        """How `addresses` completes names: RES_DEFNAMES names without a dot with the first domain
        of the search list, RES_DNSRCH names with a dot with all of it; both: names without a dot with all of it."""
        self.probe: DnssecProbe | None = None
        """Set by who needs signed answers: the name server is to be put to the test."""
        self._settings = Settings()
        self._hosts = Hosts()
        self._looked = clock()
        self._settings_from(self._resolv_conf.read() or "")
        self._hosts = parse_hosts(self._hosts_file.read() or "")

    async def query(self, name: str, rrtype: str) -> Answer:
        """The records of a name. `rrtype` in upper case: "TXT".

        Raises NoSuchDomain, NoData, DnsDown, BadAnswer, BadName.
        """
        name = check_name(name, host=rrtype in HOST_TYPES)
        key = (name, rrtype)
        kept = self._cache.get(key)
        if kept is not None:
            if isinstance(kept, DnsError):
                raise kept.again() from None
            return kept
        # Shielded: one asker who loses patience must not take the answer from the others.
        answer = await asyncio.shield(self._asking.get(key) or self._begin(key))
        if self.probe is not None and not self.probe.settled:
            self.probe.saw(answer.secure, self._ask)
        return answer

    def at_hand(self, name: str, rrtype: str) -> bool:
        """Whether `query` would answer without asking."""
        try:
            return self._cache.get((check_name(name, host=rrtype in HOST_TYPES), rrtype)) is not None
        except BadName:
            return True

    def expect(self, name: str, rrtype: str) -> None:
        """Begin to find out what will be asked soon: whoever asks then has the answer, or less to wait for it."""
        try:
            key = (check_name(name, host=rrtype in HOST_TYPES), rrtype)
        except BadName:
            return
        if key not in self._asking and self._cache.get(key) is None:
            self._begin(key)

    def _begin(self, key: tuple[str, str]) -> asyncio.Task[Answer]:
        task = self._asking[key] = asyncio.get_running_loop().create_task(self._ask(*key))
        task.add_done_callback(lambda done: self._asked(key, done))
        return task

    async def mx(self, domain: str, *, ordered: bool = True) -> list[Mx]:
        """Mail exchangers, best preference first, or in the order of the answer if not `ordered`.

        `[Mx(0, "")]` is a null MX (RFC 7505). Raises as `query`.

        Records that name no usable host are passed over with a warning; BadAnswer when none is left.
        """
        answer = await self.lookup(domain, "MX")
        found: list[Mx] = []
        for record in answer.records:
            preference, _, host = record.partition(" ")
            if not host:
                return [Mx(0, "")]  # whatever stands beside it: RFC 7505 3 forbids that anything does
            if number_of(host) is not None:
                log.warning(f"numeric domain name in resource data of MX record for {domain}: {host}")
                found.append(Mx(int(preference), host))
                continue
            try:
                found.append(Mx(int(preference), check_name(host, host=True)))
            except BadName as error:
                log.warning(error.why)
                log.warning(f"malformed domain name in resource data of MX record for {domain}: {host}")
        if not found:
            raise BadAnswer(domain, "MX")
        return sorted(found, key=lambda mx: mx.preference) if ordered else found

    async def addresses(self, host: str, *, family: int = 0) -> list[str]:
        """IP addresses of a host from DNS: `family` 4, 6, or 0 for both (IPv6 first). An address is its own address.

        Raises as `query`; with both families, what one has counts though the other fails.
        """
        return await self._addresses(host, family, self._completed if self.complete else self.lookup)

    async def _addresses(self, host: str, family: int, ask: Callable[[str, str], Awaitable[Answer]]) -> list[str]:
        number = number_of(host)
        if number is not None:
            return [text_of(*number)]
        types = {4: ("A",), 6: ("AAAA",), 0: ("AAAA", "A")}[family]
        if len(types) == 1:
            return list((await ask(host, types[0])).records)
        outcomes = await asyncio.gather(*(ask(host, rrtype) for rrtype in types), return_exceptions=True)
        found: list[str] = []
        errors: list[DnsError] = []
        for outcome in outcomes:
            if isinstance(outcome, Answer):
                found.extend(outcome.records)
            elif isinstance(outcome, DnsError):
                errors.append(outcome)
            else:
                raise outcome
        if found:
            return found
        # What is only unknown weighs more than what is denied: later, not never.
        raise next((error for error in errors if isinstance(error, DnsDown)), errors[0])

    async def ptr(self, address: str, *, hosts: bool = True) -> str | None:
        """The name of an address: from hosts(5) (unless `hosts` is false), then from DNS; None if it has none.

        Raises DnsDown.
        """
        number = number_of(address)
        if number is None:
            raise BadName(address, "not an IP address")
        if hosts:
            self._look_again()
            name = self._hosts.names.get(text_of(*number))
            if name is not None:
                return name
        try:
            answer = await self.query(ipaddress.ip_address(text_of(*number)).reverse_pointer, "PTR")
        except (NoSuchDomain, NoData, BadAnswer):
            return None
        return answer.records[0] or None

    async def txt(self, name: str) -> list[str]:
        """TXT records, the strings of each joined (RFC 7208 3.3). Raises as `query`."""
        return list((await self.lookup(name, "TXT")).records)

    async def srv(self, name: str) -> list[Srv]:
        """SRV records of `_service._tcp.domain`, in no order. Raises as `query`; BadAnswer when none can be used."""
        answer = await self.lookup(name, "SRV")
        found: list[Srv] = []
        for record in answer.records:
            priority, weight, port, host = record.split(" ", 3)
            try:
                usable = check_name(host, host=True) if host else ""
            except BadName as error:
                log.warning(error.why)
                log.warning(f"malformed domain name in resource data of SRV record for {name}: {host}")
                continue
            found.append(Srv(int(priority), int(weight), int(port), usable))
        if not found:
            raise BadAnswer(name, "SRV")
        return found

    async def canonical(self, host: str) -> tuple[str, bool]:
        """The end of a host's CNAME chain, and whether that is validated (DNSSEC). The host itself if nothing is known.

        To be asked after `addresses`, when the answer is at hand.
        """
        for rrtype in ("A", "AAAA"):
            try:
                answer = await self.query(host, rrtype)
            except DnsError:
                continue
            return answer.canonical, answer.secure
        return host, False

    async def lookup(self, name: str, rrtype: str) -> Answer:
        """As `query`, with `reply_filter` applied."""
        answer = await self.query(name, rrtype)
        return answer if self.reply_filter is None else await self.reply_filter(answer)

    async def _completed(self, name: str, rrtype: str) -> Answer:
        """res_search(3) with RES_DEFNAMES and RES_DNSRCH as in `complete`."""
        tries = [name]
        wanted = RES_DNSRCH if "." in name else RES_DEFNAMES
        if wanted in self.complete and not name.endswith("."):
            self._look_again()
            search = self._settings.search
            more = [f"{name}.{domain}" for domain in (search if RES_DNSRCH in self.complete else search[:1])]
            tries = tries + more if name.count(".") >= self._settings.ndots else more + tries
        refusals: list[DnsError] = []
        for each in tries:
            try:
                return await self.lookup(each, rrtype)
            except (NoSuchDomain, NoData, BadName) as error:
                refusals.append(error)
        last = next((error for error in refusals if isinstance(error, NoData)), refusals[0])
        raise last if isinstance(last, BadName) else type(last)(name, rrtype)

    async def native(self, host: str, *, family: int = 0) -> list[str]:
        """As getaddrinfo(3): hosts(5), then DNS with the search list. Raises as `query`."""
        number = number_of(host)
        if number is not None:
            return [text_of(*number)]
        self._look_again()
        listed = self._hosts.addresses.get(host.lower().removesuffix("."), [])
        listed = [one for one in listed if family in (0, 6 if ":" in one else 4)]
        if listed:
            return list(listed)
        return await self._searched(host, family)

    async def _searched(self, host: str, family: int) -> list[str]:
        """res_search(3): a name with few dots is tried under the search list first, one with many as it is first."""
        if host.endswith("."):
            return await self._addresses(host, family, self.query)
        tries = [f"{host}.{domain}" for domain in self._settings.search]
        tries.insert(0 if host.count(".") >= self._settings.ndots else len(tries), host)
        refusals: list[DnsError] = []
        for name in tries:
            try:
                return await self._addresses(name, family, self.query)
            except (NoSuchDomain, NoData, BadName) as error:
                refusals.append(error)
        raise next((error for error in refusals if isinstance(error, NoData)), refusals[0])

    def clear(self) -> None:
        """Forget all answers."""
        self._cache.clear()

    async def close(self) -> None:
        """Give up the questions that are on the wire."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.probe is not None:
            await self.probe.close()

    async def _ask(self, name: str, rrtype: str) -> Answer:
        self._look_again()
        at, ttl, secure = name, None, True
        for _ in range(MOST_CNAMES):
            reply = await self._on_the_wire(name, at, rrtype)
            secure = secure and reply.secure
            ttl = reply.ttl if ttl is None else min(ttl, reply.ttl)
            if reply.loop:
                break
            if reply.chased:
                at = reply.chased
                continue
            if reply.rcode == dns.rcode.NXDOMAIN:
                raise self._keep(NoSuchDomain(name, rrtype), ttl)
            if reply.dropped:
                log.warning(
                    f"DNS record count limit ({MOST_RECORDS}) exceeded -- dropping excess record(s) after "
                    f"qname={name} qtype={rrtype}"
                )
            if not reply.records:
                raise self._keep(NoData(name, rrtype), ttl)
            answer = Answer(name, reply.canonical, rrtype, tuple(reply.records), ttl, secure)
            self._cache.put((name, rrtype), answer, ttl)
            return answer
        log.warning(f"dns_lookup: Name server loop for {name}")
        raise self._keep(BadAnswer(name, rrtype, f"Name server loop for {name}"), ttl or 0)

    async def _on_the_wire(self, name: str, at: str, rrtype: str) -> Reply:
        if self._wire is None:
            self._wire = asyncio.Semaphore(MOST_AT_ONCE)
        try:
            async with self._wire:
                return await dns_transport.ask(at, rrtype, self._servers(), self._settings)
        except dns_transport.Unanswered as error:
            down = DnsDown(name, rrtype)
            down.add_note(str(error))
            self._cache.put((name, rrtype), down, 0)
            raise down from None

    def _keep(self, error: DnsError, ttl: int) -> DnsError:
        error.ttl = ttl
        self._cache.put((error.name, error.rrtype), error, ttl)
        return error

    def _asked(self, key: tuple[str, str], task: asyncio.Task[Answer]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # every asker may be gone; then nobody else looks at it

    def _servers(self) -> list[Server]:
        servers = self._settings.nameservers
        if self._settings.rotate and len(servers) > 1:
            self._turn = (self._turn + 1) % len(servers)
            return servers[self._turn :] + servers[: self._turn]
        return servers

    def _settings_from(self, text: str) -> None:
        settings = parse_settings(text)
        nameservers, timeout, attempts = self._given
        if nameservers is not None:
            settings.nameservers = nameservers
            settings.use_tcp = False
        if timeout is not None:
            settings.timeout = timeout
        if attempts is not None:
            settings.attempts = attempts
        self._settings = settings

    def _look_again(self) -> None:
        now = self._clock()
        if now - self._looked < LOOK_AGAIN:
            return
        self._looked = now
        text = self._resolv_conf.read()
        if text is not None:
            self._settings_from(text)
            self._cache.clear()  # another name server may know other names
        hosts = self._hosts_file.read()
        if hosts is not None:
            self._hosts = parse_hosts(hosts)
