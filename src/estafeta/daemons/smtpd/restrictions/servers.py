"""check_*_a_access, check_*_mx_access, check_*_ns_access: what tables say about the servers of a domain. postconf(5).

A domain can be had for nothing, the machines that serve thousands of them not. Each server is looked up by its name
(but a domain that is its own server is not: check_*_a_access), then by its addresses; the first that the table knows
decides. Servers come in the order of the DNS answer. What DNS cannot say is passed over with a warning: it is neither
reason to refuse nor to put off. The table must not permit: a stranger could name another's servers as his own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from estafeta.base import log
from estafeta.daemons.smtpd.policy import Policy
from estafeta.daemons.smtpd.restrictions.access import CLIENT, UNVERIFIED, consult, find_address, never_permits
from estafeta.daemons.smtpd.restrictions.evaluate import Check, Run, Verdict, restriction_with
from estafeta.daemons.smtpd.restrictions.hostname import HELO
from estafeta.daemons.smtpd.restrictions.recipient import RECIPIENT
from estafeta.daemons.smtpd.restrictions.sender import SENDER
from estafeta.mail.address import literal_address
from estafeta.net.dns import BadName, DnsDown, DnsError, NoData, NoSuchDomain
from estafeta.net.peer import UNKNOWN
from estafeta.tables.domain_lookup import find_domain
from estafeta.tables.maps import Maps
from estafeta.tables.table import TableDown

MOST_BEGUN = 10
"""Servers whose addresses are asked for at the same time: a stranger decides how many he has, and how slowly they
can be looked up."""

Found = tuple[str, str]
"""Value and key, as `access.act` takes them."""


class Asked:
    """A name whose servers are looked at. `name` as the client gave it, with the kind of thing that it is."""

    __slots__ = ("check", "domain", "kind", "maps", "name")

    def __init__(self, check: Check, maps: Maps, kind: str, name: str) -> None:
        self.check = check
        self.maps = maps
        self.kind = kind
        self.name = name
        self.domain = name.rpartition("@")[2]


Servers = Callable[[Asked], Awaitable[list[str]]]
"""The names of the servers; [] where there are none, or none is known."""


async def _mx(asked: Asked) -> list[str]:
    """Mail servers; without MX, the domain is its own. RFC 5321 5.1."""
    resolver, domain = asked.check.policy.resolver, asked.domain
    if domain.endswith("."):
        return [domain]  # a host, for the C library, but no domain
    try:
        exchangers = await resolver.mx(domain, ordered=False)
    except (NoData, NoSuchDomain, BadName):
        return [domain]
    except DnsError as error:
        log.warning(f"Unable to look up MX host for {domain}: {_reason(error)}")
        return []
    return [mx.host for mx in exchangers if mx.host]


async def _ns(asked: Asked) -> list[str]:
    """Name servers, of the nearest parent that has some."""
    domain = asked.domain
    while True:
        try:
            if domain.endswith("."):
                raise NoSuchDomain(domain, "NS")
            answer = await asked.check.policy.resolver.lookup(domain, "NS")
        except (NoData, NoSuchDomain, BadName) as error:
            domain = domain.partition(".")[2]
            if not domain:
                log.warning(f"Unable to look up NS host for {asked.name}: {_reason(error)}")
                return []
        except DnsError as error:
            log.warning(f"Unable to look up NS host for {domain}: {_reason(error)}")
            return []
        else:
            return [server for server in answer.records if server]


async def _own(asked: Asked) -> list[str]:
    """The domain itself, by its addresses."""
    return [asked.domain]


def _reason(error: DnsError) -> str:
    return NoSuchDomain.reason if isinstance(error, BadName) else error.reason


def address_trouble(error: DnsError) -> str:
    """Why a host's addresses are not known, in the words of the C library (gai_strerror(3))."""
    if isinstance(error, DnsDown):
        return "Temporary failure in name resolution"
    return "No address associated with hostname" if isinstance(error, NoData) else "Name or service not known"


async def _search(asked: Asked, sort: str) -> Found | None:
    """What the table says about the servers. Raises TableDown."""
    address = literal_address(asked.domain) or literal_address(f"[{asked.domain}]")
    if asked.domain.startswith("[") or (address and sort != "NS"):
        return await _by_address(asked, address) if address and sort != "NS" else None
    servers = await SERVERS[sort](asked)
    for at, server in enumerate(servers):
        if at % MOST_BEGUN == 0 and len(servers) > 1:
            _expect(asked, servers[at : at + MOST_BEGUN])
        found = await _server(asked, server, sort)
        if found is not None:
            return found
    return None


def _expect(asked: Asked, servers: list[str]) -> None:
    policy = asked.check.policy
    for server in servers:
        for rrtype in ("A", "AAAA") if policy.ipv6 else ("A",):
            policy.resolver.expect(server, rrtype)


async def _server(asked: Asked, server: str, sort: str) -> Found | None:
    policy = asked.check.policy
    value = await _by_name(asked, server) if sort != "A" else None
    if value is not None:
        return value, server
    try:
        addresses = await policy.resolver.native(server, family=0 if policy.ipv6 else 4)
    except DnsError as error:
        if sort != "A":
            trouble = address_trouble(error)
            log.warning(f"Unable to look up {sort} host {server} for {asked.kind} {asked.name}: {trouble}")
        return None
    for address in addresses:
        found = await _by_address(asked, address)
        if found is not None:
            return found
    return None


async def _by_name(asked: Asked, server: str) -> str | None:
    parents = asked.check.policy.access_parents
    try:
        return await find_domain(asked.maps, server, parent_matches_subdomains=parents)
    except TableDown as error:
        error.key = server
        raise


async def _by_address(asked: Asked, address: str) -> Found | None:
    try:
        return await find_address(asked.maps, address)
    except TableDown as error:
        error.key = address
        raise


SERVERS: dict[str, Servers] = {"A": _own, "MX": _mx, "NS": _ns}
SORTS = {"A": "the addresses", "MX": "the mail servers", "NS": "the name servers"}


def _register(stem: str, kind: str, subject: str, name: Callable[[Check], str | None]) -> None:
    """Make the three restrictions about one kind of name. `name`: None where there is none yet, or nothing to ask."""
    for sort, words in SORTS.items():
        restriction = f"check_{stem}_{sort.lower()}_access"
        bind = _binder(restriction, sort, kind, name)
        bind.__doc__ = f"Look {words} of {subject} up in an access table."
        restriction_with(restriction, table=True)(bind)


def _binder(
    restriction: str, sort: str, kind: str, name_of: Callable[[Check], str | None]
) -> Callable[[str, Policy], Run]:
    def bind(argument: str, policy: Policy) -> Run:
        maps = policy.open_access(argument)
        origin = (argument, restriction)

        async def run(check: Check) -> Verdict:
            name = name_of(check)
            if not name:
                return None
            asked = Asked(check, maps, kind, name)
            shown = check.session.client.namaddr_plain if kind == CLIENT else name
            verdict = await consult(check, lambda _: _search(asked, sort), shown, kind, origin)
            return never_permits(restriction, name, verdict)

        return run

    return bind


def _known(name: str) -> str | None:
    return None if name == UNKNOWN else name


_register("client", CLIENT, "the client's confirmed name", lambda check: _known(check.session.client.name))
_register(
    "reverse_client_hostname",
    UNVERIFIED,
    "the client's unconfirmed name",
    lambda check: _known(check.session.client.reverse_name),
)
_register("helo", HELO, "the HELO name", lambda check: check.session.helo)
_register("sender", SENDER, "the sender's domain", lambda check: check.sender)
_register("recipient", RECIPIENT, "the recipient's domain", lambda check: check.recipient)
