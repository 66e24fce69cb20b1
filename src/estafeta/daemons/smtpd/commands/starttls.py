"""STARTTLS: from here on everything is encrypted, and the session begins anew. RFC 3207.

What the client pipelined behind the command came in the clear, perhaps from somebody else, and is dropped: it must not
be taken for something said under the protection of TLS (CVE-2011-0411). What it said before, its name included, is
forgotten for the same reason.
"""

from __future__ import annotations

from estafeta.daemons.smtpd.commands.helo import withheld
from estafeta.daemons.smtpd.session import Session
from estafeta.daemons.smtpd.tls import counted, demand_certificate, establish
from estafeta.tables.table import TableDown

LOCAL_PROBLEM = b"454 4.7.0 TLS not available due to local problem\r\n"


async def starttls(session: Session, arguments: str) -> bytes:
    offer = session.policy.tls
    if arguments:
        return b"501 5.5.4 Syntax: STARTTLS\r\n"
    if session.stream.tls is not None:
        return b"554 5.5.1 Error: TLS already active\r\n"
    if offer is None or await _is_withheld(session):
        return b"502 5.5.1 Error: command not implemented\r\n"
    if offer.server is None:
        return LOCAL_PROBLEM
    limits = session.policy.limits
    if limits is not None and limits.new_tls and (too_many := await limits.starttls(session)):
        return too_many
    session.stream.write(b"220 2.0.0 Ready to start TLS\r\n")
    session.stream.take_pending()
    await establish(session)
    session.begin_anew()
    if too_many := await counted(session):
        return too_many
    refusal = demand_certificate(session)
    session.blameless = bool(refusal)  # the command was fine; the session ends all the same
    return refusal


async def _is_withheld(session: Session) -> bool:
    """smtpd_discard_ehlo_keywords hold for a client that did not say EHLO, too."""
    if session.ehlo_reply is not None:
        return "STARTTLS" in session.ehlo_withheld
    try:
        return "STARTTLS" in await withheld(session, quiet=True)
    except TableDown:
        return True
