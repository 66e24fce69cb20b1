"""Restrictions on addresses that verify(8) knows, or finds out about with a probe. ADDRESS_VERIFICATION_README."""

from __future__ import annotations

import time

from estafeta.base import log
from estafeta.daemons.smtpd.restrictions.evaluate import Check, Verdict, restriction
from estafeta.daemons.smtpd.restrictions.recipient import RECIPIENT
from estafeta.daemons.smtpd.restrictions.sender import SENDER
from estafeta.services.verify import BOUNCE, OK, TODO

AWAY = "Address verification service is not available"


@restriction("reject_unverified_sender")
async def reject_unverified_sender(check: Check) -> Verdict:
    """Refuse a sender to whom no mail could be sent."""
    if not check.sender:
        return None
    conf = check.policy.conf
    codes = (conf.unverified_sender_reject_code, conf.unverified_sender_defer_code)
    reason, action = conf.unverified_sender_reject_reason, conf.unverified_sender_tempfail_action
    return await _unverified(check, check.sender, SENDER, "1.7", codes, reason, action)


@restriction("reject_unverified_recipient")
async def reject_unverified_recipient(check: Check) -> Verdict:
    """Refuse a recipient to whom the mail could not be delivered."""
    if not check.recipient:
        return None
    conf = check.policy.conf
    codes = (conf.unverified_recipient_reject_code, conf.unverified_recipient_defer_code)
    reason, action = conf.unverified_recipient_reject_reason, conf.unverified_recipient_tempfail_action
    return await _unverified(check, check.recipient, RECIPIENT, "1.1", codes, reason, action)


async def _unverified(
    check: Check, address: str, kind: str, detail: str, codes: tuple[int, int], reason: str, action: str
) -> Verdict:
    """`codes`: when the address is known not to work, and when nobody could tell."""
    policy = check.policy
    if policy.probe_sender.matches(address, time.time()):
        return None
    conf = policy.conf
    try:
        answer = await policy.verifier.ask(
            address, polls=conf.address_verify_poll_count, pause=conf.address_verify_poll_delay
        )
        status, text = answer.status, answer.text
    except OSError as error:
        service = conf.address_verify_service_name
        log.warning(f"{service} service failure: {error.strerror or error}: is there a {service} entry in master.cf?")
        status, text = TODO, AWAY
    if status == OK:
        return None
    code = codes[0] if status == BOUNCE else codes[1]
    if code < 400:
        return None  # 250: to find out about addresses is all that is wanted
    manner = "undeliverable" if code >= 500 else "unverified"
    refusal = check.rejected_as(address, kind, code, f"{code // 100}.{detail}", f"{manner} address: {reason or text}")
    return refusal if code >= 500 else check.tempfail(action, refusal)
