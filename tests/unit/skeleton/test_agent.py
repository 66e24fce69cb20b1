import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from estafeta.base import log
from estafeta.mail.envelope import TRACE_VERIFY, Recipient
from estafeta.mail.outcome import Bounced, Deferred, Outcome, Sent
from estafeta.queue.place import Place
from estafeta.services.delivery import ENDING, Delivery, Ready, Report, decode_from_agent, encode
from estafeta.skeleton.agent import Answer, DeliveryAgent


class Wire(asyncio.Transport):
    """What qmgr would read, decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[Ready | Report] = []
        self.writes = 0

    def set_write_buffer_limits(self, high: Any = None, low: Any = None) -> None: ...

    def is_closing(self) -> bool:
        return False

    def write(self, data: Any) -> None:
        self.writes += 1
        while data:
            end = 4 + int.from_bytes(data[:4], "big")
            self.words += decode_from_agent(data[4:end])
            data = data[end:]


class Scripted(DeliveryAgent):
    """Answers when the test says so."""

    def __init__(self, slots: int = 0, soft_bounce: bool = False) -> None:
        conf = SimpleNamespace(soft_bounce=soft_bounce, delay_logging_resolution_limit=2, daemon_timeout=0)
        super().__init__(SimpleNamespace(conf=conf, slots=slots))  # type: ignore[arg-type]
        self.go = asyncio.Event()
        self.begun: list[int] = []
        self.outcome: Outcome | None = Sent("2.0.0", "ok", "none")

    async def deliver(self, delivery: Delivery) -> Answer:
        self.begun.append(delivery.number)
        await self.go.wait()
        if self.outcome is None:
            raise KeyError("oops")
        return self.settle_all(delivery, self.outcome, dead=True)


def request(number: int, trace: int = 0) -> Delivery:
    place = Place("incoming/x", 0, 0, 0, 0)
    to = [Recipient("a@b"), Recipient("c@b")]
    return Delivery(number, place, "Q1", "smtp", "b", "s@b", to, 0.0, 0.0, 0.0, 1, trace=trace)


class Talk:
    def __init__(self, agent: DeliveryAgent) -> None:
        self.released = 0
        self.wire = Wire()
        self.protocol: Any = agent.client(self._release)
        self.protocol.connection_made(self.wire)

    def _release(self) -> None:
        self.released += 1

    def ask(self, *requests: Delivery) -> None:
        payload = encode(list(requests))
        self.protocol.data_received(len(payload).to_bytes(4, "big") + payload)


async def turns(count: int = 6) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
def lines() -> Any:
    kept: list[str] = []
    before = log.install(lambda level, text, program: kept.append(log.PREFIX[level] + text))
    yield kept
    log.install(before)


def run(case: Any) -> None:
    asyncio.run(asyncio.wait_for(case, 5))


def test_an_agent_first_says_how_much_it_takes(lines: list[str]) -> None:
    async def case() -> None:
        talk = Talk(Scripted(slots=3))
        await turns()
        assert talk.wire.words == [Ready(3)]

    run(case())


def test_no_more_than_slots_run_and_the_reports_of_a_turn_leave_together(lines: list[str]) -> None:
    async def case() -> None:
        agent = Scripted(slots=2)
        talk = Talk(agent)
        talk.ask(request(1), request(2), request(3))
        await turns()
        assert agent.begun == [1, 2]
        writes = talk.wire.writes
        agent.go.set()
        await turns(3)
        assert talk.wire.writes == writes + 1
        await turns()
        assert [word.number for word in talk.wire.words if isinstance(word, Report)] == [1, 2, 3]

    run(case())


def test_an_exception_puts_off_every_recipient(lines: list[str]) -> None:
    async def case() -> None:
        agent = Scripted()
        agent.outcome = None
        agent.go.set()
        talk = Talk(agent)
        talk.ask(request(1))
        await turns()
        report = talk.wire.words[-1]
        assert isinstance(report, Report)
        assert [(each.status, each.dsn) for each in report.results] == [("deferred", "4.3.0")] * 2
        assert lines[0].startswith("warning: Q1: delivery to b failed: KeyError('oops') (")
        assert "to=<c@b>, relay=none" in lines[2]

    run(case())


def test_a_dead_next_hop_is_said_only_for_deferral(lines: list[str]) -> None:
    async def case() -> None:
        agent = Scripted()
        agent.go.set()
        talk = Talk(agent)
        talk.ask(request(1))
        await turns()
        agent.outcome = Deferred("4.4.1", "refused")
        talk.ask(request(2))
        await turns()
        sent, put_off = (word for word in talk.wire.words if isinstance(word, Report))
        assert sent.dead is None
        assert put_off.dead is not None
        assert put_off.dead.text == "refused"

    run(case())


def test_soft_bounce_puts_off_instead(lines: list[str]) -> None:
    async def case() -> None:
        agent = Scripted(soft_bounce=True)
        outcome = agent.settle(request(1), Recipient("a@b"), Bounced("5.1.1", "no such user"))
        assert outcome == Deferred("4.1.1", "no such user")
        assert lines[0].endswith("dsn=4.1.1, status=SOFTBOUNCE (no such user)")

    run(case())


def test_verification_is_logged_as_deliverable_or_not(lines: list[str]) -> None:
    async def case() -> None:
        agent = Scripted()
        agent.settle(request(1, TRACE_VERIFY), Recipient("a@b"), Sent("2.0.0", "fine"))
        agent.settle(request(1, TRACE_VERIFY), Recipient("a@b"), Bounced("5.0.0", "no"))
        assert "status=deliverable (fine)" in lines[0]
        assert "status=undeliverable (no)" in lines[1]

    run(case())


def test_a_client_that_goes_is_released_when_what_runs_is_done_and_nothing_new_begins(lines: list[str]) -> None:
    async def case() -> None:
        agent = Scripted(slots=1)
        talk = Talk(agent)
        talk.ask(request(1), request(2))
        await turns()
        talk.protocol.connection_lost(None)
        assert talk.released == 0
        agent.go.set()
        await turns()
        assert talk.released == 1
        assert agent.begun == [1]

    run(case())


def test_an_ending_agent_says_so_and_finishes_what_it_has(lines: list[str]) -> None:
    async def case() -> None:
        agent = Scripted()
        talk = Talk(agent)
        talk.ask(request(1))
        agent.draining()
        agent.go.set()
        await turns()
        assert Ready(ENDING) in talk.wire.words
        assert isinstance(talk.wire.words[-1], Report)
        assert talk.released == 0

    run(case())


def test_a_delivery_that_never_ends_is_given_up_and_put_off(lines: list[str]) -> None:
    async def case() -> None:
        talk = Talk(Scripted())
        talk.ask(request(1))
        await turns()
        (conversation,) = (each.__self__ for each in [talk.protocol._received])
        await asyncio.sleep(0.001)
        conversation._sweep()
        await turns()
        report = talk.wire.words[-1]
        assert isinstance(report, Report)
        assert [(each.status, each.dsn) for each in report.results] == [("deferred", "4.3.0")] * 2
        assert lines == ["warning: Q1: delivery to b failed: it was given up"]

    run(case())


def test_slots_are_those_of_the_process_and_another_connection_gets_its_turn() -> None:
    async def case() -> None:
        agent = Scripted(slots=1)
        qmgr, local = Talk(agent), Talk(agent)
        qmgr.ask(request(1), request(2))
        local.ask(request(3))
        await turns()
        assert agent.begun == [1]
        agent.go.set()
        await turns(20)
        assert agent.begun == [1, 3, 2]
        assert [word.number for word in local.wire.words if isinstance(word, Report)] == [3]
        assert agent.running == 0

    run(case())
