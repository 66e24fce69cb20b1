"""HELO and EHLO: the client says its name, and we say what we can do. RFC 5321 4.1.1.1, RFC 1869."""

from __future__ import annotations

from collections.abc import Sequence

from estafeta.base import log
from estafeta.daemons.smtpd.restrictions.evaluate import Check, judge
from estafeta.daemons.smtpd.session import Session
from estafeta.tables.table import TableDown
from estafeta.wire.smtp.attributes import neutered
from estafeta.wire.smtp.reply import multiline


async def helo(session: Session, arguments: str) -> bytes:
    if not arguments:
        return b"501 Syntax: HELO hostname\r\n"
    refusal = await _introduced(session, arguments, "HELO")
    if refusal is not None:
        return refusal
    # After EHLO, the client may go on using what it was offered.
    return session.policy.helo_reply


async def ehlo(session: Session, arguments: str) -> bytes:
    if not arguments:
        return b"501 Syntax: EHLO hostname\r\n"
    refusal = await _introduced(session, arguments, "EHLO")
    if refusal is not None:
        return refusal
    session.protocol = "ESMTP"
    if session.ehlo_reply is None:
        try:
            session.ehlo_withheld = await withheld(session)
            keywords = session.policy.ehlo_keywords(
                session.ehlo_withheld,
                xclient=await session.may_xclient(),
                xforward=await session.may_xforward(),
                xverp=await session.may_xverp(),
                starttls=session.policy.tls is not None and session.stream.tls is None,
                auth=await _logins(session),
            )
        except TableDown:
            # Offering everything may be just what the administrator wants to prevent.
            return session.no_local_data()
        lines = [session.policy.conf.myhostname, *keywords]
        session.ehlo_reply = multiline(250, lines).encode() + b"\r\n"
    return session.ehlo_reply


async def _introduced(session: Session, arguments: str, verb: str) -> bytes | None:
    """Take the name over, unless smtpd_helo_restrictions are to be applied now and refuse it."""
    policy = session.policy
    name = neutered(policy.in_log(arguments))
    session.reset()
    if policy.helo and not policy.conf.smtpd_delay_reject:
        before, session.helo = session.helo, name
        check = Check(session, verb)
        refusal = await judge(check, policy.helo, name, "Helo command")
        if refusal is not None:
            reply = session.refused(check, refusal)
            session.helo = before
            return reply
        session.remember("HELO", check.defer_if_permit)
    session.helo = name
    return None


async def _logins(session: Session) -> Sequence[str]:
    """The keyword AUTH and the mechanisms, where the client may log in. Raises TableDown."""
    sasl = session.policy.sasl
    return () if sasl is None or "AUTH" in session.ehlo_withheld else await sasl.keywords(session)


async def withheld(session: Session, *, quiet: bool = False) -> frozenset[str]:
    """EHLO keywords that this client is not offered; logged unless `quiet`. Raises TableDown."""
    policy = session.policy
    discard = policy.discard_keywords
    if policy.discard_maps:
        try:
            value = await policy.discard_maps.find(session.client.address)
        except TableDown:
            client = session.client
            log.warning(f'{policy.discard_maps.specs[0]} lookup error for "{client.address}"')
            log.warning(f"don't know what EHLO features to announce to {client.namaddr}")
            raise
        if value is not None:
            discard = frozenset(value.upper().replace(",", " ").split())
    if discard and "SILENT-DISCARD" not in discard and not quiet:
        known = " ".join(keyword for keyword in _KNOWN if keyword in discard)
        if known:
            log.info(f"discarding EHLO keywords: {known}")
    return discard


_LOGGED = "8BITMIME AUTH ETRN PIPELINING SIZE VRFY XCLIENT XFORWARD STARTTLS ENHANCEDSTATUSCODES DSN SMTPUTF8 CHUNKING"
_KNOWN = tuple(_LOGGED.split())
"""In the order in which Postfix's log names them; it passes over others."""
