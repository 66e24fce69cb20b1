"""DNS lists of clients and domains: block lists and lists of good ones (RFC 5782).

postscreen's `postscreen_dnsbl_sites` and the restrictions `reject_rbl_client`, `permit_dnswl_client`,
`reject_rhsbl_*` ask them. A list is a domain below which there is an address record for whatever is listed; its
number says why. `Site` is one entry of a setting, parsed once; `DnsLists` asks, one per process.

Lists answer 127.255.255.x when they refuse to answer: a query limit was reached, the query came through a public
resolver, the account has ended. Taking that for "listed" would reject all mail of the world, so such an answer is no
listing (unless a filter names it) and a warning, not more often than every five minutes for each list.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import NamedTuple

from estafeta.base import log
from estafeta.base.networks import number_of
from estafeta.net.dns import Resolver
from estafeta.net.dns_names import BadAnswer, BadName, DnsDown, DnsError, Dropped, NoData, NoSuchDomain, check_name

ERROR_CODES = "127.255.255."
WARN_AGAIN = 300.0
"""Seconds between two warnings about the same list."""

TELL_AGAIN = 60.0
"""Seconds between two warnings about one name that could not be looked up."""

MOST_LISTS_REMEMBERED = 1000
LONGEST_TEXT = 1000
"""Characters of a list's reason that are kept."""

DROPPED = "DNS reply filter drops all results"

_NOT_ASCII = re.compile(rb"[^ -~]")
UNKNOWN_TTL = -1


class SiteError(ValueError):
    """The text is no entry of a list of DNS lists; says what is wrong with it."""


class ReplyPattern:
    """`127.0.0.[2..5;7]`: which address records count. Each of four places is a number, or numbers and ranges in []."""

    __slots__ = ("_places", "text")

    def __init__(self, text: str) -> None:
        """Raises SiteError."""
        self.text = text
        places = re.findall(r"\[[^]]*\]|[^.\[\]]+", text)
        if len(places) != 4 or ".".join(places) != text:
            raise SiteError(f'"{text}" is not four numbers, or patterns like [2..5;7], with dots between them')
        self._places = tuple(_numbers(place, text) for place in places)

    def matches(self, address: str) -> bool:
        """`address` as an A record gives it."""
        try:
            return all(int(part) in place for part, place in zip(address.split("."), self._places, strict=True))
        except ValueError:  # not an IPv4 address
            return False

    def __repr__(self) -> str:
        return f"ReplyPattern({self.text!r})"


def _numbers(place: str, text: str) -> frozenset[int]:
    if not place.startswith("["):
        return frozenset({_octet(place, text)})
    found: set[int] = set()
    for part in place[1:-1].split(";"):
        low, dots, high = part.partition("..")
        first = _octet(low, text)
        last = _octet(high, text) if dots else first
        if last < first:
            raise SiteError(f'"{part}" in "{text}" runs backwards')
        found.update(range(first, last + 1))
    return frozenset(found)


def _octet(digits: str, text: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 3 and int(digits) <= 255):
        raise SiteError(f'"{digits}" in "{text}" is not a number from 0 to 255')
    return int(digits)


class Site(NamedTuple):
    """One entry: `domain`, `domain=pattern`, for postscreen also `*weight`."""

    domain: str
    """In lower case, without a final dot."""
    pattern: ReplyPattern | None
    weight: int

    def counts(self, addresses: tuple[str, ...]) -> str | None:
        """The first address record that makes a listing, None if none does."""
        if self.pattern is not None:
            return next((one for one in addresses if self.pattern.matches(one)), None)
        return next((one for one in addresses if not one.startswith(ERROR_CODES)), None)


def parse_site(text: str, *, weighted: bool = False) -> Site:
    """`weighted`: whether `*weight` may follow (postscreen). Raises SiteError."""
    rest, weight = text, 1
    if weighted:
        rest, star, number = text.partition("*")
        if star:
            if not re.fullmatch(r"[-+]?[0-9]{1,9}", number):
                raise SiteError(f'bad weight "{number}" in "{text}": a whole number follows the *')
            weight = int(number)
    domain, equals, pattern = rest.partition("=")
    try:
        domain = check_name(domain, host=True)
    except BadName:
        raise SiteError(f'"{domain}" in "{text}" is not a domain name') from None
    return Site(domain, ReplyPattern(pattern) if equals else None, weight)


def reversed_address(address: str) -> str:
    """What stands before the list's domain: `4.3.2.1` for 1.2.3.4, 32 reversed hexadecimal digits for IPv6.

    RFC 5782 2.1 and 2.4. Raises ValueError if `address` is none.
    """
    number = number_of(address)
    if number is None:
        raise ValueError(f"not an IP address: {address}")
    family, value = number
    if family == 4:
        return ".".join(reversed(address.split(".")))
    return ".".join(reversed(f"{value:032x}"))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class Reply(NamedTuple):
    """What a list says about one name."""

    addresses: tuple[str, ...]
    """Its address records; empty when not listed."""
    ttl: int
    """Seconds that this may be relied on; -1 when the name server did not say."""


class DnsLists:
    """Asks DNS lists, through the process's resolver and its cache."""

    def __init__(self, resolver: Resolver, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds, for the pace of warnings."""
        self._resolver = resolver
        self._clock = clock
        self._warned: dict[str, float] = {}
        self._troubles: dict[str, float] = {}

    def is_news(self, name: str) -> bool:
        """Whether trouble with this name was not told of within the last minute."""
        now = self._clock()
        if now < self._troubles.get(name, now):
            return False
        if len(self._troubles) >= MOST_LISTS_REMEMBERED:
            self._troubles.clear()
        self._troubles[name] = now + TELL_AGAIN
        return True

    async def ask(self, subject: str, domain: str) -> Reply:
        """The address records of `subject.domain`; `subject` is a reversed address or a domain (RFC 5782 2.5).

        An empty answer means not listed. Error codes are in the answer too: `Site.counts` passes them over. Raises
        DnsDown: nothing is known.
        """
        name = f"{subject}.{domain}"
        try:
            answer = await self._resolver.lookup(name, "A")
        except (NoSuchDomain, NoData) as error:
            return Reply((), error.ttl)
        except BadName:
            return Reply((), UNKNOWN_TTL)  # what cannot be asked for cannot be listed
        except BadAnswer as error:
            raise DnsDown(error.name, error.rrtype, str(error)) from None
        return Reply(answer.records, answer.ttl)

    def expect(self, subject: str, domain: str) -> None:
        """`ask` will come soon."""
        self._resolver.expect(f"{subject}.{domain}", "A")

    def at_hand(self, subject: str, domain: str) -> bool:
        """Whether `ask` would answer without waiting."""
        return self._resolver.at_hand(f"{subject}.{domain}", "A")

    async def listed(self, subject: str, site: Site) -> Reply | None:
        """The reply if it makes a listing for this entry, None if not. Raises DnsDown."""
        reply = await self.ask(subject, site.domain)
        if site.counts(reply.addresses) is not None:
            return reply
        self.notice_errors(reply, site)
        return None

    def notice_errors(self, reply: Reply, site: Site) -> None:
        """Warn if the list sent an error code that `site` does not ask for."""
        code = next((one for one in reply.addresses if one.startswith(ERROR_CODES)), None)
        if code is None:
            return
        now = self._clock()
        if now < self._warned.get(site.domain, now):
            return
        if len(self._warned) >= MOST_LISTS_REMEMBERED:
            self._warned.clear()
        self._warned[site.domain] = now + WARN_AGAIN
        log.warning(
            f"DNS list {site.domain} answers with the error code {code} instead of listings; this is not taken for "
            "a listing. It may want another name server, an account, or fewer queries: see its web site"
        )

    async def text(self, subject: str, domain: str) -> str:
        """Why it is listed, in the list's words: its TXT records. "" if there is none or they cannot be had.

        In ASCII; every other byte is a blank.
        """
        try:
            records = (await self._resolver.lookup(f"{subject}.{domain}", "TXT")).records
        except Dropped:
            log.warning(f"{subject}.{domain}: TXT lookup error: {DROPPED}")
            return ""
        except DnsError:
            return ""
        text = " / ".join(records)[:LONGEST_TEXT]
        return text if text.isascii() and text.isprintable() else _NOT_ASCII.sub(b" ", _bytes(text)).decode()
