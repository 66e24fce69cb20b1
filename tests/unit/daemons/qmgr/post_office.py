"""A queue manager in memory: a keeper without a disk, agents that do as the test says, a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.daemons.qmgr.active import ROUTERS, ActiveQueue
from estafeta.daemons.qmgr.finish import Finish
from estafeta.daemons.qmgr.message import Message
from estafeta.mail.address import split
from estafeta.mail.envelope import Envelope, Recipient, Trouble
from estafeta.queue.journal import SpoolError
from estafeta.queue.keeper import Found
from estafeta.queue.place import Place
from estafeta.queue.spool import MessageGone
from estafeta.routing.answer import Resolved
from estafeta.services.delivery import Delivery, Ready, Report, Result, decode_to_agent, encode
from estafeta.tables.table import TableDown

SENT = Result("sent", "2.0.0", "ok", action="relayed")
DEFERRED = Result("deferred", "4.0.0", "later")
BOUNCED = Result("bounced", "5.0.0", "never")


class FakeKeeper:
    """What queue.keeper.Keeper does, without a disk."""

    def __init__(self) -> None:
        self.released: list[str] = []
        self.marks: list[tuple[str, str, Any]] = []
        self.files: dict[str, tuple[Place, Envelope]] = {}
        self.failure: SpoolError | None = None
        self.batches: list[int] = []
        self.stuck: list[str] = []
        """Files that cannot be removed."""
        self.leaving: set[str] = set()

    def is_leaving(self, path: str) -> bool:
        return path.rpartition("/")[2] in self.leaving

    def done(self, queue_id: str, indices: list[int]) -> None:
        self.marks.append(("done", queue_id, list(indices)))

    def failed(self, queue_id: str, troubles: dict[int, Trouble]) -> None:
        self.marks.append(("failed", queue_id, sorted(troubles)))

    def release(self, place: Place, queue_id: str = "") -> None:
        self.files.pop(place.path, None)
        self.released.append(queue_id)

    async def sync(self) -> list[str]:
        self.marks.append(("sync", "", None))
        return self.stuck

    async def defer(self, moves: list[tuple[Place, Envelope]]) -> list[Place]:
        return await self._store("deferred", moves)

    async def hold(self, moves: list[tuple[Place, Envelope]]) -> list[Place]:
        return await self._store("hold", moves)

    async def unhold(self, moves: list[tuple[Place, Envelope]]) -> list[Place]:
        return await self._store("deferred", moves)

    async def _store(self, queue: str, moves: list[tuple[Place, Envelope]]) -> list[Place]:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.batches.append(len(moves))
        places = []
        for place, envelope in moves:
            self.files.pop(place.path, None)
            new = Place(f"{queue}/{envelope.queue_id}", 0, 0, 0, 0)
            self.files[new.path] = (new, envelope)
            places.append(new)
        return places

    def _listing(self, queue: str) -> Iterator[tuple[str, float, str]]:
        for path, (_, envelope) in self.files.items():
            if path.startswith(queue + "/"):
                yield envelope.queue_id, envelope.attempt_after, path

    @staticmethod
    def deferred_path(queue_id: str) -> str:
        return f"deferred/{queue_id}"

    def deferred(self) -> Iterator[tuple[str, float, str]]:
        return self._listing("deferred")

    def held(self) -> Iterator[tuple[str, float, str]]:
        return self._listing("hold")

    def find(self, queue: str, queue_id: str) -> str | None:
        path = f"{queue}/{queue_id}"
        return path if path in self.files else None

    def load(self, path: str) -> Found:
        if path not in self.files:
            raise MessageGone(2, "gone", path)
        found = Found(*self.files[path])
        found.recall()
        return found

    def corrupt(self, path: str, reason: str = "") -> None:
        self.files.pop(path)


class FakeReader:
    def __init__(self) -> None:
        self.envelopes: dict[Place, Envelope] = {}
        self.failures: list[Exception] = []

    def envelope(self, place: Place) -> Envelope:
        if self.failures:
            raise self.failures.pop()
        return self.envelopes[place]


class FakeRouting:
    """`user@retry.smtp` goes to transport smtp; the domain `down` is a table that cannot be asked."""

    def __init__(self) -> None:
        self.transport = "smtp"
        self.waits: asyncio.Event | None = None
        self.transports: dict[str, tuple[str, str]] = {}

    async def resolve(self, address: str, sender: str = "") -> Resolved:
        domain = split(address)[1]
        if domain == "down":
            raise TableDown("hash:/etc/down: no such file")
        if domain == "slow" and self.waits is not None:
            await self.waits.wait()
        if domain == "here":
            return Resolved("local", "here", address, "local")
        transport, nexthop = self.transports.get(domain, (self.transport, domain))
        return Resolved(transport, nexthop, address, "default")


class FakeReporter:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str, list[int]]] = []
        self.results: list[dict[int, Result]] = []
        self.reason = ""

    async def ask(self, kind: str, place: Place, envelope: Envelope, results: dict[int, Result]) -> str:
        await asyncio.sleep(0)
        self.asked.append((kind, envelope.queue_id, sorted(results)))
        self.results.append(results)
        return self.reason


class FakeVerifier:
    """verify(8), told what became of probes."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, str]] = []
        self.away = False

    async def update(self, address: str, status: int, text: str) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionRefusedError(111, "Connection refused")
        self.told.append((address, status, text))


class FakeAgent:
    """Both ends of connections to agents. `answer(transport, delivery)` gives results, a Report, or None for later."""

    def __init__(self) -> None:
        self.seen: list[Delivery] = []
        self.transports: list[str] = []
        self.answer: Callable[[Delivery], list[Result] | Report | None] = lambda delivery: (
            [SENT] * len(delivery.recipients)
        )
        self.refused: set[str] = set()
        self.slots = 0
        self.silent = False
        self.links: list[Link] = []

    async def connect(self, path: str, received: Any, closed: Any) -> Any:
        await asyncio.sleep(0)
        name = path.removeprefix("private/")
        if name in self.refused:
            raise FileNotFoundError(2, "No such file or directory")
        link = Link(self, name, received, closed)
        self.links.append(link)
        if not self.silent:
            asyncio.get_running_loop().call_soon(link.say, Ready(self.slots))
        return link


class Link:
    """One connection, seen from qmgr's side."""

    def __init__(self, agent: FakeAgent, name: str, received: Any, closed: Any) -> None:
        self.agent = agent
        self.name = name
        self.received = received
        self.closed = closed
        self.open = True
        self.held: list[Delivery] = []

    def send(self, payload: bytes) -> None:
        for delivery in decode_to_agent(payload):
            self.agent.seen.append(delivery)
            self.agent.transports.append(self.name)
            self.held.append(delivery)
        asyncio.get_running_loop().call_soon(self.work)

    def work(self) -> None:
        for delivery in list(self.held):
            answer: Any
            if self.name == "retry":
                dsn, _, text = delivery.nexthop.partition(" ")
                answer = [Result("deferred", dsn, text)] * len(delivery.recipients)
            else:
                answer = self.agent.answer(delivery)
            if answer is None:
                continue
            self.held.remove(delivery)
            self.say(answer if isinstance(answer, Report) else Report(delivery.number, answer))

    def say(self, word: Any) -> None:
        if self.open:
            self.received(encode([word]))

    def close(self) -> None:
        if self.open:
            self.open = False
            asyncio.get_running_loop().call_soon(self.closed, None)

    die = close


class PostOffice:
    """The whole, inside a running loop."""

    def __init__(self, **settings: str) -> None:
        self.conf = Config.for_test(**settings)
        self.now = 1_000_000.0
        self.keeper = FakeKeeper()
        self.routing = FakeRouting()
        self.reporter = FakeReporter()
        self.agent = FakeAgent()
        self.verifier = FakeVerifier()
        self.probe_routing = FakeRouting()
        self.probe_routing.transport = "probes"
        self.resubmitted: list[str] = []
        self.reader = FakeReader()
        reporters = dict.fromkeys(("bounce", "delay", "success", "verify"), self.reporter)
        self.finish = Finish(
            self.conf,
            self.keeper,
            self.reader,
            reporters,
            self._resubmit,
            self.clock,  # type: ignore[arg-type]
            verifier=self.verifier,
        )
        self.queue = ActiveQueue(
            self.conf,
            self.keeper,
            self.routing,
            self.finish,
            lambda transport: (2, 100),
            self.clock,
            connect=self.agent.connect,
            probe_routing=self.probe_routing,
        )
        self.queue.start()
        self.count = 0

    def clock(self) -> float:
        return self.now

    async def _resubmit(self, message: Message) -> str:
        self.resubmitted.append(message.queue_id)
        return ""

    def letter(self, *to: str | Recipient, sender: str = "s@sender.example", **more: Any) -> Envelope:
        """A new message arrives."""
        self.count += 1
        recipients = [each if isinstance(each, Recipient) else Recipient(each) for each in to]
        more.setdefault("arrived", self.now)
        envelope = Envelope(f"Q{self.count}", sender=sender, recipients=recipients, size=10, **more)
        place = Place("incoming/1.journal", self.count, 0, 0, 0)
        self.reader.envelopes[place] = envelope
        self.queue.arrived(place, envelope)
        return envelope

    async def settle(self, turns: int = 60) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    async def later(self, seconds: float) -> None:
        """Time passes, and what became due is looked at."""
        self.now += seconds
        for agents in self.queue.transports.values():
            agents.wanted()
        self.queue.wake()
        await self.settle()
        # Loading a message file is a thread's work.
        for _ in range(2000):
            if len(self.queue._idle) == ROUTERS and not self.queue._has_work():
                break
            await asyncio.sleep(0.001)
        await self.settle()

    @property
    def delivered(self) -> list[tuple[str, str, list[str]]]:
        """(transport, queue id, recipients) in the order of the deliveries."""
        return [
            (transport, delivery.queue_id, [each.address for each in delivery.recipients])
            for transport, delivery in zip(self.agent.transports, self.agent.seen, strict=True)
        ]


def run(case: Callable[[PostOffice, list[str]], Any], **settings: str) -> None:
    """Run `case(post, log lines)` in a loop of its own."""
    lines: list[str] = []
    before = log.install(lambda level, text, program: lines.append(log.PREFIX[level] + text))

    async def whole() -> None:
        post = PostOffice(**settings)
        await case(post, lines)
        await post.queue.stop(0)
        await post.finish.stop()

    try:
        asyncio.run(asyncio.wait_for(whole(), 10))
    finally:
        log.install(before)


async def collect(replies: AsyncIterator[Any]) -> list[Any]:
    return [reply async for reply in replies]
