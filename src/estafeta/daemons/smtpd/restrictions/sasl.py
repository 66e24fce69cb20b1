"""Restrictions that go by who has logged in: whose sender addresses a login may use, and tables of login names."""

from __future__ import annotations

from estafeta.base import log
from estafeta.daemons.smtpd.policy import Policy
from estafeta.daemons.smtpd.restrictions.access import consult
from estafeta.daemons.smtpd.restrictions.evaluate import Check, Refusal, Run, Verdict, restriction, restriction_with
from estafeta.tables.address_lookup import find_address
from estafeta.tables.maps import Maps
from estafeta.tables.table import TableDown

SENDER = "Sender address"


@restriction("reject_sender_login_mismatch")
async def reject_sender_login_mismatch(check: Check) -> Verdict:
    """Refuse a sender address that belongs to somebody else than the client has logged in as; and, from a client that
    has logged in, one that belongs to nobody."""
    refusal = await reject_authenticated_sender_login_mismatch(check)
    return refusal or await reject_unauthenticated_sender_login_mismatch(check)


@restriction("reject_authenticated_sender_login_mismatch")
async def reject_authenticated_sender_login_mismatch(check: Check) -> Verdict:
    """The same for clients that have logged in only."""
    if not _possible(check, "reject_authenticated_sender_login_mismatch"):
        return None
    login = check.session.login
    if not login or not check.sender:
        return None
    owners = await _owners(check, check.sender)
    if isinstance(owners, Refusal) or _owns(login, owners):
        return owners if isinstance(owners, Refusal) else None
    return _not_owned(check, check.sender, login)


@restriction("reject_unauthenticated_sender_login_mismatch")
async def reject_unauthenticated_sender_login_mismatch(check: Check) -> Verdict:
    """The same for clients that have not logged in only: refuse a sender address that belongs to somebody."""
    if not _possible(check, "reject_unauthenticated_sender_login_mismatch"):
        return None
    if check.session.login or not check.sender:
        return None
    owners = await _owners(check, check.sender)
    if owners is None or isinstance(owners, Refusal):
        return owners
    return _not_logged_in(check, check.sender)


@restriction("reject_known_sender_login_mismatch")
async def reject_known_sender_login_mismatch(check: Check) -> Verdict:
    """Refuse a sender address that belongs to somebody else; one that belongs to nobody may be used."""
    if not _possible(check, "reject_known_sender_login_mismatch") or not check.sender:
        return None
    owners = await _owners(check, check.sender)
    login = check.session.login
    if isinstance(owners, Refusal):
        return owners
    if owners is None or (login and _owns(login, owners)):
        return None
    return _not_owned(check, check.sender, login) if login else _not_logged_in(check, check.sender)


def _possible(check: Check, name: str) -> bool:
    if check.policy.sasl is not None:
        return True
    log.warning(f"restriction `{name}' ignored: no SASL support")
    return False


async def _owners(check: Check, sender: str) -> str | Refusal | None:
    """What smtpd_sender_login_maps says about an address; None for nothing; a Refusal for now if it cannot say."""
    policy = check.policy
    if not policy.login_maps:
        return None
    address = (await policy.resolve(sender)).recipient or sender
    try:
        found = await find_address(
            policy.login_maps,
            address,
            delimiters=policy.conf.recipient_delimiter,
            is_local=policy.routing.completes_bare_names,
        )
    except TableDown:
        log.warning(f'{" ".join(policy.login_maps.specs)} lookup error for "{sender}"')
        return Refusal(451, "4.3.0", f"<{sender}>: Temporary lookup failure")
    return None if found is None else found.value


def _owns(login: str, owners: str | None) -> bool:
    """Login names are compared without regard to case, as tables are asked."""
    return owners is not None and login.lower() in owners.lower().replace(",", " ").split()


def _not_owned(check: Check, sender: str, login: str) -> Verdict:
    return check.rejected_as(sender, SENDER, 553, "5.7.1", f"not owned by user {login}")


def _not_logged_in(check: Check, sender: str) -> Verdict:
    return check.rejected_as(sender, SENDER, 553, "5.7.1", "not logged in")


@restriction_with("check_sasl_access", table=True)
def check_sasl_access(argument: str, policy: Policy) -> Run:
    """Do what a table says about the name that the client has logged in as. access(5)"""
    maps = policy.open_access(argument)

    async def run(check: Check) -> Verdict:
        login = check.session.login
        if not _possible(check, "check_sasl_access") or not login:
            return None
        return await consult(check, look, login, "SASL login name", (argument, "check_sasl_access"))

    async def look(check: Check) -> tuple[str, str] | None:
        return await _find_login(maps, check.session.login)

    return run


async def _find_login(maps: Maps, login: str) -> tuple[str, str] | None:
    value = await maps.find(login)
    return None if value is None else (value, login)
