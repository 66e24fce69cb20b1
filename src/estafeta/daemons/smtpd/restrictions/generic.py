"""Restrictions that look at nothing in particular: permit, reject, defer, sleep and kin."""

from __future__ import annotations

import asyncio

from estafeta.daemons.smtpd.policy import Policy
from estafeta.daemons.smtpd.restrictions.evaluate import (
    NUMBER_ARGUMENT,
    BadArgument,
    Check,
    Run,
    Verdict,
    restriction,
    restriction_with,
)

LONGEST_SLEEP = 3600


@restriction("permit")
async def permit(check: Check) -> Verdict:
    """Ends the list: nothing is against it."""
    return await check.permitted("permit", check.kind, check.shown)


@restriction("reject")
async def reject(check: Check) -> Verdict:
    """Ends the list: refused."""
    return check.rejected(check.policy.conf.reject_code, "5.7.1", "Access denied")


@restriction("defer")
async def defer(check: Check) -> Verdict:
    """Ends the list: to come later."""
    return check.rejected(check.policy.conf.defer_code, "4.3.2", "Try again later")


@restriction("defer_if_permit")
async def defer_if_permit(check: Check) -> Verdict:
    """Put off what nothing else refuses."""
    check.defer_later(check.rejected(450, "4.7.0", "defer_if_permit requested"))
    return None


@restriction("defer_if_reject")
async def defer_if_reject(check: Check) -> Verdict:
    """Put off what the rest of the list refuses."""
    check.defer_reject(check.rejected(450, "4.7.0", "defer_if_reject requested"))
    return None


@restriction("reject_unauth_pipelining")
async def reject_unauth_pipelining(check: Check) -> Verdict:
    """Refuse a client that sent commands ahead where it may not. postconf(5)."""
    if not check.session.ill_pipelining:
        return None
    return check.rejected(503, "5.5.0", "Improper use of SMTP command pipelining")


@restriction("reject_multi_recipient_bounce")
async def reject_multi_recipient_bounce(check: Check) -> Verdict:
    """Refuse a bounce to more than one recipient: bounces go to one address. postconf(5)."""
    if check.sender != "":
        return None
    # At RCPT, the recipient under consideration is not among them yet.
    if check.session.transaction.count + (check.where == "RCPT") < 2:
        return None
    return check.rejected(check.policy.conf.multi_recipient_bounce_reject_code, "5.5.3", "Multi-recipient bounce")


@restriction_with("sleep")
def sleep(argument: str, policy: Policy) -> Run:
    """Wait: an old measure against impatient clients."""
    if not argument.isascii() or not argument.isdigit():
        raise BadArgument("restriction sleep must be followed by number")
    seconds = min(int(argument), LONGEST_SLEEP)

    async def run(check: Check) -> Verdict:
        check.session.stream.flush()
        await asyncio.sleep(seconds)
        return None

    return run


NUMBER_ARGUMENT.add("sleep")
