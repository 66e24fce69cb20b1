"""Restrictions on the sender address, and what it shares with those on the recipient."""

from __future__ import annotations

from estafeta.base import log
from estafeta.daemons.smtpd.restrictions.enhanced import fitting
from estafeta.daemons.smtpd.restrictions.evaluate import Check, Verdict, restriction
from estafeta.mail.address import literal_address, valid_hostname
from estafeta.net.dns import DnsDown, DnsError, Dropped
from estafeta.net.dnsbl import DROPPED

SENDER = "Sender address"


@restriction("reject_non_fqdn_sender")
async def reject_non_fqdn_sender(check: Check) -> Verdict:
    """Refuse a sender whose domain is not complete."""
    return non_fqdn(check, check.sender, SENDER) if check.sender else None


@restriction("reject_unknown_sender_domain", "reject_unknown_address")
async def reject_unknown_sender_domain(check: Check) -> Verdict:
    """Refuse a sender whose domain has neither MX nor address, and is not this system's own."""
    return await unknown_domain(check, check.sender, SENDER) if check.sender else None


@restriction("reject_unlisted_sender")
async def reject_unlisted_sender(check: Check) -> Verdict:
    """Refuse a sender in a domain of ours that is nobody's address."""
    if not check.sender or check.unlisted_sender_done or check.policy.nobody_unknown:
        return None
    check.unlisted_sender_done = True
    found = await check.policy.routing.unlisted_sender(check.sender)
    if found is None:
        return None
    return check.rejected_as(check.sender, SENDER, found.code, fitting(found.dsn, SENDER), found.text)


def non_fqdn(check: Check, address: str, kind: str) -> Verdict:
    """RFC 5321 2.3.5: only resolvable, fully-qualified domain names."""
    _, at, domain = address.rpartition("@")
    name = domain.removesuffix(".")
    if at and ((valid_hostname(name) and "." in name) or literal_address(domain)):
        return None
    code = check.policy.conf.non_fqdn_reject_code
    return check.rejected_as(address, kind, code, "5.5.2", "need fully-qualified address")


async def unknown_domain(check: Check, address: str, kind: str) -> Verdict:
    """Refuse an address that no mail could be sent to."""
    resolved = await check.policy.resolve(address)
    if resolved.address_class != "default":
        return None
    domain = address.rpartition("@")[2]
    if not domain or domain.startswith("["):
        return None
    conf = check.policy.conf
    sender = kind == SENDER
    try:
        if await _mail_possible(check, domain):
            return None
    except Dropped:
        log.warning(f"{domain}: MX or address lookup error: {DROPPED}")
        return None
    except DnsDown:
        later = check.rejected_as(address, kind, 450, "4.1.8" if sender else "4.1.2", "Domain not found")
        return check.tempfail(conf.unknown_address_tempfail_action, later)
    except _NullMx:
        text = f"Domain {domain} does not accept mail (nullMX)"
        return check.rejected_as(address, kind, 550 if sender else 556, "5.7.27" if sender else "5.1.10", text)
    code = conf.unknown_address_reject_code
    return check.rejected_as(address, kind, code, "5.1.8" if sender else "5.1.2", "Domain not found")


class _NullMx(Exception):
    """RFC 7505: the domain says that it takes no mail."""


async def _mail_possible(check: Check, domain: str) -> bool:
    """Whether the domain has an MX or an address. Raises DnsDown and _NullMx."""
    resolver = check.policy.resolver
    try:
        exchangers = await resolver.mx(domain)
    except DnsDown:
        raise
    except DnsError:
        exchangers = []
    if exchangers:
        if exchangers[0].host == "":
            raise _NullMx
        return True
    try:
        return bool(await resolver.addresses(domain))
    except DnsDown:
        raise
    except DnsError:
        return False
