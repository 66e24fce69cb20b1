"""One connection to a server, from connect to QUIT, with the greeting and EHLO done.

`open_connection` returns it ready for mail or raises SiteError. What is said during mail is in `transfer.py`.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from estafeta.base import log, verbose
from estafeta.daemons.smtp.errors import (
    Broken,
    Failure,
    Garbled,
    NoTable,
    SiteError,
    lost,
    no_table,
    not_connected,
    refused_to_talk,
    timed_out,
)
from estafeta.daemons.smtp.mx import Server
from estafeta.mail.transcript import Recording, recording
from estafeta.net.listen import set_window
from estafeta.net.stream import PeerGone, Stream
from estafeta.wire.smtp.client import NO_EXTENSIONS, Extensions
from estafeta.wire.smtp.client_reply import LONGEST_LINE, Reply, ReplyReader

_SMTP_FIXUP = re.compile(r"[20* \t]*")
"""A greeting that a PIX firewall has overwritten with asterisks."""
PIX = ("disable_esmtp", "delay_dotcrlf")
GREETING = "receiving the initial server greeting"
UNUSABLE = "unusable"
"""In `Manner.bind`: what main.cf says is no address."""
HIGH_WATER = 256 * 1024
"""Bytes of content that may wait in the process for a slow server."""


@dataclass(slots=True, frozen=True)
class Manner:
    """How this client talks: smtp_* or lmtp_* parameters, and who it is."""

    lmtp: bool
    helo_name: str
    myhostname: str
    always_ehlo: bool = True
    never_ehlo: bool = False
    probe_data: bool = False
    """Whether the answer to DATA, too, tells if an address exists."""
    mime_nesting_limit: int = 100
    mime_boundary_length_limit: int = 2048
    skip_5xx_greeting: bool = True
    connect_timeout: float = 30
    helo_timeout: float = 300
    mail_timeout: float = 300
    rcpt_timeout: float = 300
    data_init_timeout: float = 120
    data_xfer_timeout: float = 180
    data_done_timeout: float = 600
    rset_timeout: float = 20
    quit_timeout: float = 300
    skip_quit_response: bool = True
    quoting: bool = True
    xforward: bool = False
    xforward_timeout: float = 300
    deadline: bool = False
    """Time limits hold for whole answers and whole contents, not for each read and write."""
    min_data_rate: int = 500
    pix_delay: float = 10
    line_limit: int = 998
    convert: bool = True
    """Turn 8-bit parts into quoted-printable for servers without 8BITMIME."""
    bind: dict[int, str] = field(default_factory=dict)
    """4 and 6 -> the address to connect from."""
    bind_enforce: bool = False
    window: int = 0
    """tcp_windowsize; 0 for the system's own choice."""
    transcripts: bool = False
    """Keep in mind what is said, for the postmaster."""


class Habits(Protocol):
    """What is asked of habits.Habits."""

    async def discards(self, address: str, queue_id: str) -> frozenset[str]: ...

    async def workarounds(self, address: str, queue_id: str, arrived: float) -> frozenset[str]: ...

    def rewriting(self, relay: str) -> Callable[[str], str | None] | None: ...

    async def watched(self, server: Server) -> bool: ...


class Connection:
    """Ready for mail. `sound` turns false when it must not be used again."""

    __slots__ = (
        "answered",
        "deadline",
        "doing",
        "extensions",
        "key",
        "opened",
        "pipelined",
        "reader",
        "relay",
        "said",
        "server",
        "sound",
        "strange",
        "stream",
        "uses",
        "workarounds",
    )

    def __init__(self, stream: Stream, server: Server, now: float) -> None:
        self.stream = stream
        self.server = server
        self.relay = server.relay
        self.reader = ReplyReader()
        self.extensions = NO_EXTENSIONS
        self.opened = now
        """Loop time."""
        self.uses = 0
        """Deliveries over it, the present one included."""
        self.sound = True
        self.answered = False
        """The server has answered something in the present delivery."""
        self.deadline = False
        """A whole answer must come within the time limit."""
        self.pipelined = False
        """Several commands are out, so that an answer can be taken for another's."""
        self.doing = GREETING
        self.workarounds: frozenset[str] = frozenset()
        """What is done against a firewall that breaks SMTP: disable_esmtp, delay_dotcrlf."""
        self.said: Recording | None = None
        """The transcript, where notify_classes wants one."""
        self.strange = False
        """The server has said something that the protocol does not know, or that we do not speak it."""
        self.key = ""
        """The next hop that it was last used for."""

    @property
    def shown(self) -> str:
        return self.server.shown

    async def reply(self) -> Reply:
        """The next answer. Raises PeerGone, TimeoutError; Garbled for what is none, NoTable from the reply filter."""
        reader = self.reader
        answer = reader.next_reply()
        if answer is None:
            answer = await self._read_reply()
        self.answered = True
        if self.said is not None:
            self.said.append("\r\n".join(answer.lines).encode("utf-8", "surrogateescape"))
        if reader.cut:
            log.warning(f"{self.relay}: response longer than {LONGEST_LINE}: {reader.cut}...")
            reader.cut = ""
        if answer.code == 421:
            # RFC 5321 3.8: the server is about to close.
            self.sound = False
        if answer.garbled:
            self.sound = False
            if self.pipelined or answer.kind == 0:
                raise Garbled(answer)
            # One question, one answer, only with noise before it: it counts. To send again would be to send twice.
            log.warning(f"non-ESMTP response from {self.relay}: {answer.text}")
        return answer

    async def _read_reply(self) -> Reply:
        stream, reader = self.stream, self.reader
        if not self.deadline:
            while True:
                reader.feed(await stream.chunk())
                if (answer := reader.next_reply()) is not None:
                    return answer
        loop = asyncio.get_running_loop()
        limit = stream.timeout
        end = loop.time() + limit
        try:
            while True:
                reader.feed(await stream.chunk())
                if (answer := reader.next_reply()) is not None:
                    return answer
                stream.timeout = max(end - loop.time(), 0.01)
        finally:
            stream.timeout = limit

    def send(self, line: str) -> None:
        raw = line.encode("utf-8", "surrogateescape") + b"\r\n"
        if self.said is not None:
            self.said.append((raw,))
        self.stream.write(raw)

    def blame(self, answer: Reply) -> None:
        """A refusal that tells of a broken protocol rather than of mail, RFC 5321 4.2.1: x0z is about syntax."""
        code = answer.code
        if code < 400 or code > 599 or code == 555 or 500 <= code < 510:
            self.strange = True

    @property
    def dead(self) -> bool:
        """Closed by the server, or it has said something (a 421, usually) while nothing was asked."""
        return not self.sound or self.stream.gone or self.stream.pending or self.reader.pending

    def broken(self, error: Exception) -> Failure:
        """What `error`, raised while `doing`, means for the mail."""
        self.sound = False
        if isinstance(error, TimeoutError):
            return timed_out(self.shown, self.relay, self.doing)
        if isinstance(error, NoTable):
            return no_table(self.shown, self.relay)
        if isinstance(error, Garbled):
            log.warning(f"non-ESMTP response from {self.relay}: {error.reply.text}")
            return Failure(
                "4.5.0",
                f"Protocol error: host {self.shown} said: {error.reply.text} while {self.doing}",
                relay=self.relay,
                remote_mta=self.server.host,
                diagnostic=error.reply.text,
            )
        return lost(self.shown, self.relay, self.doing)

    def close(self) -> None:
        self.sound = False
        self.stream.close()

    def abort(self) -> None:
        self.sound = False
        self.stream.abort()

    async def quit(self, manner: Manner) -> None:
        """End it politely. Never raises for what the server does."""
        if self.stream.gone:
            self.abort()
            return
        self.stream.timeout = manner.quit_timeout
        self.send("QUIT")
        if manner.skip_quit_response or not self.sound:
            self.close()
            return
        try:
            await self.reply()
        except (OSError, Broken):  # TimeoutError and PeerGone are OSErrors: nothing depends on the answer
            self.abort()
        else:
            self.close()


class WatchedConnection(Connection):
    """As `Connection`; commands and replies are logged, content is not. debug_peer_list, and `-v` in master.cf."""

    __slots__ = ("_content_due",)

    def __init__(self, stream: Stream, server: Server, now: float) -> None:
        super().__init__(stream, server, now)
        self._content_due = False
        """The server waits for content, so that its next answer comes after the dot."""

    def send(self, line: str) -> None:
        for each in line.split("\r\n"):
            log.info(f"> {self.relay}: {each}")
        super().send(line)

    async def reply(self) -> Reply:
        if self._content_due:
            log.info(f"> {self.relay}: .")
        answer = await super().reply()
        self._content_due = answer.code == 354
        for line in answer.lines:
            log.info(f"< {self.relay}: {line}")
        return answer


async def open_connection(
    server: Server, manner: Manner, habits: Habits, *, nexthop: str, queue_id: str, arrived: float
) -> Connection:
    """Connect, read the greeting, say EHLO (LHLO, HELO). Raises SiteError.

    `queue_id` and `arrived` (seconds since the epoch) are those of the message that it is for.

    The SiteError of a failed connect has relay none; past that point the relay is named.
    """
    loop = asyncio.get_running_loop()
    try:
        stream = await _connect(server, manner)
    except OSError as error:
        failure = not_connected(server.relay, error)
        raise SiteError(failure) from error
    watched = await habits.watched(server)
    if not watched:
        return await _ready(Connection(stream, server, loop.time()), manner, habits, nexthop, queue_id, arrived)
    with verbose.watching():
        return await _ready(WatchedConnection(stream, server, loop.time()), manner, habits, nexthop, queue_id, arrived)


async def _ready(
    connection: Connection, manner: Manner, habits: Habits, nexthop: str, queue_id: str, arrived: float
) -> Connection:
    """The greeting and EHLO, over a new connection. Raises SiteError."""
    connection.reader.rewrite = habits.rewriting(connection.relay)
    connection.deadline = manner.deadline
    if manner.transcripts:
        connection.said = recording()
    connection.stream.timeout = manner.helo_timeout
    try:
        await _greet(connection, manner, habits, nexthop, queue_id, arrived)
    except SiteError as error:
        await connection.quit(manner)
        error.connection = connection
        raise
    except NoTable as error:
        failure = connection.broken(error)
        await connection.quit(manner)
        raise SiteError(failure) from error
    except (OSError, Broken) as error:
        failure = connection.broken(error)
        connection.abort()
        raise SiteError(failure) from error
    except BaseException:
        connection.abort()
        raise
    return connection


async def _connect(server: Server, manner: Manner) -> Stream:
    """Raises OSError; TimeoutError when the time is over; SiteError when it must not be tried."""
    async with asyncio.timeout(manner.connect_timeout or None):
        loop = asyncio.get_running_loop()
        if server.path:
            _, stream = await loop.create_unix_connection(Stream, server.path)
        else:
            sock = _socket(server, manner)
            try:
                await loop.sock_connect(sock, (server.address, server.port))
                _, stream = await loop.create_connection(Stream, sock=sock)
            except BaseException:
                sock.close()
                raise
    stream.transport.set_write_buffer_limits(high=HIGH_WATER)
    return stream


def _socket(server: Server, manner: Manner) -> socket.socket:
    six = ":" in server.address
    sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # Commands go out in one piece already; waiting for more would only delay the last dot.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if manner.window:
            set_window(sock, manner.window)
        source = manner.bind.get(6 if six else 4)
        if source == UNUSABLE:
            raise SiteError(Failure("4.4.0", "server configuration error"))
        if source:
            try:
                sock.bind((source, 0))
            except OSError as error:
                log.warning(f"smtp_connect_addr: bind {source}: {error.strerror}")
                if manner.bind_enforce:
                    raise SiteError(Failure("4.4.0", "server configuration error")) from error
    except BaseException:
        sock.close()
        raise
    return sock


async def _greet(
    connection: Connection, manner: Manner, habits: Habits, nexthop: str, queue_id: str, arrived: float
) -> None:
    server = connection.server
    answer = await connection.reply()
    if answer.kind != 2:
        raise _refused(connection, answer, skip_5xx=manner.skip_5xx_greeting)
    words = answer.lines[0][4:].split()
    if words and words[0].lower() == manner.myhostname.lower() and not manner.lmtp and server.port == 25:
        log.warning(f"host {connection.relay} greeted me with my own hostname {manner.myhostname}")
    if _SMTP_FIXUP.fullmatch(answer.text):
        connection.workarounds = await habits.workarounds(server.address, queue_id, arrived)
        if connection.workarounds:
            named = " ".join(word for word in PIX if word in connection.workarounds)
            log.info(f"{queue_id}: enabling PIX workarounds: {named} for {connection.relay}")
    if manner.lmtp:
        connection.doing = "performing the LHLO handshake"
        connection.send(f"LHLO {manner.helo_name}")
        answer = await connection.reply()
    elif (
        manner.never_ehlo
        or "disable_esmtp" in connection.workarounds
        or not (manner.always_ehlo or "ESMTP" in answer.text)
    ):
        answer = await _helo(connection, manner)
    else:
        connection.doing = "performing the EHLO handshake"
        connection.send(f"EHLO {manner.helo_name}")
        answer = await connection.reply()
        if answer.kind != 2 and answer.code != 421:
            answer = await _helo(connection, manner)
    if answer.kind != 2:
        raise _refused(connection, answer, skip_5xx=False)
    if connection.doing != "performing the HELO handshake":
        offered = Extensions.parse(answer, await habits.discards(server.address, queue_id))
        if offered.bad_size:
            log.warning(f'bad EHLO SIZE limit "{offered.bad_size}" from {connection.relay}')
        connection.extensions = offered
    name = answer.lines[0][4:].split(" ", 1)[0]
    if not manner.lmtp and server.port == 25 and name.lower() == manner.myhostname.lower():
        log.warning(f"host {connection.relay} replied to HELO/EHLO with my own hostname {manner.myhostname}")
        # A server that is not the best was put on the list by somebody else: perhaps another one takes the mail.
        dsn = "5.4.6" if server.best else "4.4.6"
        text = f"mail for {nexthop} loops back to myself"
        raise SiteError(Failure(dsn, text, hard=server.best, relay=connection.relay))


async def _helo(connection: Connection, manner: Manner) -> Reply:
    connection.doing = "performing the HELO handshake"
    connection.send(f"HELO {manner.helo_name}")
    return await connection.reply()


def _refused(connection: Connection, answer: Reply, *, skip_5xx: bool) -> SiteError:
    server = connection.server
    connection.blame(answer)
    return SiteError(refused_to_talk(connection.shown, connection.relay, server.host, answer, skip_5xx=skip_5xx))


__all__ = ["Connection", "Manner", "PeerGone", "open_connection"]
