"""Why a delivery over SMTP or LMTP did not work: the texts that logs, reports and mailq show, and their status codes.

A `Failure` says what one recipient would get if nothing better comes: the next server may still take the mail. `hard`
failures are final at once. What a server says that we do not understand is never hard: RFC 5321 4.2.1 knows five
first digits, and a misread answer must not cost a letter. (Postfix returns such mail with 5.5.0.)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from estafeta.mail.outcome import Bounced, Deferred
from estafeta.wire.smtp.client_reply import Reply

if TYPE_CHECKING:
    from estafeta.daemons.smtp.connection import Connection


class Failure:
    """One reason. `throttle`: the next hop as a whole is in trouble, so qmgr should be told."""

    __slots__ = ("diagnostic", "dsn", "hard", "relay", "remote_mta", "text", "throttle")

    def __init__(
        self,
        dsn: str,
        text: str,
        *,
        hard: bool = False,
        throttle: bool = False,
        relay: str = "none",
        remote_mta: str = "",
        diagnostic: str = "",
    ) -> None:
        self.dsn = dsn
        self.text = text
        self.hard = hard
        self.throttle = throttle
        self.relay = relay
        self.remote_mta = remote_mta
        self.diagnostic = diagnostic

    def outcome(self) -> Deferred | Bounced:
        kind = Bounced if self.hard else Deferred
        return kind(self.dsn, self.text, self.relay, self.remote_mta, self.diagnostic)


class SiteError(Exception):
    """A next hop, or one server of it, cannot be used now (or, if the failure is hard, ever)."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure
        self.connection: Connection | None = None
        """The conversation that led to this, if there was one."""


class LoopsBack(SiteError):
    """The way leads back to this machine. Nothing else is tried: a fallback relay would only send it round again."""


class Broken(Exception):
    """The conversation cannot go on, though the connection could."""


class NoTable(Broken):
    """A table that is needed in the middle of the conversation cannot answer. What is wrong with it was logged."""


class Garbled(Broken):
    """The server sent what is no reply; which command it answers can no longer be told."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


def soft(dsn: str) -> str:
    """The status code with the class "try again"."""
    return "4" + dsn[1:]


def refused_to_talk(shown: str, relay: str, host: str, reply: Reply, *, skip_5xx: bool) -> Failure:
    """The answer to the connection itself, or to EHLO and HELO. `skip_5xx`: a 5xx is no final word."""
    hard = reply.kind == 5 and not skip_5xx
    dsn = reply.dsn if hard or reply.kind == 4 else soft(reply.dsn)
    return Failure(
        dsn,
        f"host {shown} refused to talk to me: {reply.text}",
        hard=hard,
        throttle=True,
        relay=relay,
        remote_mta=host,
        diagnostic=reply.text,
    )


def said(shown: str, relay: str, host: str, reply: Reply, command: str) -> Failure:
    """A refusal of MAIL FROM, RCPT TO, DATA or the end of DATA. RFC 5321 4.2.1."""
    if reply.kind in (4, 5):
        return Failure(
            reply.dsn,
            f"host {shown} said: {reply.text} (in reply to {command} command)",
            hard=reply.kind == 5,
            relay=relay,
            remote_mta=host,
            diagnostic=reply.text,
        )
    return Failure(
        "4.5.0",
        f"Protocol error: host {shown} said: {reply.text} (in reply to {command} command)",
        relay=relay,
        remote_mta=host,
        diagnostic=reply.text,
    )


def lost(shown: str, relay: str, doing: str) -> Failure:
    """The connection broke. 4.4.2: bad connection (RFC 3463)."""
    return Failure("4.4.2", f"lost connection with {shown} while {doing}", throttle=True, relay=relay)


def timed_out(shown: str, relay: str, doing: str) -> Failure:
    return Failure("4.4.2", f"conversation with {shown} timed out while {doing}", throttle=True, relay=relay)


def no_table(shown: str, relay: str) -> Failure:
    """A table of ours cannot answer: nothing is wrong with the server."""
    return Failure("4.3.0", f"local data error while talking to {shown}", relay=relay)


def not_connected(place: str, error: OSError) -> Failure:
    """`place` is host[address]:port or host[path]. 4.4.1: no answer from host."""
    if isinstance(error, TimeoutError):
        reason = "Connection timed out"
    elif error.errno is not None:
        reason = os.strerror(error.errno)
    else:
        reason = str(error) or type(error).__name__
    return Failure("4.4.1", f"connect to {place}: {reason}", throttle=True)
