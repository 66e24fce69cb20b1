"""AUTH: the client logs in. RFC 4954.

The mechanism's challenges and responses go through here in base64; what they mean is known to the authenticator. A
refused password counts as an error; the pause that it costs is the authenticator's affair. Nothing that the client
answers is ever logged but the user's name, as the authenticator understood it.
"""

from __future__ import annotations

import base64
import re

from estafeta.accounts.authenticator import Answer, Challenge, Denied, Exchange, Login
from estafeta.base import log
from estafeta.daemons.smtpd.sasl import Sasl
from estafeta.daemons.smtpd.session import Session
from estafeta.daemons.smtpd.shown import printable
from estafeta.net.stream import LineTooLong
from estafeta.tables.table import TableDown

GOOD = b"235 2.7.0 Authentication successful\r\n"
NOT_ENABLED = b"503 5.5.1 Error: authentication not enabled\r\n"
TOO_LONG = b"500 5.5.6 SASL response limit exceeded\r\n"
NO_SERVER = "Connection lost to authentication server"
LONGEST_NAME = 100
"""Of what a client calls a mechanism, and of a user's name, in the log."""
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
"""With its padding and no more: RFC 4648 4."""
MOST_CHALLENGES = 20
"""No mechanism needs more than three."""


class _Aborted(Exception):
    """The client has given up: `*`."""


class _TooLong(Exception):
    """A response is longer than smtpd_sasl_response_limit."""


class _NotBase64(Exception):
    """`which` response: initial or continued."""

    def __init__(self, which: str) -> None:
        super().__init__(f"Invalid base64 data in {which} response")


async def auth(session: Session, arguments: str) -> bytes:
    policy = session.policy
    sasl = policy.sasl
    limits = policy.limits
    if limits is not None and limits.auth and (too_many := await limits.login(session)):
        return too_many
    if policy.conf.smtpd_helo_required and session.helo is None:
        return b"503 5.5.1 Error: send HELO/EHLO first\r\n"
    if sasl is None or "AUTH" in session.ehlo_withheld or not sasl.active(session):
        return NOT_ENABLED
    if session.transaction.sender is not None:
        return b"503 5.5.1 Error: MAIL transaction in progress\r\n"
    if session.login:
        return b"503 5.5.1 Error: already authenticated\r\n"
    words = arguments.split()
    if not 1 <= len(words) <= 2:
        return b"501 5.5.4 Syntax: AUTH mechanism\r\n"
    name, initial = words[0], words[1] if len(words) > 1 else None
    try:
        answer = await _dialogue(session, sasl, name, initial)
    except _Aborted:
        log.warning(f"{session.client.namaddr}: SASL {_shown(name)} authentication aborted")
        return b"501 5.7.0 Authentication aborted\r\n"
    except _TooLong:
        return TOO_LONG
    except _NotBase64 as problem:
        answer = Denied(str(problem))
    if isinstance(answer, Login):
        return _logged_in(session, name, answer.user)
    return _denied(session, name, answer)


def _logged_in(session: Session, name: str, user: str) -> bytes:
    # A name that breaks lines would break log and headers wherever it goes from here.
    session.login = printable(user.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    session.login_method = name
    session.local_headers = None
    return GOOD


def _denied(session: Session, name: str, denied: Denied) -> bytes:
    reason = printable(denied.reason)
    user = "(unavailable)" if denied.user is None else printable(denied.user)[:LONGEST_NAME]
    log.warning(f"{session.client.namaddr}: SASL {_shown(name)} authentication failed: {reason}, sasl_username={user}")
    if denied.later:
        return session.policy.to_wire(f"454 4.7.0 Temporary authentication failure: {reason}")
    return session.policy.to_wire(f"535 5.7.8 Error: authentication failed: {reason}")


async def _dialogue(session: Session, sasl: Sasl, name: str, initial: str | None) -> Login | Denied:
    """The exchange of one mechanism. Raises _Aborted, _TooLong, _NotBase64, PeerGone, TimeoutError."""
    mechanism, tls = name.upper(), session.stream.tls
    try:
        offered = await sasl.mechanisms(tls)
        if mechanism not in offered:
            return Denied(await sasl.unavailable(mechanism, tls=tls is not None))
    except OSError:
        return Denied(NO_SERVER, later=True)
    except TableDown as error:
        log.warning(f"smtpd_sasl_mechanism_filter: {error}")
        return Denied("Temporary lookup failure", later=True)
    first = None if initial is None else _decoded("" if initial == "=" else initial, "initial")
    about = sasl.circumstances(session, mechanism, offered)
    exchange, answer = await sasl.authenticator.begin(mechanism, first, about)
    try:
        return await _exchange(session, exchange, answer)
    finally:
        # Whatever ends it: the client has gone, has given up, has said too much. After an end this does nothing.
        exchange.cancel()


async def _exchange(session: Session, exchange: Exchange, answer: Answer) -> Login | Denied:
    for _ in range(MOST_CHALLENGES):
        if isinstance(answer, Denied):
            return answer
        if isinstance(answer, Login):
            if answer.text:
                # SMTP has no place for it beside success: the client gets it as a challenge. RFC 4954 4
                await _response(session, answer.text)
            return answer
        answer = await exchange.step(await _response(session, answer.text))
    return Denied("too many challenges") if isinstance(answer, Challenge) else answer


async def _response(session: Session, challenge: bytes) -> bytes:
    """Send a challenge; what the client answers to it."""
    conf = session.policy.conf
    session.stream.write(b"334 " + base64.b64encode(challenge) + b"\r\n")
    if conf.smtpd_per_request_deadline:
        session.set_deadline()
    try:
        line = await session.stream.line(conf.smtpd_sasl_response_limit)
    except LineTooLong as long:
        # What it began with is a secret.
        log.warning(f"{session.client.namaddr}: request longer than {len(long.part)}: (not shown)...")
        await session.stream.skip_line()
        raise _TooLong from None
    text = line.rstrip(b"\r\n")
    if text == b"*":
        raise _Aborted
    return _decoded(text.decode("latin-1"), "continued")


def _decoded(text: str, which: str) -> bytes:
    if not _BASE64.fullmatch(text):
        raise _NotBase64(which)
    return base64.b64decode(text)


def _shown(name: str) -> str:
    return printable(name)[:LONGEST_NAME]
