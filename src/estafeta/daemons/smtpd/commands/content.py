"""What DATA and BDAT share: opening a submission, the Received header, the size limit, the last checks, the reply.

Content goes to intake as it arrives, so that a large message is never whole in memory. Once something is wrong the
rest is still read, as the protocol wants, and forgotten.
"""

from __future__ import annotations

import time

from estafeta.base import log
from estafeta.daemons.smtpd.ports import Submission
from estafeta.daemons.smtpd.restrictions.access import find_host
from estafeta.daemons.smtpd.restrictions.evaluate import Check, Refusal, judge
from estafeta.daemons.smtpd.session import Session
from estafeta.daemons.smtpd.tls import has_known_certificate, received_lines
from estafeta.daemons.smtpd.transaction import Dates
from estafeta.intake.verdict import Queued
from estafeta.mail.address import quote
from estafeta.mail.envelope import Envelope, Recipient
from estafeta.mail.shown import in_comment
from estafeta.tables.table import TableDown

TOO_BIG = b"552 5.3.4 Error: message file too big\r\n"
_dates = Dates()


class Incoming:
    """The content of one message on its way to intake. `size` counts CRLF as two bytes."""

    __slots__ = ("_envelope", "_session", "bare_newline", "failed", "limit", "size")

    def __init__(self, session: Session, envelope: Envelope) -> None:
        self._session = session
        self._envelope = envelope
        self.size = 0
        self.limit = session.policy.conf.message_size_limit
        self.failed = False
        """The message is refused whatever comes: the rest of the content is thrown away."""
        self.bare_newline = False

    @classmethod
    async def open(cls, session: Session) -> Incoming:
        """Begin a submission, with our Received header first."""
        transaction, policy = session.transaction, session.policy
        arrived = time.time()
        context = session.forwarded.context if session.forwarded is not None else ""
        context = context or ("local" if await rewritten_as_local(session) else "remote")
        envelope = transaction.envelope(session.envelope_client(), context, arrived)
        submission = transaction.submission = policy.intake.begin(envelope, from_network=True)
        for header in transaction.headers:
            submission.prepend(header.encode("utf-8", "surrogateescape") + b"\r\n")
        submission.prepend(received(session, arrived).encode("utf-8", "surrogateescape"))
        if transaction.hold:
            submission.hold(transaction.hold)
        if transaction.discard:
            submission.discard()
        return cls(session, envelope)

    async def take(self, content: bytes) -> None:
        """Some content, CRLF lines."""
        self.size += len(content)
        if self.failed:
            return
        submission = self._session.transaction.submission
        if self.limit and self.size > self.limit:
            self.failed = True
            log.warning(f"{self._session.queue_id}: queue file size limit exceeded")
        if self.failed or submission is None:
            self.give_up()
        elif submission.feed(content):
            await submission.drain()

    def give_up(self) -> None:
        """The message will be refused: nothing of it needs to be kept."""
        self.failed = True
        transaction = self._session.transaction
        if transaction.submission is not None:
            transaction.submission.abandon()
            transaction.submission = None

    async def finish(self, *, chunked: bool = False) -> bytes:
        """The content is complete: the last checks, then the spool; the reply, when it is decided."""
        session = self._session
        reply = await self._finish(session, chunked)
        session.reset()
        return reply

    async def _finish(self, session: Session, chunked: bool) -> bytes:
        transaction, policy = session.transaction, session.policy
        submission = transaction.submission
        if self.failed or submission is None:
            return TOO_BIG
        if self.bare_newline and session.bare_newline_rule in ("reject", "note"):
            if session.bare_newline_rule == "reject":
                return bare_newline(session, "END-OF-MESSAGE")
            log.info(f"{transaction.queue_id}: bare <LF> received after {session.where} from {session.client.namaddr}")
        if policy.end_of_data:
            transaction.size = self.size
            check = last_check(session, "END-OF-MESSAGE")
            refusal = await judge(check, policy.end_of_data, "END-OF-MESSAGE", "End-of-data")
            refusal = refusal or check.defer_if_permit
            if refusal is not None:
                return session.refused(check, refusal)
            self._changed_by_checks(submission)
        transaction.submission = None  # from here on it is intake's
        session.stream.flush()  # the client may wait for the replies before, while the disk works
        verdict = await submission.finish()
        if not isinstance(verdict, Queued):
            return f"{verdict.code} {verdict.dsn} {verdict.text}\r\n".encode("utf-8", "surrogateescape")
        session.delivered()
        return queued_reply(verdict.queue_id, self.size, chunked)

    def _changed_by_checks(self, submission: Submission) -> None:
        """What smtpd_end_of_data_restrictions decided comes after the envelope was handed over."""
        transaction, envelope = self._session.transaction, self._envelope
        if transaction.hold:
            submission.hold(transaction.hold)
        if transaction.discard:
            submission.discard()
        envelope.content_filter = transaction.content_filter
        envelope.redirect = transaction.redirect
        known = {recipient.address for recipient in envelope.recipients}
        for address in transaction.bcc:
            if address not in known:
                envelope.recipients.append(Recipient(address))


def queued_reply(queue_id: str, size: int, chunked: bool) -> bytes:
    if chunked:
        return f"250 2.0.0 Ok: {size} bytes queued as {queue_id}\r\n".encode()
    return f"250 2.0.0 Ok: queued as {queue_id}\r\n".encode()


def last_check(session: Session, where: str) -> Check:
    """A check on the whole message. It has a recipient only if there is just one, as in Postfix."""
    transaction = session.transaction
    only = transaction.recipients[0].address if transaction.count == 1 else None
    return Check(session, where, transaction.sender, only)


async def data_refused(session: Session, where: str = "DATA") -> bytes | None:
    """smtpd_data_restrictions; None if they have nothing against the message."""
    check = last_check(session, where)
    refusal = await judge(check, session.policy.data, "DATA", "Data command")
    refusal = refusal or check.defer_if_permit
    return session.refused(check, refusal) if isinstance(refusal, Refusal) else None


def bare_newline(session: Session, where: str) -> bytes:
    """smtpd_forbid_bare_newline = reject: log it, and the reply."""
    check = last_check(session, where)
    check.log("reject", "bare <LF> received")
    return session.bare_newline_reply()


def received(session: Session, arrived: float) -> str:
    """Our Received header. RFC 5321 4.4; a single recipient is named, several are nobody's business."""
    client, transaction = session.client, session.transaction
    conf = session.policy.conf
    if conf.smtpd_hide_client_session:
        lead = f"Received: by {conf.myhostname} ({conf.mail_name}) id {transaction.queue_id}"
    else:
        address = f"IPv6:{client.address}" if ":" in client.address else client.address
        protocol = session.protocol
        if transaction.smtputf8:
            protocol = "UTF8" + protocol.removeprefix("E")
        login = ""
        if session.stream.tls is not None:
            protocol += "S" if session.protocol == "ESMTP" else ""
            login = received_lines(session) if conf.smtpd_tls_received_header else ""
        if session.login:
            protocol += "A" if session.protocol == "ESMTP" else ""
            if conf.smtpd_sasl_authenticated_header:
                login += f"\t(Authenticated sender: {in_comment(session.login)})\r\n"
        lead = (
            f"Received: from {session.helo or client.name} ({client.name} [{address}])\r\n"
            f"{login}\tby {conf.myhostname} ({conf.mail_name}) with {protocol} id {transaction.queue_id}"
        )
    if transaction.count == 1:
        return f"{lead}\r\n\tfor <{quote(transaction.recipients[0].address)}>; {_dates.at(arrived)}\r\n"
    return f"{lead};\r\n\t{_dates.at(arrived)}\r\n"


async def rewritten_as_local(session: Session) -> bool:
    """Whether the client's headers are completed with our domain: local_header_rewrite_clients."""
    if session.local_headers is None:
        try:
            session.local_headers = await _is_local(session)
        except TableDown as error:
            log.warning(f"local_header_rewrite_clients: {error}")
            return False
    return session.local_headers


async def _is_local(session: Session) -> bool:
    words = iter(session.policy.conf.local_header_rewrite_clients)
    for word in words:
        if word == "permit_inet_interfaces" and session.is_own_host():
            return True
        if word == "permit_mynetworks" and await session.in_mynetworks():
            return True
        if word == "permit_sasl_authenticated" and session.login:
            return True
        if word == "permit_tls_all_clientcerts" and session.stream.tls is not None and session.stream.tls.trusted:
            return True
        if word == "permit_tls_clientcerts" and await has_known_certificate(session):
            return True
        if word == "check_address_map" or ":" in word:
            table = next(words, "fail:local_header_rewrite_clients") if word == "check_address_map" else word
            maps = session.policy.open_access(table)
            found = await find_host(maps, session.client.name, session.client.address, session.policy.access_parents)
            if found is not None:
                return True
    return False
