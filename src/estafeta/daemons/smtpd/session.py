"""One SMTP session: greet, take commands, answer, hang up; and count what goes wrong on the way.

The loop here knows nothing of any verb: `commands/index.py` lists them. A verb's function gets the session and the text
behind the verb, and returns the reply. Whatever arrives pipelined is answered with one write, since the stream
writes only when it has to wait.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.daemons.smtpd.arrival import choose_newline_rule, identify, is_in
from estafeta.daemons.smtpd.commands.index import COMMANDS, UNKNOWN, Command
from estafeta.daemons.smtpd.notice import trouble_of, trouble_of_reply
from estafeta.daemons.smtpd.odd import SHOWN, filtered, forbidden, listed, shortened
from estafeta.daemons.smtpd.policy import Policy
from estafeta.daemons.smtpd.restrictions.evaluate import Check, Refusal, judge
from estafeta.daemons.smtpd.shown import escaped, printable
from estafeta.daemons.smtpd.tally import Tally
from estafeta.daemons.smtpd.tls import NoTls, wrap
from estafeta.daemons.smtpd.transaction import Transaction
from estafeta.daemons.smtpd.upstream import learn_client
from estafeta.daemons.smtpd.watch import Watched
from estafeta.mail.envelope import Client as EnvelopeClient
from estafeta.mail.shown import without_secrets
from estafeta.mail.transcript import recording
from estafeta.net.peer import Client
from estafeta.net.stream import LineTooLong, PeerGone, Stream
from estafeta.queue.journal import SpoolError
from estafeta.services.anvil import Visit
from estafeta.services.postmaster import POLICY, PROTOCOL
from estafeta.tables.match import MatchList
from estafeta.tables.table import TableDown
from estafeta.wire.smtp.server import split_command

if TYPE_CHECKING:
    from estafeta.daemons.smtpd.commands.xforward import Forwarded

BAD_UTF8 = b"500 5.5.2 Error: bad UTF-8 syntax\r\n"
BAD_SYNTAX = b"500 5.5.2 Error: bad syntax\r\n"
GOODBYE = b"221 2.7.0 Error: I can break rules, too. Goodbye.\r\n"
MUST_DECLARE = b"553 5.6.7 Must declare SMTPUTF8 to send unicode address\r\n"
NOOP_OK = b"250 2.0.0 Ok\r\n"
NO_DSN = b"501 5.7.1 DSN support is disabled\r\n"
NOT_SYNCHRONIZED = b"554 5.5.0 Error: SMTP protocol synchronization\r\n"


NOTHING: dict[str, Refusal] = {}
"""Never changed."""


class Hangup(Exception):
    """Ends the session; `reason` (`lost connection`, `timeout`, `too many errors`) is logged, "" is not."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Session:
    """One client's conversation. `policy` is shared by all sessions of the process."""

    __slots__ = (
        "_end",
        "_envelope_client",
        "_friend",
        "_refused",
        "_release",
        "access_denied",
        "bare_newline_rule",
        "blameless",
        "client",
        "ehlo_reply",
        "ehlo_withheld",
        "errors",
        "etrn_domain",
        "forwarded",
        "helo",
        "ill_pipelining",
        "junk",
        "local_headers",
        "login",
        "login_method",
        "must_encrypt",
        "own_address",
        "own_port",
        "policy",
        "protocol",
        "put_off",
        "screened",
        "stream",
        "tally",
        "transaction",
        "trouble",
        "visit",
        "where",
    )

    def __init__(
        self,
        policy: Policy,
        stream: Stream,
        client: Client,
        release: Callable[[], None],
        own_address: str = "",
        own_port: str = "",
    ) -> None:
        self.policy = policy
        self.stream = stream
        self.client = client
        self.own_address = own_address
        self.own_port = own_port
        self._release = release
        self.helo: str | None = None
        self.protocol = "SMTP"
        self.transaction = Transaction()
        self.etrn_domain: str | None = None
        self.errors = 0
        self.trouble = 0
        """Classes of notify_classes that mistakes since the last message belong to, as bits."""
        self.put_off: dict[str, Refusal] = NOTHING
        """Without smtpd_delay_reject: what CONNECT, HELO and MAIL found that defers mail if nothing refuses it."""
        self._refused = 0
        """The class of the refusal under way, if a check has refused."""
        self._end = ""
        """Why the session ended before its time."""
        self.junk = 0
        self.screened = False
        """Whether postscreen has passed the client on: then it has judged what was said too early."""
        self.where = "CONNECT"
        """The last command, for log lines about a broken connection."""
        self.tally = Tally()
        self.access_denied = False
        self.ill_pipelining = False
        self.bare_newline_rule = ""
        """no, normalize, reject or note, as it applies to this client."""
        self.ehlo_reply: bytes | None = None
        self.ehlo_withheld: frozenset[str] = frozenset()
        """Extensions that this client is not offered, by their keywords: what needs them is refused."""
        self.blameless = False
        """The refusal under way is no fault of the client's."""
        self.local_headers: bool | None = None
        """Whether headers of its mail are rewritten as our own; None: not asked yet."""
        self.login = ""
        """Who has logged in, by AUTH or by what XCLIENT says; "" for nobody."""
        self.must_encrypt = policy.tls is not None and policy.tls.required
        """Only STARTTLS and little else is allowed before it."""
        self.login_method = ""
        """The SASL mechanism of that."""
        self.forwarded: Forwarded | None = None
        """What XFORWARD said about the next message."""
        self.visit: Visit | None = None
        """The client's connection as anvil(8) counts it; None: it was not told."""
        self._friend: bool | None = None
        self._envelope_client: EnvelopeClient | None = None

    @property
    def queue_id(self) -> str:
        return self.transaction.queue_id

    # --- the conversation

    async def run(self) -> None:
        """From the greeting to the last log line. Never raises, whatever the client does."""
        stream = self.stream
        stream.timeout = self.policy.conf.smtpd_timeout
        if self.policy.postmaster.wanted:
            stream.record = recording()
        try:
            known = not self.policy.conf.smtpd_upstream_proxy_protocol or await learn_client(self)
            await identify(self)
            if self.policy.watch and await is_in(self, self.policy.watch):
                stream.record = Watched(stream.record, self.client.namaddr)
            log.info(f"connect from {self.client.namaddr}")
            try:
                await self._begin(known)
                await self.converse()
            except PeerGone:
                self._ended("lost connection")
            except TimeoutError:
                self._ended("timeout")
                await self.last_word(f"421 4.4.2 {self.policy.conf.myhostname} Error: timeout exceeded\r\n".encode())
            except Hangup as end:
                if end.reason:
                    self._ended(end.reason)
            finally:
                self.reset()
                if self.trouble:
                    self._tell_postmaster()
                log.info(f"disconnect from {self.client.namaddr}{self.tally}")
        except Exception as error:
            log.error(f"session with {self.client.namaddr} ended by an error in this program: {error!r}")
            stream.write(f"421 4.3.0 {self.policy.conf.myhostname} Server error\r\n".encode())
            raise
        finally:
            stream.close()
            if self.visit is not None and self.policy.limits is not None:
                self.policy.limits.leave(self)
            self._release()

    async def _begin(self, known: bool) -> None:
        """Greet, unless the client is not `known` or speaks first. RFC 5321 4.3.1"""
        if not known:
            await self.last_word(f"421 4.3.0 {self.policy.conf.myhostname} Server local error\r\n".encode())
            raise Hangup
        tls = self.policy.tls
        if tls is not None and tls.wrapper and await self._wrapped():
            return
        await self.refuse_early_talk()
        reply = await self.greet()
        if reply[0] >= 0x34 and self.policy.dressing is not None:
            reply = await self.policy.dressing.dressed(self, self._soft(reply))
        self.say(reply)

    async def _wrapped(self) -> bool:
        """The handshake of smtpd_tls_wrappermode. True, and answered, if the client has to leave."""
        try:
            refusal = await wrap(self)
        except NoTls:
            raise Hangup from None
        if refusal:
            self.say(refusal)
        return bool(refusal)

    def _tell_postmaster(self) -> None:
        """notify_classes: mistakes that no later message has made good."""
        subject = f"SMTP server: errors from {self.client.namaddr}"
        self.policy.postmaster.tell(self.trouble, subject, self.stream.record or (), reason=self._end)

    def become(self, client: Client, *, helo: str | None, protocol: str, own_address: str) -> None:
        """XCLIENT: from now on this is another client's session, which has not begun yet. `greet` comes next."""
        self.reset()
        if self.policy.limits is not None:
            self.policy.limits.leave(self)
        self.client = client
        self.helo = helo
        self.protocol = protocol
        self.own_address = own_address
        self.access_denied = False
        self.ehlo_reply = None
        self.ehlo_withheld = frozenset()
        self.login = ""
        self.login_method = ""
        self.put_off = NOTHING
        self._friend = None
        self._envelope_client = None

    def begin_anew(self) -> None:
        """STARTTLS: what the client said in the clear, perhaps somebody else said. RFC 3207 4.2"""
        self.reset()
        self.helo = None
        self.protocol = "SMTP"
        self.remember("HELO", None)
        self.remember("MAIL", None)
        self.etrn_domain = None
        self.ehlo_reply = None
        self.ehlo_withheld = frozenset()
        self.login = ""
        self.login_method = ""
        self.local_headers = None
        self.must_encrypt = False

    async def greet(self) -> bytes:
        """The greeting, or why there is none."""
        policy = self.policy
        if self.where == "XCLIENT":
            await choose_newline_rule(self)
        if policy.limits is not None:
            too_many = await policy.limits.greet(self)
            if too_many is not None:
                return too_many
        if not policy.conf.smtpd_delay_reject and policy.client:
            check = Check(self, self.where)
            refusal = await judge(check, policy.client, self.client.namaddr_plain, "Client host")
            if refusal is not None:
                self.access_denied = True
                self.trouble |= trouble_of(refusal)
                return self.refused(check, refusal)
            self.remember("CONNECT", check.defer_if_permit)
        return policy.greeting

    def remember(self, stage: str, deferral: Refusal | None) -> None:
        """Keep, for the recipients to come, what a stage before RCPT would only have deferred; None forgets it."""
        if deferral is not None:
            self.put_off = {**self.put_off, stage: deferral}
        elif stage in self.put_off:
            self.put_off = {other: kept for other, kept in self.put_off.items() if other != stage}

    async def may_xclient(self) -> bool:
        """Whether the client may speak for another one. Raises TableDown, logged."""
        return bool(self.policy.xclient_hosts) and await self._may(self.policy.xclient_hosts, "XCLIENT")

    async def may_xforward(self) -> bool:
        """Whether the client may say where a message came from. Raises TableDown, logged."""
        return bool(self.policy.xforward_hosts) and await self._may(self.policy.xforward_hosts, "XFORWARD")

    async def may_xverp(self) -> bool:
        """Whether the client may have its mail sent with VERP. Raises TableDown, logged."""
        return bool(self.policy.verp_clients) and await self._may(self.policy.verp_clients, "XVERP")

    async def _may(self, clients: MatchList, feature: str) -> bool:
        try:
            return await clients.matches_address(self.client.name, self.client.address)
        except TableDown:
            tables = ", ".join(getattr(self.policy.conf, clients.name))
            log.warning(f"{clients.name}: {tables}: table lookup problem")
            namaddr = self.client.namaddr
            log.warning(f"don't know if EHLO feature {feature} should be announced to {namaddr}")
            raise

    def no_local_data(self) -> bytes:
        """The reply where a table is down without which the session cannot go on; it ends with that. Logged."""
        text = f"421 4.3.0 {self.policy.conf.myhostname} Server local data error"
        log.info(f"{self.queue_id or 'NOQUEUE'}: reject: {self.where} from {self.client.namaddr}: {text}")
        return f"{text}\r\n".encode()

    async def refuse_early_talk(self) -> None:
        """Whether the client waits for our greeting; raises Hangup if it does not, and has to. RFC 5321 4.3.1"""
        if self.stream.pending and not self.screened and not self._in_step(self.where):
            await self.last_word(NOT_SYNCHRONIZED)
            raise Hangup

    async def converse(self) -> None:
        """Take commands until the client leaves or has to. Raises Hangup, PeerGone, TimeoutError."""
        stream, conf, dressing = self.stream, self.policy.conf, self.policy.dressing
        limit, hard, soft = conf.line_length_limit, conf.smtpd_hard_error_limit, conf.smtpd_soft_error_limit
        while True:
            if self.errors >= hard:
                await self.last_word(f"421 4.7.0 {conf.myhostname} Error: too many errors\r\n".encode())
                raise Hangup("too many errors")
            if conf.smtpd_per_request_deadline:
                self.set_deadline()
            try:
                line = await stream.line(limit)
            except LineTooLong as long:
                line = await shortened(self, long.part)
            reply = await self.answer(line)
            if self.errors >= soft and conf.smtpd_error_sleep_time:
                stream.flush()
                await asyncio.sleep(conf.smtpd_error_sleep_time)
            if reply:
                if dressing is not None and reply[0] >= 0x34:
                    reply = await dressing.dressed(self, self._soft(reply))
                self.say(reply)

    async def answer(self, line: bytes) -> bytes:
        """The reply to one command line."""
        if self.policy.command_filter:
            line = await filtered(self, line)
        if not line.endswith(b"\r\n"):
            if line.endswith(b"\n") and self.bare_newline_rule == "reject":
                return await self._bare_newline_in_command()
            line = line.rstrip(b"\r\n") + b"\r\n"
        try:
            text = line[:-2].decode("utf-8", self.policy.odd_bytes)
        except UnicodeDecodeError:
            self.errors += 1
            self.trouble |= PROTOCOL
            return BAD_UTF8
        verb, arguments = split_command(text)
        if not verb:
            self.errors += 1
            self.trouble |= PROTOCOL
            return BAD_SYNTAX
        command = COMMANDS.get(verb)
        if command is None:
            if await listed(self.policy.noop_commands, verb):
                return NOOP_OK
            if await forbidden(self, verb, text):
                self.tally.add("unknown", False)
                self.stream.write(GOODBYE)
                raise Hangup
            self.where = "UNKNOWN"
            return await self._perform(UNKNOWN, text)
        if not self.access_denied:
            self.where = verb
        if self.stream.pending and (command.last or self.protocol == "SMTP") and not self._in_step(verb):
            self.errors += 1
            self.trouble |= PROTOCOL
            self.tally.add(command.counted, False)
            await self.last_word(NOT_SYNCHRONIZED)
            raise Hangup
        if self.must_encrypt and not command.in_the_clear:
            self.tally.add(command.counted, False)
            self.errors += 1
            return b"530 5.7.0 Must issue a STARTTLS command first\r\n"
        if self.access_denied and verb != "QUIT":
            self.tally.add(command.counted, False)
            self.errors += 1
            self.trouble |= POLICY
            return f"503 5.7.0 Error: access denied for {self.client.namaddr_plain}\r\n".encode()
        if command.junk:
            if self.junk > self.policy.conf.smtpd_junk_command_limit:
                self.errors += 1
            self.junk += 1
        return await self._perform(command, arguments)

    async def _perform(self, command: Command, arguments: str) -> bytes:
        try:
            reply = await command.run(self, arguments)
        except (PeerGone, TimeoutError):
            self.tally.add(command.counted, False)
            raise
        good = not reply or reply[0] < 0x34 or self.blameless  # 2xx or 3xx
        self.blameless = False
        if not good:
            self.errors += 1
            self.trouble |= self._refused or trouble_of_reply(reply)
            self._refused = 0
        self.tally.add(command.counted, good)
        return reply

    def say(self, reply: bytes) -> None:
        """Queue a reply. 421 and 521 end the session, as the codes say."""
        if reply[0] == 0x35:
            reply = self._soft(reply)
        self.stream.write(reply)
        if reply.startswith((b"421", b"521")):
            raise Hangup

    async def last_word(self, reply: bytes) -> None:
        """Queue a refusal after which the session ends whatever its code."""
        reply = self._soft(reply)
        dressing = self.policy.dressing
        self.stream.write(reply if dressing is None else await dressing.dressed(self, reply))

    def _soft(self, reply: bytes) -> bytes:
        return softened(reply) if self.policy.conf.soft_bounce and reply.startswith(b"5") else reply

    def refused(self, check: Check, refusal: Refusal) -> bytes:
        """Log a refusal; returns it as it goes to the client."""
        if self.policy.conf.soft_bounce and refusal.code >= 500:
            refusal = Refusal(refusal.code - 100, refusal.dsn, refusal.text)
        check.log("reject", self.policy.reply_in_log(str(refusal)))
        self._refused = trouble_of(refusal)
        return self.policy.to_wire(str(refusal))

    def _in_step(self, verb: str) -> bool:
        """Whether to go on though the client sent more before it could know our answer. RFC 2920 3.1."""
        forbidden = self.policy.conf.smtpd_forbid_unauth_pipelining
        if not self.ill_pipelining or forbidden:
            self.ill_pipelining = True
            ahead = self.stream.peek(SHOWN)
            if verb == "AUTH" and split_command(ahead.partition(b"\n")[0].decode("latin-1"))[0] not in COMMANDS:
                ahead = b"(not shown)"  # it does not wait for the reply, and says its password next
            shown = escaped(without_secrets(ahead))
            log.info(f"improper command pipelining after {verb} from {self.client.namaddr}: {shown}")
        return not forbidden

    async def _bare_newline_in_command(self) -> bytes:
        check = Check(self, self.where, self.transaction.sender)
        check.log("reject", "bare <LF> received")
        await self.last_word(self.bare_newline_reply())
        raise Hangup

    def bare_newline_reply(self) -> bytes:
        """The reply of smtpd_forbid_bare_newline = reject."""
        conf = self.policy.conf
        code = conf.smtpd_forbid_bare_newline_reject_code
        return f"{code} 5.5.2 {conf.myhostname} Error: bare <LF> received\r\n".encode()

    def _ended(self, reason: str) -> None:
        self._end = reason
        log.info(f"{reason} after {self.where} from {self.client.namaddr}")

    # --- what commands need

    def set_deadline(self) -> None:
        """smtpd_per_request_deadline: the time limit is for a whole command, or for the content to begin."""
        self.stream.until = asyncio.get_running_loop().time() + self.policy.conf.smtpd_timeout

    def extend_deadline(self, arrived: int) -> None:
        """More time for content that arrives at smtpd_min_data_rate at least, but never more than smtpd_timeout from
        now. `arrived`: bytes."""
        if self.stream.until is not None:
            conf = self.policy.conf
            latest = asyncio.get_running_loop().time() + conf.smtpd_timeout
            self.stream.until = min(self.stream.until + arrived / conf.smtpd_min_data_rate, latest)

    def reset(self) -> None:
        """Forget the transaction. What was fed to the spool is given up."""
        transaction = self.transaction
        self.forwarded = None
        if self.stream.record:
            self._shorten_record()
        if transaction.submission is not None:
            transaction.submission.abandon()
        if transaction.sender is not None or transaction.queue_id or transaction.chunks is not None:
            self.transaction = Transaction()

    def _shorten_record(self) -> None:
        """smtpd_history_flush_threshold: of a long session, the postmaster hears what was said since the last pause."""
        record = self.stream.record
        if record and len(record) > self.policy.conf.smtpd_history_flush_threshold:
            record.clear()

    def open_queue_id(self) -> bytes | None:
        """The message gets its queue id, and the log says whose it is. A reply if the spool gives none now."""
        try:
            queue_id = self.transaction.queue_id = self.policy.intake.new_id()
        except SpoolError as error:
            log.warning(f"{self.where} from {self.client.namaddr}: {error}")
            return b"451 4.3.0 Error: queue file write error\r\n"
        if self.forwarded is None and not self.login and not self.transaction.login_sender:
            log.info(f"{queue_id}: client={self.client.namaddr}")
            return None
        told = self._login_logged()
        if self.forwarded is not None:
            told += self.forwarded.logged(self.policy.conf.smtpd_client_port_logging)
        log.info(f"{queue_id}: client={self.client.namaddr}{told}")
        return None

    def _login_logged(self) -> str:
        """What the log's `client=` line says about who has logged in."""
        told = f", sasl_method={printable(self.login_method)}, sasl_username={self.login}" if self.login else ""
        sender = self.transaction.login_sender
        return f"{told}, sasl_sender={printable(sender)}" if sender else told

    def delivered(self) -> None:
        """A message was queued: the client means well, its errors are forgiven."""
        self.errors = 0
        self.junk = 0
        self.trouble = 0
        self.forwarded = None
        if self.stream.record:
            self._shorten_record()
        self.transaction = Transaction()

    def is_own_host(self) -> bool:
        """Whether the client is this host itself."""
        return self.client.address in self.policy.own_addresses

    async def in_mynetworks(self) -> bool:
        """Whether the client is in mynetworks; asked once a session. Raises TableDown."""
        if self._friend is None:
            self._friend = await self.policy.mynetworks.matches_address(self.client.name, self.client.address)
        return self._friend

    def envelope_client(self) -> EnvelopeClient:
        """The client as it is kept with each of its messages: who XFORWARD said that it was, or itself."""
        if self.forwarded is not None:
            told = self.forwarded
            return EnvelopeClient(
                told.name,
                told.get("ADDR"),
                told.get("PORT"),
                told.name,
                told.get("HELO"),
                told.get("PROTO"),
                self.login_method,
                self.login,
                self.transaction.login_sender,
                ident=told.get("IDENT"),
            )
        if self.login or self.transaction.login_sender:
            return self._known_client()
        known = self._envelope_client
        if known is None or known.helo != (self.helo or "") or known.protocol != self.protocol:
            client = self.client
            known = self._envelope_client = EnvelopeClient(
                client.name, client.address, client.port, client.reverse_name, self.helo or "", self.protocol
            )
        return known

    def _known_client(self) -> EnvelopeClient:
        """One that has logged in, or says that somebody has."""
        client = self.client
        return EnvelopeClient(
            client.name,
            client.address,
            client.port,
            client.reverse_name,
            self.helo or "",
            self.protocol,
            self.login_method,
            self.login,
            self.transaction.login_sender,
        )


def softened(reply: bytes) -> bytes:
    """soft_bounce: 4xx in place of 5xx, and the class of the enhanced code likewise."""
    return _HARD.sub(lambda hard: b"4" + hard[1] + (b"4." if hard[2] else b""), reply)


_HARD = re.compile(rb"^5(\d\d[ -])(5\.)?", re.MULTILINE)


def illegal_address(session: Session, verb: str, path: str) -> None:
    """Log an address that is none."""
    shown = printable(session.policy.in_log(path))
    log.warning(f"Illegal address syntax from {session.client.namaddr} in {verb} command: {shown}")
