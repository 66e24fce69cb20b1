"""Restrictions on the name in HELO or EHLO."""

from __future__ import annotations

from estafeta.base import log
from estafeta.daemons.smtpd.restrictions.evaluate import Check, Verdict, restriction
from estafeta.mail.address import literal_address, valid_hostname
from estafeta.net.dns import DnsDown, DnsError, Dropped
from estafeta.net.dnsbl import DROPPED

HELO = "Helo command"


def _is_literal(name: str) -> bool:
    return name.startswith("[") and name.endswith("]")


@restriction("reject_invalid_helo_hostname", "reject_invalid_hostname")
async def reject_invalid_helo_hostname(check: Check) -> Verdict:
    """Refuse what is no host name by its syntax."""
    helo = check.session.helo
    if helo is None:
        return None
    code = check.policy.conf.invalid_hostname_reject_code
    if _is_literal(helo):
        return None if literal_address(helo) else check.rejected_as(helo, HELO, code, "5.5.2", "invalid ip address")
    if (helo.isascii() and valid_hostname(helo.removesuffix("."))) or _looks_like_address(helo):
        return None
    return check.rejected_as(helo, HELO, code, "5.5.2", "Invalid name")


def _looks_like_address(name: str) -> bool:
    return literal_address(f"[{name}]") is not None


@restriction("reject_non_fqdn_helo_hostname", "reject_non_fqdn_hostname")
async def reject_non_fqdn_helo_hostname(check: Check) -> Verdict:
    """Refuse a name without a domain, which the standard asks for. RFC 5321 4.1.1.1."""
    helo = check.session.helo
    if helo is None:
        return None
    if _is_literal(helo):
        return await reject_invalid_helo_hostname(check)
    name = helo.removesuffix(".")
    if name.isascii() and valid_hostname(name) and "." in name:
        return None
    code = check.policy.conf.non_fqdn_reject_code
    return check.rejected_as(helo, HELO, code, "5.5.2", "need fully-qualified hostname")


@restriction("reject_unknown_helo_hostname", "reject_unknown_hostname")
async def reject_unknown_helo_hostname(check: Check) -> Verdict:
    """Refuse a name that has neither an address nor an MX record."""
    helo = check.session.helo
    if helo is None:
        return None
    if _is_literal(helo):
        return await reject_invalid_helo_hostname(check)
    conf, resolver = check.policy.conf, check.policy.resolver
    queries = () if helo.endswith(".") else (resolver.addresses, resolver.mx)  # with a dot, it is no host name
    try:
        for query in queries:
            try:
                if await query(helo):
                    return None
            except DnsDown:
                raise
            except DnsError:
                continue
    except Dropped:
        log.warning(f"{helo}: address or MX lookup error: {DROPPED}")
        return None
    except DnsDown:
        later = check.rejected_as(helo, HELO, 450, "4.7.1", "Host not found")
        return check.tempfail(conf.unknown_helo_hostname_tempfail_action, later)
    return check.rejected_as(helo, HELO, conf.unknown_hostname_reject_code, "5.7.1", "Host not found")
