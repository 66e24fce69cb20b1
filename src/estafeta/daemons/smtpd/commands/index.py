"""Every SMTP verb, and the function that answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from estafeta.daemons.smtpd.session import Session

Run = Callable[["Session", str], Awaitable[bytes]]


class Command:
    """One verb. `last`: nothing may be pipelined behind it (RFC 2920 3.1). `junk`: it does no work; many are errors."""

    __slots__ = ("_function", "_module", "_run", "counted", "in_the_clear", "junk", "last")

    def __init__(
        self,
        module: str,
        function: str,
        counted: str,
        *,
        last: bool = False,
        junk: bool = False,
        in_the_clear: bool = False,
    ) -> None:
        self._module = module
        self._function = function
        self._run: Run | None = None
        self.counted = counted
        """Its name in the disconnect line."""
        self.junk = junk
        self.in_the_clear = in_the_clear
        """Whether it is allowed before STARTTLS where TLS is required."""
        self.last = last

    @property
    def run(self) -> Run:
        """The function, found at first use: the command modules import the session, which imports this."""
        if self._run is None:
            module = import_module(f"estafeta.daemons.smtpd.commands.{self._module}")
            self._run = getattr(module, self._function)
        assert self._run is not None
        return self._run


COMMANDS: dict[str, Command] = {
    "MAIL": Command("mail", "mail", "mail"),
    "RCPT": Command("rcpt", "rcpt", "rcpt"),
    "DATA": Command("data", "data", "data", last=True),
    "BDAT": Command("bdat", "bdat", "bdat"),
    "RSET": Command("simple", "rset", "rset", junk=True),
    "QUIT": Command("simple", "quit_", "quit", in_the_clear=True),
    "HELO": Command("helo", "helo", "helo", last=True, junk=True, in_the_clear=True),
    "EHLO": Command("helo", "ehlo", "ehlo", last=True, junk=True, in_the_clear=True),
    "NOOP": Command("simple", "noop", "noop", last=True, junk=True, in_the_clear=True),
    "VRFY": Command("simple", "vrfy", "vrfy", last=True, junk=True),
    "ETRN": Command("etrn", "etrn", "etrn", junk=True),
    "STARTTLS": Command("starttls", "starttls", "starttls", in_the_clear=True),
    "AUTH": Command("auth", "auth", "auth"),
    "XCLIENT": Command("xclient", "xclient", "xclient", in_the_clear=True),
    "XFORWARD": Command("xforward", "xforward", "xforward"),
}
UNKNOWN = Command("simple", "unknown", "unknown")
