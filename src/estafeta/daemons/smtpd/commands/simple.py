"""The verbs with little behind them: RSET, NOOP, QUIT, VRFY, and those that are not offered."""

from __future__ import annotations

from estafeta.daemons.smtpd.commands.address import address_in
from estafeta.daemons.smtpd.rcpt_check import refuse_recipient
from estafeta.daemons.smtpd.restrictions.evaluate import Check
from estafeta.daemons.smtpd.session import MUST_DECLARE, Hangup, Session
from estafeta.wire.smtp.server import words

OK = b"250 2.0.0 Ok\r\n"


async def rset(session: Session, arguments: str) -> bytes:
    """RFC 5321 4.1.1.5"""
    if arguments:
        return b"501 5.5.4 Syntax: RSET\r\n"
    session.reset()
    return OK


async def noop(session: Session, arguments: str) -> bytes:
    """RFC 5321 4.1.1.9"""
    return OK


async def quit_(session: Session, arguments: str) -> bytes:
    """RFC 5321 4.1.1.10"""
    session.stream.write(b"221 2.0.0 Bye\r\n")
    session.tally.add("quit", True)
    raise Hangup


async def vrfy(session: Session, arguments: str) -> bytes:
    """RFC 5321 4.1.1.6. Never says that a user exists for certain: 252."""
    conf = session.policy.conf
    if conf.disable_vrfy_command:
        return b"502 5.5.1 VRFY command is disabled\r\n"
    if not arguments:
        return f"501 5.5.4 Syntax: VRFY address{' [SMTPUTF8]' if conf.smtputf8_enable else ''}\r\n".encode()
    limits = session.policy.limits
    if limits is not None and limits.recipients and (too_much := await limits.recipient(session)):
        return too_much
    found = words(arguments)
    utf8 = conf.smtputf8_enable and "SMTPUTF8" not in session.ehlo_withheld
    utf8 = utf8 and len(found) > 1 and found[-1].upper() == "SMTPUTF8"
    if utf8:
        found.pop()
    shown = " ".join(found)
    address = await address_in(session, "VRFY", shown, utf8=utf8)
    if address is None:
        return b"501 5.1.3 Bad recipient address syntax\r\n"
    if conf.strict_smtputf8 and not utf8 and not address.isascii():
        return MUST_DECLARE
    check = Check(session, "VRFY", session.transaction.sender, address)
    refusal = await refuse_recipient(check)
    if refusal is not None:
        return session.refused(check, refusal)
    return session.policy.to_wire(f"252 2.0.0 {shown}")


async def unknown(session: Session, arguments: str) -> bytes:
    return b"500 5.5.2 Error: command not recognized\r\n"
