"""RCPT TO: one recipient, judged by all restrictions that were put off. RFC 5321 4.1.1.3, RFC 3461 4."""

from __future__ import annotations

from estafeta.base import log
from estafeta.daemons.smtpd.commands.address import address_in, as_written
from estafeta.daemons.smtpd.rcpt_check import refuse_recipient
from estafeta.daemons.smtpd.restrictions.evaluate import Check
from estafeta.daemons.smtpd.session import MUST_DECLARE, NO_DSN, Session
from estafeta.mail.envelope import Recipient
from estafeta.wire.smtp.path import plain_path
from estafeta.wire.smtp.server import NOTIFY_WORDS, parse_notify, parse_orcpt, split_path_command

OK = b"250 2.1.5 Ok\r\n"


async def rcpt(session: Session, arguments: str) -> bytes:
    transaction = session.transaction
    if transaction.sender is None:
        return b"503 5.5.1 Error: need MAIL command\r\n"
    if transaction.chunks is not None:
        return b"503 5.5.1 Error: RCPT after BDAT\r\n"
    found = split_path_command(arguments, "TO")
    if found is None:
        return b"501 5.5.4 Syntax: RCPT TO:<address>\r\n"
    limits = session.policy.limits
    if limits is not None and limits.recipients and (too_much := await limits.recipient(session)):
        return too_much
    path, parameters = found
    conf = session.policy.conf
    plain = plain_path(path)
    address = plain or await address_in(session, "RCPT", path, utf8=transaction.smtputf8)
    if address is None:
        return b"501 5.1.3 Bad recipient address syntax\r\n"
    if conf.strict_smtputf8 and not transaction.smtputf8 and not address.isascii():
        return MUST_DECLARE
    recipient = Recipient(address)
    if parameters:
        problem = _parameters(session, recipient, parameters)
        if problem is not None:
            return problem
    if not plain and not recipient.orcpt:
        recipient.orcpt = as_written(path, address)
    if transaction.count >= conf.smtpd_recipient_limit:
        return _too_many(session)
    check = Check(session, "RCPT", transaction.sender, address)
    refusal = await refuse_recipient(check)
    if refusal is not None:
        answer = session.refused(check, refusal)
        if check.afterwards:
            log.info(check.afterwards)
        return answer
    if not transaction.queue_id:
        trouble = session.open_queue_id()
        if trouble is not None:
            return trouble
    transaction.recipients.append(recipient)
    transaction.count += 1
    return OK


def _too_many(session: Session) -> bytes:
    """Refused for now: RFC 5321 4.5.3.1.10 has the client send the rest in another message."""
    transaction = session.transaction
    if transaction.over_limit < session.policy.conf.smtpd_recipient_overshoot_limit:
        # A client that is merely thorough; it does not count as an error.
        session.blameless = True
    transaction.over_limit += 1
    return b"452 4.5.3 Error: too many recipients\r\n"


def _parameters(session: Session, recipient: Recipient, parameters: list[str]) -> bytes | None:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        keyword = name.upper()
        if keyword in ("NOTIFY", "ORCPT") and "DSN" in session.ehlo_withheld:
            return NO_DSN
        if keyword == "NOTIFY":
            bits = parse_notify(value)
            if bits is None:
                _warn_of_notify(value)
            if not bits or recipient.notify:
                return b"501 5.5.4 Error: Bad NOTIFY parameter syntax\r\n"
            recipient.notify = bits
        elif keyword == "ORCPT":
            original = parse_orcpt(value)
            if original is None or recipient.orcpt:
                return b"501 5.5.4 Error: Bad ORCPT parameter syntax\r\n"
            recipient.orcpt = original
        else:
            return f"555 5.5.4 Unsupported option: {parameter}\r\n".encode("utf-8", "surrogateescape")
    return None


def _warn_of_notify(value: str) -> None:
    for word in value.split(","):
        if word and word.upper() not in NOTIFY_WORDS:
            log.warning(f'unknown DSN NOTIFY command value "{word}" in "{value}"')
            return
