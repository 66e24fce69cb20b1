"""An smtpd session without sockets: a transport in memory, a real policy, and stand-ins for intake and DNS."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.daemons.smtpd.policy import Policy
from estafeta.daemons.smtpd.session import Session
from estafeta.intake.verdict import Queued, Verdict
from estafeta.mail import logline
from estafeta.mail.envelope import Envelope
from estafeta.net.dns import Answer, DnsDown, Mx, NoSuchDomain
from estafeta.net.peer import Client
from estafeta.net.stream import Stream
from estafeta.routing.routing import Routing


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.writes = 0
        self.closed = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written += data
        self.writes += 1

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Message:
    """A submission, and what became of it."""

    def __init__(self, gate: Gate, envelope: Envelope) -> None:
        self.gate = gate
        self.envelope = envelope
        self.queue_id = envelope.queue_id
        self.fields: list[bytes] = []
        self.content = b""
        self.held = ""
        self.discarded = self.abandoned = self.finished = False

    def prepend(self, field: bytes) -> None:
        self.fields.append(field)

    def hold(self, reason: str = "") -> None:
        self.held = reason

    def discard(self) -> None:
        self.discarded = True

    def feed(self, data: bytes) -> bool:
        self.content += data
        return False

    async def drain(self) -> None: ...

    async def finish(self) -> Verdict:
        self.finished = True
        self.gate.messages.append(self)
        return self.gate.verdict or Queued(self.queue_id)

    def abandon(self) -> None:
        self.abandoned = True


class Gate:
    """Stands in for intake."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.begun: list[Message] = []
        self.verdict: Verdict | None = None
        self.ids = 0

    def new_id(self) -> str:
        self.ids += 1
        return f"4C8D2F{self.ids:04X}"

    def begin(self, envelope: Envelope, *, from_network: bool) -> Message:
        assert from_network
        self.begun.append(Message(self, envelope))
        return self.begun[-1]


class Names:
    """Stands in for the resolver. A name that is not there does not exist; one that is `down` cannot be asked."""

    def __init__(self, **records: list[str]) -> None:
        self.a: dict[str, list[str]] = {}
        self.mxs: dict[str, list[Mx]] = {}
        self.ptrs: dict[str, str] = {}
        self.nss: dict[str, list[str]] = {}
        self.txts: dict[str, list[str]] = {}
        self.down: set[str] = set()
        self.asked: list[str] = []
        self.expected: list[str] = []
        """What was asked for before its turn."""

    async def ptr(self, address: str) -> str | None:
        if address in self.down:
            raise DnsDown(address, "PTR")
        return self.ptrs.get(address)

    async def addresses(self, host: str, *, family: int = 0) -> list[str]:
        return self._found(host, self.a, "A")

    native = addresses

    async def mx(self, domain: str, *, ordered: bool = True) -> list[Mx]:
        return self._found(domain, self.mxs, "MX")

    async def query(self, name: str, rrtype: str) -> Answer:
        self.asked.append(name)
        return Answer(name, name, rrtype, tuple(self._found(name, self._table(rrtype), rrtype)), 60)

    lookup = query

    def _table(self, rrtype: str) -> dict[str, list[str]]:
        return {"A": self.a, "NS": self.nss, "TXT": self.txts}.get(rrtype, {})

    def at_hand(self, name: str, rrtype: str) -> bool:
        return name in self.asked

    def expect(self, name: str, rrtype: str) -> None:
        self.expected.append(name)

    def _found(self, name, records, rrtype):  # type: ignore[no-untyped-def]
        if name in self.down:
            raise DnsDown(name, rrtype)
        if name not in records:
            raise NoSuchDomain(name, rrtype)
        return records[name]


class Stage:
    """One session to talk to."""

    def __init__(
        self, settings: dict[str, str], client: tuple[str, str] | None = None, names: Names | None = None
    ) -> None:
        self.gate = Gate()
        conf = Config.for_test(**settings)
        logline.use_format(conf.info_log_address_format)
        self.policy = Policy(conf, intake=self.gate, routing=Routing.open(conf), resolver=names or Names())  # type: ignore[arg-type]
        self.transport = Transport()
        self.stream = Stream()
        self.stream.connection_made(self.transport)
        self.released = 0
        name, address = client or ("localhost", "127.0.0.1")
        port = "4711"
        peer = Client(name, address, port, log_port=conf.smtpd_client_port_logging)
        if name == "unknown":
            peer = Client(name, address, port, name_status=5, reverse_status=5)
        self.session = Session(self.policy, self.stream, peer, self._release, "127.0.0.1")
        self.task: asyncio.Task[None] | None = None
        self._taken = 0

    def _release(self) -> None:
        self.released += 1

    async def start(self) -> bytes:
        self.task = asyncio.get_running_loop().create_task(self.session.run())
        return await self.heard()

    async def send(self, data: bytes | None) -> bytes:
        """Send (None: close the client's side) and return what the server says to it."""
        if data is None:
            self.stream.eof_received()
        elif not self.transport.closed:
            self.stream.data_received(data)
        return await self.heard()

    async def heard(self) -> bytes:
        assert self.task
        for _ in range(1000):
            await asyncio.sleep(0)
            if self.task.done():
                self.task.result()
                break
            waiter = self.stream._waiter
            if waiter is not None and not waiter.done():
                break
        else:
            raise AssertionError("the session neither waits nor ends")
        said = bytes(self.transport.written[self._taken :])
        self._taken = len(self.transport.written)
        return said

    async def hang_up(self) -> None:
        """The client is gone."""
        assert self.task
        if not self.task.done():
            self.stream.connection_lost(None)
            await asyncio.wait_for(self.task, 5)


@contextmanager
def logged() -> Iterator[list[str]]:
    """The log lines while it lasts, with `warning: ` and so on."""
    lines: list[str] = []
    before = log.install(lambda level, text, program: lines.append(log.PREFIX[level] + text))
    try:
        yield lines
    finally:
        log.install(before)
