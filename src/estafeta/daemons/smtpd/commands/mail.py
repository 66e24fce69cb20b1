"""MAIL FROM: a transaction begins. RFC 5321 4.1.1.2, with SIZE, 8BITMIME, DSN and SMTPUTF8."""

from __future__ import annotations

from estafeta.base import log
from estafeta.daemons.smtpd.commands.address import address_in
from estafeta.daemons.smtpd.rcpt_check import refuse_sender
from estafeta.daemons.smtpd.restrictions.evaluate import Check, Refusal
from estafeta.daemons.smtpd.session import MUST_DECLARE, NO_DSN, Session
from estafeta.daemons.smtpd.transaction import Transaction
from estafeta.mail.envelope import RET_FULL, RET_HDRS
from estafeta.mail.verp import usable
from estafeta.wire.smtp.path import plain_path
from estafeta.wire.smtp.server import LONGEST_ENVID, parse_xtext, split_path_command

OK = b"250 2.1.0 Ok\r\n"
TOO_BIG = Refusal(552, "5.3.4", "Message size exceeds fixed limit")
NO_SPACE = Refusal(452, "4.3.1", "Insufficient system storage")


async def mail(session: Session, arguments: str) -> bytes:
    conf = session.policy.conf
    if conf.smtpd_helo_required and session.helo is None:
        return b"503 5.5.1 Error: send HELO/EHLO first\r\n"
    if session.transaction.sender is not None:
        return b"503 5.5.1 Error: nested MAIL command\r\n"
    if session.transaction.chunks is not None:
        return b"503 5.5.1 Error: MAIL after BDAT\r\n"
    found = split_path_command(arguments, "FROM")
    if found is None:
        return b"501 5.5.4 Syntax: MAIL FROM:<address>\r\n"
    limits = session.policy.limits
    if limits is not None and limits.messages and (too_much := await limits.message(session)):
        return too_much
    path, parameters = found
    utf8 = bool(parameters) and not path.isascii() and _declares_utf8(session, parameters)
    sender = plain_path(path)
    if sender is None:
        sender = await address_in(session, "MAIL", path, utf8=utf8, empty=True)
        if sender is None:
            return b"501 5.1.7 Bad sender address syntax\r\n"
    if conf.strict_smtputf8 and not utf8 and not sender.isascii():
        return MUST_DECLARE
    transaction = session.transaction
    if parameters:
        problem = await _xverp(session, transaction, sender, parameters) if session.policy.verp_clients else None
        problem = problem or _parameters(session, transaction, parameters)
        if problem is not None:
            session.transaction = Transaction()
            return problem
    least = session.policy.least_space
    if least and session.policy.space.free() < least:
        session.transaction = Transaction()
        return _no_space(session)
    if conf.message_size_limit and transaction.size > conf.message_size_limit:
        session.transaction = Transaction()
        return session.refused(Check(session, "MAIL", sender), TOO_BIG)
    if not conf.smtpd_delay_reject:
        check = Check(session, "MAIL", sender)
        refusal = await refuse_sender(check)
        if refusal is not None:
            session.transaction = Transaction()
            return session.refused(check, refusal)
        session.remember("MAIL", check.defer_if_permit)
    if session.policy.former is not None:
        session.policy.former.sender(session, sender)
    transaction.sender = sender
    if not conf.smtpd_delay_open_until_valid_rcpt:
        return session.open_queue_id() or OK
    return OK


def _declares_utf8(session: Session, parameters: list[str]) -> bool:
    """Whether SMTPUTF8 is among the parameters, and may be."""
    return any(word.upper() == "SMTPUTF8" for word in parameters) and _may_utf8(session)


def _may_utf8(session: Session) -> bool:
    return session.policy.conf.smtputf8_enable and "SMTPUTF8" not in session.ehlo_withheld


def _parameters(session: Session, transaction: Transaction, parameters: list[str]) -> bytes | None:
    """Take the ESMTP parameters over; a reply if one is bad."""
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        if name.upper() in ("RET", "ENVID") and "DSN" in session.ehlo_withheld:
            return NO_DSN
        handler = _PARAMETERS.get(name.upper())
        # All but SMTPUTF8 have a value, if an empty one.
        good = handler is not None and bool(equals) != (handler is _smtputf8)
        problem = handler(session, transaction, value) if good and handler is not None else UNSUPPORTED
        if problem in _REPLIES:
            return _REPLIES[problem]
        if problem == UNSUPPORTED:
            return f"555 5.5.4 Unsupported option: {parameter}\r\n".encode("utf-8", "surrogateescape")
        if problem:
            return f"501 5.5.4 {problem}\r\n".encode()
    return None


async def _xverp(session: Session, transaction: Transaction, sender: str, parameters: list[str]) -> bytes | None:
    """Take XVERP or XVERP=xy out of the parameters, if the client may ask for it; a reply if it is bad."""
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        if name.upper() != "XVERP":
            continue
        if not await session.may_xverp():
            return None  # like any other option that we do not know
        conf = session.policy.conf
        delimiters = value if equals else conf.default_verp_delimiters
        if not usable(delimiters, conf.verp_delimiter_filter):
            return f"501 5.5.4 Error: XVERP needs two characters from {conf.verp_delimiter_filter}\r\n".encode()
        if not sender:
            return b"503 5.5.4 Error: XVERP requires non-null sender\r\n"
        transaction.verp = delimiters
        parameters.remove(parameter)
        return None
    return None


UNSUPPORTED = "unsupported"
TOO_LARGE = "too large"
TOO_LARGE_FOR_ANY = b"552 5.3.4 Message size exceeds file system imposed limit\r\n"
TWO_SENDERS = "two senders"
_REPLIES = {TOO_LARGE: TOO_LARGE_FOR_ANY, TWO_SENDERS: b"503 5.5.4 Error: multiple AUTH= options\r\n"}
LONGEST_SENDER = 500
"""Of AUTH=, in bytes. RFC 4954 5"""
LARGEST_SIZE = (1 << 63) - 1
LONGEST_NUMBER = 1000


def _size(session: Session, transaction: Transaction, value: str) -> str:
    """RFC 1870 6.1. A client that announces nothing is not held to anything."""
    if not (value.isascii() and value.isdigit()):
        return "Bad message size syntax"
    if len(value) > LONGEST_NUMBER or int(value) > LARGEST_SIZE:
        return TOO_LARGE
    transaction.size = int(value)
    return ""


def _body(session: Session, transaction: Transaction, value: str) -> str:
    """RFC 6152"""
    encoding = {"8BITMIME": "8bit", "7BIT": "7bit"}.get(value.upper())
    if encoding is None:
        return UNSUPPORTED
    transaction.encoding = encoding
    return ""


def _smtputf8(session: Session, transaction: Transaction, value: str) -> str:
    """RFC 6531 3.4"""
    if not _may_utf8(session):
        return UNSUPPORTED
    transaction.smtputf8 = True
    return ""


def _ret(session: Session, transaction: Transaction, value: str) -> str:
    """RFC 3461 4.3"""
    if transaction.ret or value.upper() not in (RET_FULL, RET_HDRS):
        return "Bad RET parameter syntax"
    transaction.ret = value.upper()
    return ""


def _envid(session: Session, transaction: Transaction, value: str) -> str:
    """RFC 3461 4.4"""
    decoded = parse_xtext(value) if len(value) <= LONGEST_ENVID else None
    if transaction.envid or decoded is None:
        return "Bad ENVID parameter syntax"
    transaction.envid = decoded
    return ""


def _auth(session: Session, transaction: Transaction, value: str) -> str:
    """RFC 4954 5. Who sent it first, as a client says: for log and checks, believed of clients who have logged in."""
    if transaction.login_sender:
        return TWO_SENDERS
    transaction.login_sender = "" if value == "<>" else value[:LONGEST_SENDER]
    return ""


_PARAMETERS = {"SIZE": _size, "BODY": _body, "SMTPUTF8": _smtputf8, "RET": _ret, "ENVID": _envid, "AUTH": _auth}


def _no_space(session: Session) -> bytes:
    """queue_minfree, and room for one and a half messages of the largest size: there may not be more soon."""
    reply = session.refused(Check(session, "MAIL"), NO_SPACE)
    free = session.policy.space.free()
    log.warning(f"not enough free space in mail queue: {free} bytes < 1.5*message size limit")
    return reply
