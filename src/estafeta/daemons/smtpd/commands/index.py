"""Every SMTP verb, and the function that answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from estafeta.daemons.smtpd.session import Session

Run = Callable[["Session", str], Awaitable[bytes]]


class Command:
    """`last`: nothing may be pipelined behind it (RFC 2920 3.1). `junk`: it does no work, so too many are errors."""

    __slots__ = ("counted", "junk", "last", "run")

    def __init__(self, run: Run, counted: str, *, last: bool = False, junk: bool = False) -> None:
        self.run = run
        self.counted = counted
        self.last = last
        self.junk = junk


def _later(module: str, function: str) -> Run:
    """The function when it is first needed: the command modules import the session, which imports this."""
    found: list[Run] = []

    async def run(session: Session, arguments: str) -> bytes:
        if not found:
            found.append(getattr(import_module(f"estafeta.daemons.smtpd.commands.{module}"), function))
        return await found[0](session, arguments)

    return run


COMMANDS: dict[str, Command] = {
    "MAIL": Command(_later("mail", "mail"), "mail"),
    "RCPT": Command(_later("rcpt", "rcpt"), "rcpt"),
    "DATA": Command(_later("data", "data"), "data", last=True),
    "BDAT": Command(_later("bdat", "bdat"), "bdat"),
    "RSET": Command(_later("simple", "rset"), "rset", junk=True),
    "QUIT": Command(_later("simple", "quit_"), "quit"),
    "HELO": Command(_later("helo", "helo"), "helo", last=True, junk=True),
    "EHLO": Command(_later("helo", "ehlo"), "ehlo", last=True, junk=True),
    "NOOP": Command(_later("simple", "noop"), "noop", last=True, junk=True),
    "VRFY": Command(_later("simple", "vrfy"), "vrfy", last=True, junk=True),
    "ETRN": Command(_later("simple", "etrn"), "etrn", junk=True),
    "STARTTLS": Command(_later("simple", "starttls"), "starttls", last=True),
    "AUTH": Command(_later("simple", "auth"), "auth", last=True),
    "XCLIENT": Command(_later("simple", "xclient"), "xclient", last=True),
    "XFORWARD": Command(_later("simple", "xforward"), "xforward", last=True),
}
UNKNOWN = Command(_later("simple", "unknown"), "unknown")
