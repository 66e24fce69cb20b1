"""Restrictions on addresses that verify(8) knows, or finds out about with a probe. ADDRESS_VERIFICATION_README."""

from __future__ import annotations

import time
from typing import NamedTuple

from estafeta.base import log
from estafeta.daemons.smtpd.restrictions.evaluate import Check, Verdict, restriction
from estafeta.daemons.smtpd.restrictions.recipient import RECIPIENT
from estafeta.daemons.smtpd.restrictions.sender import SENDER
from estafeta.services.verify import BOUNCE, OK, TODO

AWAY = "Address verification service is not available"


@restriction("reject_unverified_sender")
async def reject_unverified_sender(check: Check) -> Verdict:
    """Refuse a sender to whom no mail could be sent."""
    conf = check.policy.conf
    manner = Manner(
        SENDER,
        "1.7",
        conf.unverified_sender_reject_code,
        conf.unverified_sender_defer_code,
        conf.unverified_sender_reject_reason,
        conf.unverified_sender_tempfail_action,
    )
    return await _unverified(check, check.sender, manner)


@restriction("reject_unverified_recipient")
async def reject_unverified_recipient(check: Check) -> Verdict:
    """Refuse a recipient to whom the mail could not be delivered."""
    conf = check.policy.conf
    manner = Manner(
        RECIPIENT,
        "1.1",
        conf.unverified_recipient_reject_code,
        conf.unverified_recipient_defer_code,
        conf.unverified_recipient_reject_reason,
        conf.unverified_recipient_tempfail_action,
    )
    return await _unverified(check, check.recipient, manner)


class Manner(NamedTuple):
    """How an address of one kind is refused: all that differs between the two restrictions."""

    kind: str
    detail: str
    """Of the enhanced status code, behind its class."""
    reject_code: int
    """For an address that is known not to work."""
    defer_code: int
    """For one of which nobody could tell."""
    reason: str
    """Told to the client in place of what verify(8) knows; empty for that."""
    tempfail_action: str


async def _unverified(check: Check, address: str | None, manner: Manner) -> Verdict:
    policy = check.policy
    if not address or policy.probe_sender.matches(address, time.time()):
        return None
    status, text = await _known(check, address)
    if status == OK:
        return None
    code = manner.reject_code if status == BOUNCE else manner.defer_code
    if code < 400:
        return None  # 250: to find out about addresses is all that is wanted
    found = "undeliverable" if code >= 500 else "unverified"
    text = f"{found} address: {manner.reason or text}"
    refusal = check.rejected_as(address, manner.kind, code, f"{code // 100}.{manner.detail}", text)
    return refusal if code >= 500 else check.tempfail(manner.tempfail_action, refusal)


async def _known(check: Check, address: str) -> tuple[int, str]:
    """What verify(8) says of the address: its status, and the reason."""
    conf = check.policy.conf
    try:
        answer = await check.policy.verifier.ask(
            address, polls=conf.address_verify_poll_count, pause=conf.address_verify_poll_delay
        )
    except OSError as error:
        service = conf.address_verify_service_name
        log.warning(f"{service} service failure: {error or 'no answer'}: is there a {service} entry in master.cf?")
        return TODO, AWAY
    return answer.status, answer.text
