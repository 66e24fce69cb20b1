"""Restrictions that ask DNS lists: of clients by address, of domains by name. postconf(5), RFC 5782.

`reject_rbl_client list.example=127.0.0.[2..11]` and kin. When the first list in a restriction list is reached, the
questions to all that stand behind it are sent, too; the answers are judged in order, and those that come too late
to matter are kept for the next time. A list that cannot be asked rejects nobody. One that permits can be missed
only by somebody who is refused later, so its trouble makes later refusals temporary.
"""

from __future__ import annotations

from collections.abc import Callable

from estafeta.base import log
from estafeta.daemons.smtpd.policy import Policy
from estafeta.daemons.smtpd.rbl_replies import BadReplyTable
from estafeta.daemons.smtpd.restrictions.enhanced import fitting
from estafeta.daemons.smtpd.restrictions.evaluate import (
    DOMAIN_ARGUMENT,
    Ahead,
    Check,
    Refusal,
    Run,
    Unusable,
    Verdict,
    restriction,
    restriction_with,
)
from estafeta.daemons.smtpd.restrictions.recipient import RECIPIENT, authorized
from estafeta.daemons.smtpd.restrictions.sender import SENDER
from estafeta.mail.address import literal_address, valid_hostname
from estafeta.net.dns import DnsDown
from estafeta.net.dnsbl import Site, SiteError, parse_site, reversed_address
from estafeta.net.peer import UNKNOWN

CLIENT = "Client host"
TRY_LATER = "Service unavailable"


class Subject:
    """What is looked up. `shown` names it in replies, None where there is nothing to look up yet; `asked` is how the
    list is asked for it, "" for what no list can know."""

    __slots__ = ("asked", "kind", "shown")

    def __init__(self, kind: str, shown: Callable[[Check], str | None], asked: Callable[[str], str]) -> None:
        self.kind = kind
        self.shown = shown
        self.asked = asked


def _address(address: str) -> str:
    try:
        return reversed_address(address)
    except ValueError:
        return ""


def _domain(name: str) -> str:
    """A name, or the domain of an address. Numbers are listed elsewhere, and what is no name cannot be."""
    domain = name.rpartition("@")[2]
    if domain.startswith("[") or not valid_hostname(domain) or literal_address(f"[{domain}]"):
        return ""
    return domain


def _named(name: str) -> str | None:
    return None if name == UNKNOWN else name


BY_ADDRESS = Subject(CLIENT, lambda check: check.session.client.address, _address)
BY_NAME = Subject(CLIENT, lambda check: _named(check.session.client.name), _domain)
BY_REVERSE_NAME = Subject("Unverified Client host", lambda check: _named(check.session.client.reverse_name), _domain)
BY_HELO = Subject("Helo command", lambda check: check.session.helo, _domain)
BY_SENDER = Subject(SENDER, lambda check: check.sender, _domain)
BY_RECIPIENT = Subject(RECIPIENT, lambda check: check.recipient, _domain)


class Listed(Ahead):
    """One list, one subject. Says whether it is listed, and raises DnsDown if nobody knows."""

    __slots__ = ("lists", "site", "subject", "text")

    def __init__(self, text: str, subject: Subject, policy: Policy) -> None:
        """`text`: the list as configured, with its filter. Raises SiteError."""
        super().__init__()
        self.text = text
        self.site = _site(text)
        self.subject = subject
        self.lists = policy.dns_lists

    def begin(self, check: Check) -> None:
        asked = self._asked(check)
        if asked and self.site is not None:
            self.lists.expect(asked, self.site.domain)

    def _asked(self, check: Check) -> str:
        shown = self.subject.shown(check)
        return self.subject.asked(shown) if shown else ""

    async def ask(self, check: Check) -> str:
        """What the list was asked for if it lists that, else "". Raises DnsDown, logged."""
        asked, site = self._asked(check), self.site
        if not asked or site is None:
            return ""
        if self.following and not self.lists.at_hand(asked, site.domain):
            for other in self.following:
                other.begin(check)
        try:
            return asked if await self.lists.listed(asked, site) is not None else ""
        except DnsDown as error:
            if self.lists.is_news(f"{asked}.{site.domain}"):
                log.warning(f"{asked}.{site.domain}: RBL lookup error: {error}")
            raise


class Reject(Listed):
    """Refuse what is listed."""

    __slots__ = ()

    async def __call__(self, check: Check) -> Verdict:
        try:
            asked = await self.ask(check)
        except DnsDown:
            return None
        if not asked or self.site is None:
            return None
        reason = await self.lists.text(asked, self.site.domain)
        kind, shown = self.subject.kind, self.subject.shown(check) or ""
        try:
            code, dsn, text = await check.policy.rbl_replies.reply(check, self.text, kind, shown, reason)
        except BadReplyTable:
            raise Unusable from None
        return Refusal(code, fitting(dsn, kind), text)


class Permit(Listed):
    """Permit what is listed, but never to relay."""

    __slots__ = ("name",)

    def __init__(self, name: str, text: str, subject: Subject, policy: Policy) -> None:
        super().__init__(text, subject, policy)
        self.name = name

    async def __call__(self, check: Check) -> Verdict:
        # The owner of a list must not decide who relays here.
        if check.recipient and not await authorized(check):
            return None
        try:
            if not await self.ask(check):
                return None
        except DnsDown:
            later = check.rejected_as(self.subject.shown(check) or "", self.subject.kind, 450, "4.7.1", TRY_LATER)
            check.defer_reject(later)
            return None
        return await check.permitted(self.name, CLIENT, check.session.client.namaddr_plain)


def _site(text: str) -> Site | None:
    """None for what is no domain: nothing can be listed there."""
    domain = text.partition("=")[0]
    try:
        parse_site(domain)
    except SiteError as error:
        log.warning(f"{error}: nothing can be listed there")
        return None
    return parse_site(text)


def _rejecting(name: str, subject: Subject, doc: str) -> None:
    def bind(argument: str, policy: Policy) -> Run:
        return Reject(argument, subject, policy)

    bind.__doc__ = doc
    restriction_with(name)(bind)
    DOMAIN_ARGUMENT.add(name)


def _permitting(name: str, subject: Subject, doc: str) -> None:
    def bind(argument: str, policy: Policy) -> Run:
        return Permit(name, argument, subject, policy)

    bind.__doc__ = doc
    restriction_with(name)(bind)
    DOMAIN_ARGUMENT.add(name)


_rejecting("reject_rbl_client", BY_ADDRESS, "Refuse a client whose address is on a list.")
_rejecting("reject_rhsbl_client", BY_NAME, "Refuse a client whose confirmed name is on a list of domains.")
_rejecting("reject_rhsbl_reverse_client", BY_REVERSE_NAME, "Refuse a client whose unconfirmed name is on such a list.")
_rejecting("reject_rhsbl_helo", BY_HELO, "Refuse a client whose HELO name is on such a list.")
_rejecting("reject_rhsbl_sender", BY_SENDER, "Refuse a sender whose domain is on such a list.")
_rejecting("reject_rhsbl_recipient", BY_RECIPIENT, "Refuse a recipient whose domain is on such a list.")
_permitting("permit_dnswl_client", BY_ADDRESS, "Permit a client whose address is on a list of good ones.")
_permitting("permit_rhswl_client", BY_NAME, "Permit a client whose confirmed name is on a list of good domains.")


@restriction("reject_maps_rbl")
async def reject_maps_rbl(check: Check) -> Verdict:
    """Refuse a client that is on any of maps_rbl_domains: the name of old for several reject_rbl_client."""
    check.policy.outdated("reject_maps_rbl", "reject_rbl_client domain-name")
    lists = [Reject(text, BY_ADDRESS, check.policy) for text in check.policy.conf.maps_rbl_domains]
    for at, listed in enumerate(lists, 1):
        listed.following = tuple(lists[at:])
        verdict = await listed(check)
        if verdict is not None:
            return verdict
    return None
