"""Everything that may be said against a recipient, in Postfix's order.

The restrictions on client, helo name and sender that smtpd_delay_reject put off; smtpd_relay_restrictions and
smtpd_recipient_restrictions; whether the recipient (and the sender) exists; and at the end whatever was only to be
deferred if nothing else refuses. VRFY asks the same.
"""

from __future__ import annotations

import time

from estafeta.base import log
from estafeta.daemons.smtpd.restrictions.evaluate import Check, Refusal, Run, judge
from estafeta.daemons.smtpd.restrictions.recipient import RECIPIENT, reject_unlisted_recipient
from estafeta.daemons.smtpd.restrictions.sender import SENDER, reject_unlisted_sender
from estafeta.tables.table import Misconfigured, TableDown


async def refuse_recipient(check: Check) -> Refusal | None:
    """None if the recipient is welcome. The refusal is not logged yet."""
    policy, recipient = check.policy, check.recipient or ""
    if recipient.lower() == "postmaster":
        # RFC 5321 4.5.1: bare postmaster is always taken, whoever asks.
        return None
    prober = policy.probe_sender
    if prober.resembles(recipient) and prober.matches(recipient, time.time()):
        # Somebody asks whether the sender of our probe exists, perhaps before he answers it.
        return None
    if check.session.put_off:
        recall(check)
    if policy.delayed:
        refusal = await _delayed(check)
        if refusal is not None:
            return refusal
    for steps in policy.recipient_lists:
        refusal = await judge(check, steps, recipient, RECIPIENT)
        if refusal is not None:
            if policy.former is not None and steps is policy.recipient:
                policy.former.refused(check)
            return refusal
    if check.defer_if_permit is not None:
        return check.defer_if_permit
    # Mail that is thrown away needs no recipient that exists.
    unlisted_matters = not check.unlisted_recipient_done and not check.session.transaction.discard
    if policy.conf.smtpd_reject_unlisted_recipient and unlisted_matters:
        refusal = await _unlisted(check, reject_unlisted_recipient, recipient, RECIPIENT)
        if refusal is not None:
            return refusal
    if policy.former is not None:
        await policy.former.recipient(check)
    return None


def recall(check: Check, stages: tuple[str, ...] = ("CONNECT", "HELO", "MAIL")) -> None:
    """Without smtpd_delay_reject: what was only to be deferred at an earlier stage is deferred now."""
    put_off = check.session.put_off
    check.defer_if_permit = next((put_off[stage] for stage in stages if stage in put_off), None)


async def _delayed(check: Check) -> Refusal | None:
    refusal = await refuse_client(check)
    if refusal is None and check.sender is not None:
        refusal = await refuse_sender(check)
    return refusal


async def refuse_client(check: Check) -> Refusal | None:
    """smtpd_client_restrictions and smtpd_helo_restrictions, which smtpd_delay_reject put off; for ETRN, too."""
    policy, session = check.policy, check.session
    refusal = await judge(check, policy.client, session.client.namaddr_plain, "Client host")
    if refusal is None and session.helo is not None:
        refusal = await judge(check, policy.helo, session.helo, "Helo command")
    return refusal


async def refuse_sender(check: Check) -> Refusal | None:
    """smtpd_sender_restrictions, and smtpd_reject_unlisted_sender."""
    policy = check.policy
    refusal = await judge(check, policy.sender, check.sender or "", SENDER)
    unlisted_matters = not check.unlisted_sender_done and not check.session.transaction.discard
    if refusal is None and policy.conf.smtpd_reject_unlisted_sender and unlisted_matters:
        refusal = await _unlisted(check, reject_unlisted_sender, check.sender or "", SENDER)
    return refusal


async def _unlisted(check: Check, restriction: Run, shown: str, kind: str) -> Refusal | None:
    """Whether the address is nobody's here."""
    check.shown, check.kind = shown, kind
    try:
        verdict = await restriction(check)
    except Misconfigured:
        return Refusal(451, "4.3.5", "Server configuration error")
    except TableDown as error:
        log.warning(f"reject_unlisted: {error}")
        return check.lookup_failed("")
    if not isinstance(verdict, Refusal):
        return None
    if verdict.code >= 500 and check.defer_if_reject is not None:
        return check.defer_if_reject
    return verdict
