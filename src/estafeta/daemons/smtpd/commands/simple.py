"""The verbs with little behind them: RSET, NOOP, QUIT, VRFY, ETRN, and those that are not offered."""

from __future__ import annotations

from estafeta.base import log
from estafeta.daemons.smtpd.rcpt_check import refuse_recipient
from estafeta.daemons.smtpd.restrictions.evaluate import Check, judge
from estafeta.daemons.smtpd.session import Hangup, Session
from estafeta.mail.address import valid_domain
from estafeta.wire.smtp.path import PathError, parse_path
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
    session.count("quit", True)
    raise Hangup


async def vrfy(session: Session, arguments: str) -> bytes:
    """RFC 5321 4.1.1.6. Never says that a user exists for certain: 252."""
    conf = session.policy.conf
    if conf.disable_vrfy_command:
        return b"502 5.5.1 VRFY command is disabled\r\n"
    if not arguments:
        return f"501 5.5.4 Syntax: VRFY address{' [SMTPUTF8]' if conf.smtputf8_enable else ''}\r\n".encode()
    found = words(arguments)
    if conf.smtputf8_enable and len(found) > 1 and found[-1].upper() == "SMTPUTF8":
        found.pop()
    shown = " ".join(found)
    try:
        address = parse_path(shown if shown.startswith("<") else f"<{shown}>")
    except PathError:
        address = ""
    if not address:
        log.warning(f"Illegal address syntax from {session.client.namaddr} in VRFY command: {shown}")
        return b"501 5.1.3 Bad recipient address syntax\r\n"
    check = Check(session, "VRFY", session.transaction.sender, address)
    refusal = await refuse_recipient(check)
    if refusal is not None:
        return session.refused(check, refusal)
    return f"252 2.0.0 {shown}\r\n".encode("utf-8", "surrogateescape")


async def etrn(session: Session, arguments: str) -> bytes:
    """RFC 1985. Nothing is flushed yet, so nobody is told that something was."""
    conf = session.policy.conf
    if conf.smtpd_helo_required and session.helo is None:
        return b"503 Error: send HELO/EHLO first\r\n"
    if session.transaction.sender is not None:
        return b"503 Error: MAIL transaction in progress\r\n"
    if not arguments or " " in arguments:
        return b"500 Syntax: ETRN domain\r\n"
    domain = arguments[1:] if arguments[0] in "@#" else arguments
    if not valid_domain(domain):
        return b"501 Error: invalid parameter syntax\r\n"
    session.etrn_domain = domain
    check = Check(session, "ETRN")
    refusal = await judge(check, session.policy.etrn, domain, "Etrn command")
    session.etrn_domain = None
    if refusal is not None:
        return session.refused(check, refusal)
    log.warning(f"reject: ETRN {domain}... from {session.client.namaddr}")
    return f"459 <{domain}>: service unavailable\r\n".encode("utf-8", "surrogateescape")


async def starttls(session: Session, arguments: str) -> bytes:
    return b"502 5.5.1 Error: command not implemented\r\n"


async def auth(session: Session, arguments: str) -> bytes:
    return b"503 5.5.1 Error: authentication not enabled\r\n"


async def xclient(session: Session, arguments: str) -> bytes:
    return b"550 5.7.0 Error: insufficient authorization\r\n"


async def xforward(session: Session, arguments: str) -> bytes:
    return b"550 5.7.0 Error: insufficient authorization\r\n"


async def unknown(session: Session, arguments: str) -> bytes:
    return b"500 5.5.2 Error: command not recognized\r\n"
