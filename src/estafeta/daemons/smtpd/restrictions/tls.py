"""Restrictions on the connection's encryption and on the client's certificate. postconf(5)."""

from __future__ import annotations

from collections.abc import Callable

from estafeta.daemons.smtpd.policy import Policy
from estafeta.daemons.smtpd.restrictions.access import Look, consult
from estafeta.daemons.smtpd.restrictions.evaluate import (
    Check,
    Refusal,
    Run,
    Verdict,
    restriction,
    restriction_with,
)
from estafeta.daemons.smtpd.tls import has_known_certificate
from estafeta.net.tls.peer import TlsPeer
from estafeta.tables.maps import Maps

KEYS: dict[str, Callable[[TlsPeer], str]] = {
    "cert_fingerprint": lambda tls: tls.certificate_fingerprint,
    "pubkey_fingerprint": lambda tls: tls.public_key_fingerprint,
}
"""What check_ccert_access may look up, by its name in search_order."""


@restriction("reject_plaintext_session")
async def reject_plaintext_session(check: Check) -> Verdict:
    """Refuse where there is no encryption."""
    if check.session.stream.tls is not None:
        return None
    code = check.policy.conf.plaintext_reject_code
    return Refusal(code, f"{code // 100}.7.1", "Session encryption is required")


@restriction("permit_tls_all_clientcerts")
async def permit_tls_all_clientcerts(check: Check) -> Verdict:
    """Permit clients with a certificate that one of our CAs vouches for."""
    tls = check.session.stream.tls
    if tls is None or not tls.trusted:
        return None
    return await _permitted(check, "permit_tls_all_clientcerts")


@restriction("permit_tls_clientcerts")
async def permit_tls_clientcerts(check: Check) -> Verdict:
    """Permit clients whose certificate or key is in relay_clientcerts. Raises TableDown."""
    if await has_known_certificate(check.session):
        return await _permitted(check, "permit_tls_clientcerts")
    return None


async def _permitted(check: Check, action: str) -> Verdict:
    return await check.permitted(action, "Client host", check.session.client.namaddr_plain)


@restriction_with("check_ccert_access")
def check_ccert_access(argument: str, policy: Policy) -> Run:
    """Do what a table says about the client's certificate: `type:table`, or `{ type:table { search_order = ... } }`."""
    spec, order = search_order(argument)
    maps = policy.open_access(spec)

    async def run(check: Check) -> Verdict:
        tls = check.session.stream.tls
        if tls is None or not tls.certificate:
            return None
        shown = tls.subject or check.session.client.namaddr_plain
        for name in order:
            # A key that is listed with DUNNO says nothing about the next one.
            look = _finder(maps, KEYS[name](tls))
            verdict = await consult(check, look, shown, "Client certificate", (spec, "check_ccert_access"))
            if verdict is not None:
                return verdict
        return None

    return run


def _finder(maps: Maps, key: str) -> Look:
    async def look(check: Check) -> tuple[str, str] | None:
        if check.policy.former is not None:
            check.policy.former.fingerprint(check.policy.conf)
        value = await maps.find(key)
        return None if value is None else (value, key)

    return look


def search_order(argument: str) -> tuple[str, list[str]]:
    """The table, and what is looked up in it in which order. Raises ValueError."""
    if argument.startswith("{") and argument.endswith("}"):
        argument = argument[1:-1]
    spec, _, settings = argument.partition("{")
    spec = spec.strip().rstrip(",").strip()
    settings = settings.strip().rstrip("}").strip()
    if ":" not in spec:
        raise ValueError(f'bad argument "{spec}": need maptype:mapname')
    if not settings:
        return spec, list(KEYS)
    name, _, value = settings.partition("=")
    order = value.replace(",", " ").split()
    if name.strip() != "search_order" or not order:
        raise ValueError(f'"{settings}": write {{ search_order = {", ".join(KEYS)} }}')
    for word in order:
        if word not in KEYS:
            raise ValueError(f'search_order: no such key "{word}": write some of {", ".join(KEYS)}')
    return spec, order
