"""A spool that keeps what it is given, and an intake that writes to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.intake.intake import Intake
from estafeta.intake.submission import Submission
from estafeta.mail.envelope import Client, Envelope, Recipient
from estafeta.queue.journal import SpoolError
from estafeta.queue.place import Place

ARRIVED = 1795224182.0  # Sat, 21 Nov 2026 01:23:02 UTC
QUEUE_ID = "3F2A81C0"


class KeptLarge:
    def __init__(self, spool: KeptSpool, head: bytes) -> None:
        self.spool, self.head, self.pieces, self.gone = spool, head, [], False  # type: ignore[var-annotated]

    async def write(self, piece: bytes) -> None:
        if self.spool.broken:
            raise SpoolError(28, "disk full")
        self.pieces.append(piece)

    async def finish(self, envelope: Envelope) -> Place:
        return await self.spool.commit(envelope, self.head, self.pieces)

    async def abandon(self) -> None:
        self.gone = True


class KeptSpool:
    def __init__(self) -> None:
        self.messages: list[tuple[Envelope, bytes, bytes]] = []
        self.large: list[KeptLarge] = []
        self.broken = False

    def new_id(self, now: float) -> str:
        return QUEUE_ID

    async def commit(self, envelope: Envelope, head: bytes, body: Sequence[bytes]) -> Place:
        if self.broken:
            raise SpoolError(28, "disk full")
        assert all(body), "no empty pieces"
        self.messages.append((envelope, head, b"".join(body)))
        return Place("incoming/1", 0, len(head), sum(map(len, body)), 0)

    async def begin_large(self, queue_id: str, head: bytes) -> KeptLarge:
        self.large.append(KeptLarge(self, head))
        return self.large[-1]

    async def stop(self) -> None: ...


class KeptNotices:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.full = False

    async def relief(self, most: float) -> None:
        self.told.append(f"waited {most}")

    def arrived(self, place: Place, envelope: Envelope) -> None:
        self.told.append("arrived")

    def held(self, place: Place, envelope: Envelope) -> None:
        self.told.append("held")

    def sealed(self, segment: str, records: int) -> None: ...

    async def stop(self) -> None: ...


class Bench:
    """An intake with a kept spool; `begin` makes a submission with sender s@send.example."""

    def __init__(self, settings: dict[str, str]) -> None:
        defaults = {
            "myhostname": "mail.example.com",
            "myorigin": "example.com",
            "mydestination": "$myhostname, localhost, example.com",
            "inet_interfaces": "127.0.0.1",
            "recipient_delimiter": "+",
            "compatibility_level": "3.6",
        }
        self.spool = KeptSpool()
        self.notices = KeptNotices()
        self.intake = Intake.open(Config.for_test(**{**defaults, **settings}), spool=self.spool)  # type: ignore[arg-type]
        self.intake.notices = self.notices

    def begin(
        self,
        *recipients: str,
        sender: str = "s@send.example",
        context: str = "local",
        from_network: bool = True,
        internal: bool = False,
    ) -> Submission:
        envelope = Envelope(
            QUEUE_ID,
            ARRIVED,
            sender,
            [Recipient(each) for each in recipients or ("r@remote.example",)],
            context=context,
            client=Client("localhost", "127.0.0.1"),
        )
        return self.intake.begin(envelope, from_network=from_network, internal=internal)

    @property
    def last(self) -> tuple[Envelope, bytes, bytes]:
        return self.spool.messages[-1]


@pytest.fixture
def bench() -> Callable[..., Bench]:
    def make(**settings: str) -> Bench:
        return Bench(settings)

    return make


@pytest.fixture
def lines() -> object:
    """What was logged: (program, text)."""
    kept: list[tuple[str | None, str]] = []
    before = log.install(lambda level, text, program: kept.append((program, log.PREFIX[level] + text)))
    yield kept
    log.install(before)
