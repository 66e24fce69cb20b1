"""`sendmail -bs`: an SMTP session on standard input and output, for programs that know no other way to send.

It is smtpd's session, with the maildrop in the place of the spool: whoever runs the command has no rights to more. The
client is this host, and restrictions do not apply to it, as it could hand in the same mail without SMTP; only the mail
system's owner gets them, to try them out or to serve inetd(8).
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

from estafeta.commands.submit_rights import login_name
from estafeta.config.instance import Config
from estafeta.daemons.smtpd.policy import Policy
from estafeta.daemons.smtpd.session import Session
from estafeta.intake import verdict
from estafeta.intake.maildrop import FOLDER, Draft, Drop, new_name
from estafeta.intake.verdict import Queued, Refused, TryAgain, Verdict
from estafeta.mail import domain
from estafeta.mail.envelope import Envelope
from estafeta.net.dns import Resolver
from estafeta.net.peer import Client
from estafeta.net.stream import Stream
from estafeta.routing.routing import Routing
from estafeta.skeleton.log import for_command
from estafeta.skeleton.trigger import trigger

EX_OK, EX_TEMPFAIL = 0, 75
PIECE = 64 * 1024

WITHOUT_RULES = {
    "mynetworks": "127.0.0.0/8",
    "smtpd_relay_restrictions": "permit_mynetworks, reject",
    "smtpd_client_restrictions": "",
    "smtpd_helo_restrictions": "",
    "smtpd_sender_restrictions": "",
    "smtpd_recipient_restrictions": "",
    "smtpd_data_restrictions": "",
    "smtpd_end_of_data_restrictions": "",
    "smtpd_etrn_restrictions": "",
    "smtpd_reject_unlisted_recipient": "no",
    "smtpd_reject_unlisted_sender": "no",
    "smtpd_helo_required": "no",
    "smtpd_peername_lookup": "no",
    "smtpd_forbid_unauth_pipelining": "no",
}


def run_stdio(conf: Config) -> int:
    """Serve one session; the exit status. Raises ConfigError."""
    own = Config.build(conf.settings, rules_for(conf, login_name(os.getuid())), service="sendmail -bs")
    for_command("smtpd", own, stderr=False)
    os.chdir(own.queue_directory)
    asyncio.run(_serve(own))
    return EX_OK


def rules_for(conf: Config, user: str) -> dict[str, str]:
    """What to set differently for a session of this user."""
    return {} if user == conf.mail_owner else WITHOUT_RULES


async def _serve(conf: Config) -> None:
    domain.use_idna2003(conf.enable_idna2003_compatibility)
    resolver = Resolver()
    routing = Routing.open(conf)
    policy = Policy(conf, intake=DropGate(conf), routing=routing, resolver=resolver)
    policy.postmaster.wanted = 0  # who makes mistakes here sees them; and a user may not ask cleanup(8)
    stream = _Handed()
    connection = StdioTransport(stream)
    stream.connection_made(connection)
    connection.start()
    try:
        await Session(
            policy, stream, Client("localhost", "127.0.0.1", "", reverse_name="localhost"), lambda: None
        ).run()
        stream.close()
    finally:
        await resolver.close()


class _Handed(Stream):
    """A program may write its whole dialogue at once: there is no network on which it could be somebody else's."""

    @property
    def pending(self) -> bool:
        return False


class DropGate:
    """What smtpd expects of intake, over the maildrop."""

    def __init__(self, conf: Config) -> None:
        self._conf = conf

    def new_id(self) -> str:
        return new_name()

    def begin(self, envelope: Envelope, *, from_network: bool) -> DropSubmission:
        return DropSubmission(self._conf, envelope)


class DropSubmission:
    """One message. Nothing is mapped or rewritten here: pickup does that."""

    def __init__(self, conf: Config, envelope: Envelope) -> None:
        self._conf = conf
        self.envelope = envelope
        self.queue_id = envelope.queue_id
        self._draft: Draft | None = None
        self._failed: Refused | TryAgain | None = None
        self._size = 0

    def prepend(self, field: bytes) -> None:
        self.feed(field)

    def hold(self, reason: str = "") -> None:
        """No rule here asks for it."""

    def discard(self) -> None:
        """No rule here asks for it."""

    def feed(self, data: bytes) -> bool:
        if self._failed is not None:
            return False
        self._size += len(data) - data.count(b"\n")
        if self._conf.message_size_limit and self._size > self._conf.message_size_limit:
            self._failed = verdict.TOO_BIG
            return False
        try:
            if self._draft is None:
                self._draft = Draft(FOLDER, self.queue_id)
            self._draft.write(data)
        except OSError:
            self._failed = verdict.CANNOT_WRITE
        return False

    async def drain(self) -> None:
        """Everything is written as it comes."""

    async def finish(self) -> Verdict:
        if self._failed is None and self._draft is not None:
            envelope = self.envelope
            envelope.queue_id = ""
            envelope.owner_uid = os.getuid()
            try:
                await asyncio.to_thread(self._draft.commit, Drop(envelope))
            except OSError:
                self._failed = verdict.CANNOT_WRITE
        if self._failed is not None or self._draft is None:
            self.abandon()
            return self._failed or verdict.CANNOT_WRITE
        await asyncio.to_thread(trigger, os.path.join("public", self._conf.pickup_service_name), b"W")
        return Queued(self.queue_id)

    def abandon(self) -> None:
        if self._draft is not None:
            self._draft.abandon()
            self._draft = None


class StdioTransport(asyncio.Transport):
    """Standard input and output as the two directions of one connection, whatever they are: pipes, a file, a terminal.

    A thread reads, so that a terminal or a file does as well as a pipe; output blocks: there is nobody else to serve.
    """

    def __init__(self, stream: Stream, source: int = 0, target: int = 1) -> None:
        super().__init__()
        self._stream = stream
        self._source, self._target = source, target
        self._loop = asyncio.get_running_loop()
        self._closing = False
        self._may_read = threading.Event()
        self._may_read.set()

    def start(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while not self._closing:
            self._may_read.wait()
            try:
                data = os.read(self._source, PIECE)
            except OSError:
                data = b""
            try:
                self._loop.call_soon_threadsafe(self._received, data)
            except RuntimeError:
                return  # the session is over
            if not data:
                return

    def _received(self, data: bytes) -> None:
        if self._closing:
            return
        if data:
            self._stream.data_received(data)
        else:
            self._stream.eof_received()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(bytes(data))
        try:
            while rest and not self._closing:
                rest = rest[os.write(self._target, rest) :]
        except OSError as error:
            self._end(error)

    def pause_reading(self) -> None:
        self._may_read.clear()

    def resume_reading(self) -> None:
        self._may_read.set()

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._end(None)

    def abort(self) -> None:
        self._end(None)

    def _end(self, reason: Exception | None) -> None:
        if not self._closing:
            self._closing = True
            self._may_read.set()
            self._loop.call_soon(self._stream.connection_lost, reason)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default
