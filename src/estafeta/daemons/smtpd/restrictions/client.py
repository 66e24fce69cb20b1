"""Restrictions on who the client is."""

from __future__ import annotations

from estafeta.base import log
from estafeta.daemons.smtpd.restrictions.evaluate import PERMIT, Check, Refusal, Verdict, restriction
from estafeta.mail.address import literal_address
from estafeta.net.peer import LATER, OK


@restriction("permit_mynetworks")
async def permit_mynetworks(check: Check) -> Verdict:
    """Permit clients in mynetworks."""
    if not await check.session.in_mynetworks():
        return None
    if check.policy.former is not None:
        check.policy.former.network(check)
    return await _permitted(check, "permit_mynetworks")


@restriction("permit_sasl_authenticated")
async def permit_sasl_authenticated(check: Check) -> Verdict:
    """Permit clients that have logged in."""
    if check.session.login and check.policy.sasl is not None:
        return await _permitted(check, "permit_sasl_authenticated")
    return None


@restriction("permit_inet_interfaces")
async def permit_inet_interfaces(check: Check) -> Verdict:
    """Permit clients whose address is one of this host's own."""
    return await _permitted(check, "permit_inet_interfaces") if check.session.is_own_host() else None


async def _permitted(check: Check, action: str) -> Verdict:
    return await check.permitted(action, "Client host", check.session.client.namaddr_plain)


@restriction("permit_naked_ip_address")
async def permit_naked_ip_address(check: Check) -> Verdict:
    """Permit clients whose HELO name is an address without brackets: from the days before mynetworks."""
    log.warning(
        "restriction permit_naked_ip_address is deprecated. Use permit_mynetworks or permit_sasl_authenticated instead"
    )
    helo = check.session.helo
    return PERMIT if helo and literal_address(f"[{helo}]") else None


@restriction("reject_unknown_client_hostname", "reject_unknown_client")
async def reject_unknown_client_hostname(check: Check) -> Verdict:
    """Refuse a client whose address has no name, or a name that does not confirm the address."""
    client = check.session.client
    return _unknown(
        check, client.name_status, f"Client host rejected: cannot find your hostname, [{client.address}]", "7.25"
    )


@restriction("reject_unknown_reverse_client_hostname")
async def reject_unknown_reverse_client_hostname(check: Check) -> Verdict:
    """Refuse a client whose address has no name at all."""
    client = check.session.client
    text = f"Client host rejected: cannot find your reverse hostname, [{client.address}]"
    return _unknown(check, client.reverse_status, text)


@restriction("reject_unknown_forward_client_hostname")
async def reject_unknown_forward_client_hostname(check: Check) -> Verdict:
    """Refuse a client whose address has a name, but a name that does not lead back to the address. Not in Postfix 3.7:
    it is what reject_unknown_client_hostname refuses and reject_unknown_reverse_client_hostname does not."""
    client = check.session.client
    if client.reverse_status != OK:
        return None
    return _unknown(
        check, client.name_status, f"Client host rejected: cannot confirm your hostname, [{client.address}]", "7.25"
    )


def _unknown(check: Check, status: int, text: str, detail: str = "7.1") -> Verdict:
    if status == OK:
        return None
    code = check.policy.conf.unknown_client_reject_code
    if status == LATER:
        return check.tempfail(check.policy.conf.reject_tempfail_action, Refusal(450, f"4.{detail}", text))
    return Refusal(code, f"5.{detail}", text)
