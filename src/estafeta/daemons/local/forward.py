"""Forwarding: what an alias sends elsewhere goes back to the queue as a new message, with a delivery record of its own.

One new message for each sender that the expansion of a recipient led to: an alias with an owner gives its members
another one. The new message begins with a Delivered-To line, by which a loop is found when it comes round. local(8),
"MAIL FORWARDING".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from estafeta.mail.address import quote
from estafeta.mail.envelope import NOTIFY_NEVER, NOTIFY_SUCCESS, Envelope, Recipient
from estafeta.mail.outcome import Bounced, Deferred, Outcome, Sent
from estafeta.queue.spool import Reader
from estafeta.services.delivery import Delivery
from estafeta.services.submission import Submission, Submitter

RELAY = "local"


@dataclass(slots=True)
class NewMessage:
    """What is to be queued."""

    sender: str
    owned: bool
    """The sender is an alias owner, who alone hears of trouble: what the first sender asked for ends here."""
    delivered_to: str
    """For the Delivered-To line; empty for none."""
    recipients: dict[str, str] = field(default_factory=dict)
    """Folded address -> address."""

    def add(self, address: str) -> None:
        self.recipients.setdefault(address.lower(), address)


def submission(delivery: Delivery, recipient: Recipient, new: NewMessage, head: bytes) -> Submission:
    """The request to cleanup; the body is taken from where it lies."""
    line = (
        f"Delivered-To: {quote(new.delivered_to)}\r\n".encode("utf-8", "surrogateescape") if new.delivered_to else b""
    )
    envelope = Envelope(
        queue_id="",
        arrived=delivery.arrived,
        sender=new.sender,
        recipients=[_recipient(recipient, address, owned=new.owned) for address in new.recipients.values()],
        envid="" if new.owned else delivery.envid,
        ret="" if new.owned else delivery.ret,
        encoding=delivery.encoding,
        smtputf8=delivery.smtputf8,
        context=delivery.context,
    )
    return Submission(0, envelope, line + head, place=delivery.place, origin="local")


def _recipient(recipient: Recipient, address: str, *, owned: bool) -> Recipient:
    if owned:
        return Recipient(address)
    notify = recipient.notify & ~NOTIFY_SUCCESS  # that it was expanded is the success that we report
    if recipient.notify and not notify:
        notify = NOTIFY_NEVER
    orcpt = recipient.orcpt or f"rfc822;{quote(recipient.address)}"
    return Recipient(address, recipient.original or recipient.address, notify, orcpt)


async def forward(
    submitter: Submitter, reader: Reader, delivery: Delivery, recipient: Recipient, new: NewMessage
) -> Outcome:
    """Queue the new message. Its content is on stable storage when the answer is Sent."""
    try:
        answer = await submitter.submit(submission(delivery, recipient, new, reader.head(delivery.place)))
    except OSError as error:
        return Deferred("4.3.0", f"unable to forward message: {error.strerror or error}", RELAY)
    if answer.queue_id:
        return Sent("2.0.0", f"forwarded as {answer.queue_id}", RELAY, action="expanded")
    kind = Bounced if answer.dsn.startswith("5") else Deferred
    return kind(answer.dsn or "4.3.0", f"unable to forward message: {answer.reason}", RELAY)
