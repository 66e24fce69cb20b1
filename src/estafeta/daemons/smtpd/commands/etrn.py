"""ETRN: a site's server asks for the mail that waits for it. RFC 1985.

flush(8) knows what that is. smtpd_etrn_restrictions say who may ask, fast_flush_domains for whom.
"""

from __future__ import annotations

from estafeta.base import log
from estafeta.daemons.smtpd.rcpt_check import recall, refuse_client
from estafeta.daemons.smtpd.restrictions.evaluate import Check, judge
from estafeta.daemons.smtpd.session import Session
from estafeta.mail.address import valid_domain
from estafeta.services.flush import BAD, DENIED, OK


async def etrn(session: Session, arguments: str) -> bytes:
    """RFC 1985 5.1. `@domain` means subdomains too, `#queue` a queue of its own; here each is its domain's account."""
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
    recall(check, ("CONNECT", "HELO"))
    refusal = await refuse_client(check) if conf.smtpd_delay_reject else None
    if refusal is None:
        refusal = await judge(check, session.policy.etrn, domain, "Etrn command")
    session.etrn_domain = None
    refusal = refusal or check.defer_if_permit
    if refusal is not None:
        return session.refused(check, refusal)
    status = await session.policy.flush.send_site(domain)
    if status == OK:
        if session.policy.former is not None:
            session.policy.former.flushed(domain)
        return b"250 Queuing started\r\n"
    if status == DENIED:
        log.warning(f"reject: ETRN {domain[:100]}... from {session.client.namaddr}")
        return f"459 <{domain}>: service unavailable\r\n".encode("utf-8", "surrogateescape")
    if status == BAD:
        log.warning(f"bad ETRN {domain[:100]}... from {session.client.namaddr}")
    else:
        log.warning("unable to talk to fast flush service")
    return b"458 Unable to queue messages\r\n"
