"""postscreen's own SMTP session: with clients that are to be refused, or tested in conversation.

It takes no mail. RCPT is answered with the reason for which the client is refused, or with 450, and whose mail it was
is logged; DATA ends the session. A client that has sent RCPT and broken no rule has passed, and may come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.mail.logline import delay_text, shown
from estafeta.mail.shown import escaped, printable, without_secrets
from estafeta.net.stream import LineTooLong, PeerGone, Stream
from estafeta.tables.table import TableDown
from estafeta.wire.smtp.path import PathError, parse_path
from estafeta.wire.smtp.server import split_command, split_path_command, words

from . import record, replies
from .policy import DROP, ENFORCE

if TYPE_CHECKING:
    from .policy import Policy
    from .visitor import Visitor

SHOWN = 100
"""Bytes of a client's odd input that go to the log."""


class Hangup(Exception):
    """The session ends; what is to be said has been said."""


class Session:
    """One conversation. `await run(...)`, and it is over."""

    def __init__(self, policy: Policy, stream: Stream, visitor: Visitor, patience: Callable[[], float]) -> None:
        """`patience()` gives the seconds that a command may take."""
        self.policy = policy
        self.stream = stream
        self.visitor = visitor
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._logged: set[int] = set()
        """Tests that have failed: each is logged once."""
        self.where = "CONNECT"
        self.commands = 0
        self.helo = ""
        self.protocol = "SMTP"
        self.sender: str | None = None
        self._ehlo: str | None = None

    async def run(self, *, greet: bool) -> None:
        """`greet`: say 220 first. A client that talked before that is answered at once."""
        try:
            if greet:
                await self.say(self.policy.greeting)
            while True:
                await self.answer(await self._line())
        except Hangup:
            pass
        except PeerGone:
            elapsed = delay_text(self._loop.time() - self._began, self.policy.conf.delay_logging_resolution_limit)
            log.info(f"HANGUP after {elapsed} from {self.visitor.name} in tests after SMTP handshake")
        except TimeoutError:
            log.info(f"COMMAND TIME LIMIT from {self.visitor.name} after {self.where}")
            await self.say(f"421 4.4.2 {self.policy.conf.myhostname} Error: timeout exceeded")
        self.stream.flush()
        if self.stream.tls is not None:
            self.policy.tls.ended(self.visitor)

    async def say(self, reply: str) -> None:
        text = await self.policy.dressing.dressed(reply, self.visitor)
        self.stream.write(f"{text}\r\n".encode("utf-8", "surrogateescape"))

    async def last_word(self, reply: str) -> None:
        await self.say(reply)
        raise Hangup

    async def _line(self) -> bytes:
        # The limit is for the whole line: who sends a byte now and then does not prolong it.
        self.stream.until = self._loop.time() + self._patience()
        try:
            return await self.stream.line(self.policy.conf.line_length_limit)
        except LineTooLong:
            log.info(f"COMMAND LENGTH LIMIT from {self.visitor.name} after {self.where}")
            await self.last_word(self._try_later())
            raise

    def _try_later(self) -> str:
        return f"421 {self.policy.conf.myhostname} Service unavailable - try again later"

    # --- one line

    async def answer(self, line: bytes) -> None:
        body = line.removesuffix(b"\n")
        bare = not body.endswith(b"\r")
        text = body.removesuffix(b"\r").decode("utf-8", "surrogateescape")
        name = self.visitor.name
        if bare and record.BARE_NEWLINE not in self._logged:
            log.info(f"BARE NEWLINE from {name} after {_command(text)}")
            await self._failed(record.BARE_NEWLINE, self.policy.conf.postscreen_bare_newline_action)
        if self.policy.command_filter:
            text = await self._filtered(text)
        verb, arguments = split_command(text)
        if record.NON_SMTP not in self._logged and await self._forbidden(verb):
            log.info(f"NON-SMTP COMMAND from {name} after {self.where}: {printable(text.strip())[:SHOWN]}")
            action = self.policy.conf.postscreen_non_smtp_command_action
            await self._failed(record.NON_SMTP, action, replies.RULES_521)
        self.where = verb if verb in COMMANDS else "UNIMPLEMENTED"
        if self.stream.pending and record.PIPELINING not in self._logged:
            # With the command before it: behind AUTH there may be a secret.
            said = body + b"\n"
            shown = without_secrets(said + self.stream.peek(SHOWN))
            ahead = escaped(shown.removeprefix(said)) if shown.startswith(said) else "(not shown)"
            log.info(f"COMMAND PIPELINING from {name} after {printable(verb[:SHOWN])}: {ahead}")
            await self._failed(record.PIPELINING, self.policy.conf.postscreen_pipelining_action)
        self.commands += 1
        if self.commands > self.policy.conf.postscreen_command_count_limit:
            log.info(f"COMMAND COUNT LIMIT from {name} after {self.where}")
            await self.last_word(self._try_later())
        if self._must_encrypt and verb not in IN_THE_CLEAR:
            await self.say("530 5.7.0 Must issue a STARTTLS command first")
            return
        command = COMMANDS.get(verb)
        if command is None:
            await self.say("502 5.5.2 Error: command not recognized")
            return
        await command(self, arguments)

    @property
    def _must_encrypt(self) -> bool:
        return self.policy.tls.level == "encrypt" and self.stream.tls is None

    async def _failed(self, test: int, action: str, last_word: str = replies.PROTOCOL_521) -> None:
        """A rule was broken; what follows is for the administrator to say."""
        visitor = self.visitor
        self._logged.add(test)
        if action == DROP:
            visitor.refused = True
            await self.last_word(last_word)
        if action == ENFORCE:
            visitor.refused = True
            visitor.reply = replies.PROTOCOL_550

    async def _filtered(self, text: str) -> str:
        try:
            value = await self.policy.command_filter.find(text, empty=True)
        except TableDown as error:
            log.warning(f"postscreen_command_filter: {error}")
            return text
        if value is None:
            return text
        log.info(f'{self.visitor.name}: replacing command "{_command(text)}" with "{_command(value)}"')
        return value

    async def _forbidden(self, verb: str) -> bool:
        """A word that mail programs do not say. Mail headers, which end in a colon, are such words."""
        if not verb:
            return False
        if verb.endswith(":"):
            return True
        try:
            return bool(self.policy.forbidden) and await self.policy.forbidden.matches_name(verb)
        except TableDown as error:
            log.warning(f"postscreen_forbidden_commands: {error}")
            return False

    def passed(self) -> None:
        """The client has come to RCPT: the tests of this session that did not fail are passed."""
        self.visitor.passed |= self.visitor.todo & record.LATE

    @property
    def ignored(self) -> frozenset[int]:
        """Tests that failed, whatever was made of it."""
        return frozenset(self._logged)

    # --- commands

    async def on_helo(self, arguments: str) -> None:
        if not arguments:
            await self.say("501 Syntax: HELO hostname")
            return
        self._introduced(arguments, "SMTP")
        await self.say(f"250 {self.policy.conf.myhostname}")

    async def on_ehlo(self, arguments: str) -> None:
        if not arguments:
            await self.say("501 Syntax: EHLO hostname")
            return
        if self._ehlo is None:
            try:
                discard = await self._withheld()
            except TableDown as error:
                # Offering everything may be just what the administrator wants to prevent.
                log.warning(f"{self.policy.discard_maps.specs[0]} lookup error for {self.visitor.address}: {error}")
                await self.last_word(replies.RESOURCES_421)
                return
            self._ehlo = self.policy.ehlo(discard, encrypted=self.stream.tls is not None)
        self._introduced(arguments, "ESMTP")
        await self.say(self._ehlo)

    async def _withheld(self) -> frozenset[str]:
        if not self.policy.discard_maps:
            return self.policy.discard
        value = await self.policy.discard_maps.find(self.visitor.address)
        if value is None:
            return self.policy.discard
        discard = self.policy.keywords(value)
        shown = " ".join(keyword for keyword in _KNOWN if keyword in discard)
        if shown and "SILENT-DISCARD" not in discard:
            # Without a colon before the port, as in Postfix.
            log.info(f"[{self.visitor.address}]{self.visitor.port}: discarding EHLO keywords: {shown}")
        return discard

    def _introduced(self, name: str, protocol: str) -> None:
        self.helo = printable(name)
        self.protocol = protocol
        self.sender = None

    async def on_mail(self, arguments: str) -> None:
        if self.policy.conf.postscreen_helo_required and not self.helo:
            await self.say("503 5.5.1 Error: send HELO/EHLO first")
            return
        if self.sender is not None:
            await self.say("503 5.5.1 Error: nested MAIL command")
            return
        path = _path_of(arguments, "FROM")
        if path is None:
            await self.say("501 5.5.4 Syntax: MAIL FROM:<address>")
            return
        try:
            self.sender = _address(path)
        except PathError:
            await self.say("501 5.1.7 Bad sender address syntax")
            return
        await self.say("250 2.1.0 Ok")

    async def on_rcpt(self, arguments: str) -> None:
        self.passed()
        if self.sender is None:
            await self.say("503 5.5.1 Error: need MAIL command")
            return
        path = _path_of(arguments, "TO")
        if path is None:
            await self.say("501 5.5.4 Syntax: RCPT TO:<address>")
            return
        try:
            recipient = _address(path)
        except PathError:
            await self.say("501 5.1.3 Bad recipient address syntax")
            return
        log.info(
            f"NOQUEUE: reject: RCPT from {self.visitor.name}: {self.policy.dressing.plain(self._refusal)}; "
            f"from=<{_shown(self.sender)}>, to=<{_shown(recipient)}>, proto={self.protocol}, helo=<{self.helo}>"
        )
        await self.say(self._refusal)

    @property
    def _refusal(self) -> str:
        return self.visitor.reply or replies.UNAVAILABLE_450

    async def on_data(self, arguments: str) -> None:
        log.info(f"DATA without valid RCPT from {self.visitor.name}")
        if arguments:
            await self.last_word("501 5.5.4 Syntax: DATA")
        if self.sender is None:
            await self.last_word("503 5.5.1 Error: need RCPT command")
        await self.last_word("554 5.5.1 Error: no valid recipients")

    async def on_bdat(self, arguments: str) -> None:
        log.info(f"BDAT without valid RCPT from {self.visitor.name}")
        if not 1 <= len(arguments.split()) <= 2:
            await self.last_word("501 5.5.4 Syntax: BDAT count [LAST]")
        if self.sender is None:
            await self.last_word("554 5.5.1 Error: need MAIL command")
        await self.last_word("554 5.5.1 Error: no valid recipients")

    async def on_rset(self, arguments: str) -> None:
        self.sender = None
        await self.say("250 2.0.0 Ok")

    async def on_noop(self, arguments: str) -> None:
        await self.say("250 2.0.0 Ok")

    async def on_vrfy(self, arguments: str) -> None:
        if not arguments:
            await self.say("501 5.5.4 Syntax: VRFY address")
        elif self.policy.conf.postscreen_disable_vrfy_command:
            await self.say("502 5.5.1 VRFY command is disabled")
        else:
            await self.say(self._refusal)

    async def on_etrn(self, arguments: str) -> None:
        if self.policy.conf.postscreen_helo_required and not self.helo:
            await self.say("503 5.5.1 Error: send HELO/EHLO first")
        elif not arguments:
            await self.say("500 Syntax: ETRN domain")
        else:
            await self.say("458 Unable to queue messages")

    async def on_quit(self, arguments: str) -> None:
        await self.last_word("221 2.0.0 Bye")

    async def on_starttls(self, arguments: str) -> None:
        if arguments:
            await self.say("501 5.5.4 Syntax: STARTTLS")  # as smtpd does; Postfix's postscreen speaks of EHLO here
            return
        if self.stream.tls is not None:
            await self.say("554 5.5.1 Error: TLS already active")
            return
        if self.policy.tls.level == "none" or "STARTTLS" in self.policy.discard:
            await self.say("502 5.5.1 Error: command not implemented")
            return
        if self.policy.tls.server is None:
            await self.say("454 4.7.0 TLS not available due to local problem")
            return
        await self.say("220 2.0.0 Ready to start TLS")
        self.stream.take_pending()  # said in the clear, perhaps by somebody else: RFC 3207 6
        self.stream.until = None
        await self.policy.tls.establish(self.stream, self.visitor)
        self._ehlo = self.sender = None
        self.helo = ""  # the protocol stays, as in Postfix, until the next greeting says otherwise


_LOGGED = "8BITMIME AUTH ETRN PIPELINING SIZE VRFY XCLIENT XFORWARD STARTTLS ENHANCEDSTATUSCODES DSN SMTPUTF8 CHUNKING"
_KNOWN = tuple(_LOGGED.split())
"""In the order in which Postfix's log names them; it passes over others."""


Run = Callable[[Session, str], Awaitable[None]]

COMMANDS: dict[str, Run] = {
    "BDAT": Session.on_bdat,
    "DATA": Session.on_data,
    "EHLO": Session.on_ehlo,
    "ETRN": Session.on_etrn,
    "HELO": Session.on_helo,
    "MAIL": Session.on_mail,
    "NOOP": Session.on_noop,
    "QUIT": Session.on_quit,
    "RCPT": Session.on_rcpt,
    "RSET": Session.on_rset,
    "STARTTLS": Session.on_starttls,
    "VRFY": Session.on_vrfy,
}

IN_THE_CLEAR = frozenset({"EHLO", "HELO", "NOOP", "QUIT", "STARTTLS"})
"""What may come before STARTTLS where TLS is required. RFC 3207 4."""


def _command(text: str) -> str:
    """A command line as it may be logged."""
    shown = without_secrets(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
    return printable(shown[:SHOWN])


def _path_of(arguments: str, keyword: str) -> str | None:
    """What follows `FROM:`; "" if nothing does. None for bad syntax."""
    found = split_path_command(arguments, keyword)
    if found is not None:
        return found[0]
    rest = arguments[len(keyword) :]
    if arguments[: len(keyword)].upper() == keyword and rest.strip() == ":":
        return ""
    parts = words(arguments)
    if len(parts) > 1 and parts[0].upper() == f"{keyword}:":
        return parts[1]
    return None


def _address(path: str) -> str:
    """Raises PathError."""
    return parse_path(path, utf8=True) if path else ""


def _shown(address: str) -> str:
    return printable(shown(address)) if address else ""
