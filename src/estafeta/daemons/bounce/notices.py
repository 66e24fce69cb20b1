"""Which reports a message calls for: to the sender, to the postmaster, or none. bounce(8), notify_classes.

A bounce that cannot be delivered becomes a notice to the postmaster, if the class 2bounce is wanted; a notice to the
postmaster that cannot be delivered is dropped. So no report ever leads to an endless chain of reports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from estafeta.config.instance import Config
from estafeta.mail.envelope import (
    NOTIFY_DELAY,
    NOTIFY_FAILURE,
    NOTIFY_NEVER,
    NOTIFY_SUCCESS,
    RET_HDRS,
    TRACE_VERIFY,
    Envelope,
    Recipient,
)
from estafeta.mail.verp import verp_sender
from estafeta.services.delivery import Result
from estafeta.services.postmaster import double_bounce_address
from estafeta.services.report import BOUNCE, DELAY, SUCCESS, VERIFY, ReportRequest

TEMPLATE_OF = {BOUNCE: "failure", DELAY: "delay", SUCCESS: "success", VERIFY: "verify"}
WANTED_BIT = {BOUNCE: NOTIFY_FAILURE, DELAY: NOTIFY_DELAY, SUCCESS: NOTIFY_SUCCESS}
LOGGED_AS = {
    BOUNCE: "non-delivery notification",
    DELAY: "delay notification",
    SUCCESS: "delivery status notification",
    VERIFY: "delivery status notification",
}
EXPANDED = Result("sent", "2.0.0", "alias expanded", action="expanded")
"""What became of an address that an alias replaced."""
_ACTION = {"sent": "delivered", "deferred": "delayed", "bounced": "failed"}
_VERIFY_ACTION = {"sent": "deliverable", "deferred": "undeliverable", "bounced": "undeliverable"}


@dataclass(frozen=True, slots=True)
class Notice:
    """One report to write."""

    kind: str
    sender: str
    recipient: str
    to_sender: bool
    headers_only: bool
    results: list[tuple[Recipient, Result]]


def due(conf: Config, request: ReportRequest) -> list[Notice]:
    """The reports that this request calls for, in the order in which they are sent."""
    envelope = request.envelope
    everything = _in_order([(envelope.recipients[index], result) for index, result in sorted(request.results.items())])
    if any(result.steps for _, result in everything):
        everything = [each for recipient, result in everything for each in _steps(request.kind, recipient, result)]
    if request.kind == SUCCESS and envelope.expanded:
        everything += [(recipient, EXPANDED) for recipient in envelope.expanded]
    if envelope.sender == double_bounce_address(conf):
        return []
    if not envelope.sender:
        return _double_bounce(conf, request.kind, everything, headers_only=envelope.size > conf.bounce_size_limit)
    notices = []
    wanted = [(recipient, result) for recipient, result in everything if _wanted(request, recipient)]
    headers_only = request.kind != BOUNCE or envelope.ret == RET_HDRS or envelope.size > conf.bounce_size_limit
    if request.kind == BOUNCE and envelope.verp and not conf.disable_verp_bounces:
        # The sender of each copy names its recipient, and that is who is told.
        for each in everything:
            if each in wanted:
                to = verp_sender(envelope.verp, envelope.sender, each[0].original or each[0].address)
                notices.append(Notice(BOUNCE, "", to, True, headers_only, [each]))
            notices += _postmaster_copy(conf, BOUNCE, [each])
        return notices
    if wanted:
        notices.append(Notice(request.kind, "", envelope.sender, True, headers_only, wanted))
    notices += _postmaster_copy(conf, request.kind, everything)
    return notices


def _in_order(results: list[tuple[Recipient, Result]]) -> list[tuple[Recipient, Result]]:
    """As Postfix's queue manager hands recipients out: those of one domain together, sorted by address."""
    if len(results) < 2:
        return results
    first: dict[str, int] = {}
    for number, (recipient, _) in enumerate(results):
        first.setdefault(_domain(recipient), number)
    return sorted(results, key=lambda each: (first[_domain(each[0])], each[0].address))


def _steps(kind: str, recipient: Recipient, result: Result) -> list[tuple[Recipient, Result]]:
    """What became of the addresses that a recipient stands for, as far as this report is about that."""
    status = {BOUNCE: "bounced", DELAY: "deferred"}.get(kind)
    found = [
        (Recipient(address, original, recipient.notify, recipient.orcpt), step)
        for address, original, step in result.steps or ()
        if kind == VERIFY or step.status == status
    ]
    return found or [(recipient, result)]


def _domain(recipient: Recipient) -> str:
    return recipient.address.rpartition("@")[2].lower()


def sender_shown(conf: Config, envelope: Envelope) -> str:
    """Who the report says that the message is from."""
    return envelope.sender or f"MAILER-DAEMON@{conf.myhostname}"


def action_of(kind: str, result: Result, trace: int = 0) -> str:
    """The Action field. RFC 3464 2.3.3. `trace` tells whether anything was delivered, or just looked at."""
    if trace & TRACE_VERIFY:
        return _VERIFY_ACTION.get(result.status, "undeliverable")
    if result.status == "sent":
        # A trace goes on with the new message: for this one, the address was passed on.
        return "relayed" if kind == VERIFY and result.action == "expanded" else result.action or "relayed"
    return _ACTION.get(result.status, "delayed") if kind != BOUNCE else "failed"


def _wanted(request: ReportRequest, recipient: Recipient) -> bool:
    """Whether the sender asked for this report, or did not say, RFC 3461 4.1. Success is told to those who ask, and to
    those who were told that it takes long (confirm_delay_cleared)."""
    kind = request.kind
    if kind == VERIFY:
        return True
    if recipient.notify & NOTIFY_NEVER:
        return False
    if kind == SUCCESS and request.envelope.warned:
        return True
    if recipient.notify == 0:
        return kind != SUCCESS
    return bool(recipient.notify & WANTED_BIT[kind])


def _double_bounce(
    conf: Config, kind: str, results: list[tuple[Recipient, Result]], *, headers_only: bool
) -> list[Notice]:
    if kind != BOUNCE:
        return _postmaster_copy(conf, kind, results)
    if not classes(conf) & {"bounce", "2bounce"}:  # the first implies the second
        return []
    return [Notice(kind, double_bounce_address(conf), conf.notice_recipient_2bounce, False, headers_only, results)]


def _postmaster_copy(conf: Config, kind: str, results: list[tuple[Recipient, Result]]) -> list[Notice]:
    recipient_of: dict[str, tuple[str, Callable[[Config], str]]] = {
        BOUNCE: ("bounce", lambda conf: conf.bounce_notice_recipient),
        DELAY: ("delay", lambda conf: conf.delay_notice_recipient),
    }
    if kind not in recipient_of or recipient_of[kind][0] not in classes(conf):
        return []
    return [Notice(kind, double_bounce_address(conf), recipient_of[kind][1](conf), False, True, results)]


def classes(conf: Config) -> set[str]:
    """What the postmaster wants to hear of."""
    return {name.lower() for name in conf.notify_classes}
