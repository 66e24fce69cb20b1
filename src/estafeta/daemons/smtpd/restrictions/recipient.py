"""Restrictions on the recipient address: who is allowed to relay, and who exists."""

from __future__ import annotations

from estafeta.daemons.smtpd.restrictions.evaluate import PERMIT, Check, Refusal, Verdict, restriction
from estafeta.daemons.smtpd.restrictions.sender import non_fqdn, unknown_domain

RECIPIENT = "Recipient address"


async def authorized(check: Check) -> bool:
    """Whether the destination is this system's own or one that it relays to. Raises TableDown.

    A local part with another route in it (`user%other@here`) is not, unless allow_untrusted_routing says so: what
    looks like mail for us would be mail for anywhere.
    """
    policy = check.policy
    address = check.recipient or ""
    resolved = await policy.resolve(address)
    if resolved.routed and not policy.conf.allow_untrusted_routing:
        return False
    if policy.former is not None:
        policy.former.destination(check, resolved.address_class)
    return resolved.address_class != "default"


@restriction("permit_auth_destination")
async def permit_auth_destination(check: Check) -> Verdict:
    """Permit mail for this system and for the domains that it relays to."""
    if check.recipient is None:
        return None
    if not check.recipient:
        return PERMIT
    if not await authorized(check):
        return None
    return await check.permitted("permit_auth_destination", RECIPIENT, check.recipient)


@restriction("reject_unauth_destination")
async def reject_unauth_destination(check: Check) -> Verdict:
    """Refuse mail for anywhere else: what keeps a host from being an open relay."""
    if not check.recipient or await authorized(check):
        return None
    return Refusal(check.policy.conf.relay_domains_reject_code, "5.7.1", f"<{check.recipient}>: Relay access denied")


@restriction("check_relay_domains")
async def check_relay_domains(check: Check) -> Verdict:
    """The name that old configurations use for permit_auth_destination and reject in one. Client names do not count."""
    if check.recipient is None:
        return None
    check.policy.outdated("check_relay_domains", "reject_unauth_destination")
    if not check.recipient or await authorized(check):
        return PERMIT
    code = check.policy.conf.relay_domains_reject_code
    return check.rejected_as(check.recipient, RECIPIENT, code, "5.7.1", "Relay access denied")


@restriction("defer_unauth_destination")
async def defer_unauth_destination(check: Check) -> Verdict:
    """The same with a temporary answer, so that a mistake in the configuration loses no mail."""
    if not check.recipient or await authorized(check):
        return None
    code = check.policy.conf.relay_domains_reject_code
    return Refusal(400 + code % 100, "4.7.1", f"<{check.recipient}>: Relay access denied")


@restriction("reject_non_fqdn_recipient")
async def reject_non_fqdn_recipient(check: Check) -> Verdict:
    """Refuse a recipient whose domain is not complete."""
    return non_fqdn(check, check.recipient, RECIPIENT) if check.recipient else None


@restriction("reject_unknown_recipient_domain")
async def reject_unknown_recipient_domain(check: Check) -> Verdict:
    """Refuse a recipient whose domain has neither MX nor address, and is not this system's own."""
    return await unknown_domain(check, check.recipient, RECIPIENT) if check.recipient else None


@restriction("reject_unlisted_recipient", "check_recipient_maps")
async def reject_unlisted_recipient(check: Check) -> Verdict:
    """Refuse a recipient in a domain of ours who does not exist."""
    if not check.recipient or check.unlisted_recipient_done or check.policy.nobody_unknown:
        return None
    check.unlisted_recipient_done = True
    found = await check.policy.routing.unlisted_recipient(check.recipient)
    return check.rejected_as(check.recipient, RECIPIENT, found.code, found.dsn, found.text) if found else None
