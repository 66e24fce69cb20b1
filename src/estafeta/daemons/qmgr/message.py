"""A message in memory: the envelope, and what has become of its recipients in this attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.mail.envelope import Envelope
from estafeta.queue import handover
from estafeta.queue.place import Place
from estafeta.services.delivery import Result

if TYPE_CHECKING:
    from estafeta.daemons.qmgr.schedule import Job, Transport

INCOMING, ACTIVE, DEFERRED, HOLD = "incoming", "active", "deferred", "hold"


class Message:
    """`todo` are the recipients (by index) that are not routed yet, the last first; `pending` counts those that are
    with the scheduler or an agent. The attempt is over when there are neither."""

    __slots__ = (
        "activated",
        "away",
        "deferred",
        "deleted",
        "envelope",
        "expire",
        "failed",
        "finishing",
        "flushed",
        "hold",
        "jobs",
        "number",
        "pending",
        "place",
        "queue_id",
        "reading",
        "requeue",
        "sent",
        "todo",
        "withdrawn",
    )

    def __init__(self, place: Place, envelope: Envelope, number: int, now: float) -> None:
        self.place = place
        self.envelope = envelope
        self.queue_id = envelope.queue_id
        self.number = number
        """Its place in the order in which messages became active."""
        self.activated = now
        if envelope.done:
            done = set(envelope.done)
            self.todo = [index for index in range(len(envelope.recipients) - 1, -1, -1) if index not in done]
        else:
            self.todo = list(range(len(envelope.recipients) - 1, -1, -1))
        self.pending = 0
        self.away = False
        """A qmgr before us has deliveries of it under way; that counts as one pending recipient."""
        self.reading = False
        """Somebody is routing recipients of it now."""
        self.sent: dict[int, Result] | None = None
        """Recipients that a success report may be due for; None while there is none."""
        self.failed: dict[int, Result] | None = None
        self.deferred: dict[int, Result] | None = None
        self.jobs: dict[Transport, Job] = {}
        self.flushed = False
        """Somebody asked for this attempt: defer_transports does not count."""
        self.expire = False
        self.deleted = False
        self.hold = False
        self.requeue = False
        self.withdrawn = False
        """Nothing more of it is sent in this attempt."""
        self.finishing = False

    @property
    def plain(self) -> bool:
        """Nothing but deliveries that nobody wants to hear about, and nobody wants anything of it."""
        return (
            self.failed is None
            and self.deferred is None
            and self.sent is None
            and self.envelope.expanded is None
            and not (self.hold or self.requeue or self.expire)
        )

    @property
    def wishes(self) -> list[str]:
        """What was asked for and waits for the end of deliveries, as a handover says it."""
        every = (
            (self.deleted, handover.DELETE),
            (self.hold, handover.HOLD),
            (self.requeue, handover.REQUEUE),
            (self.expire, handover.EXPIRE),
        )
        return [word for wanted, word in every if wanted]

    def wish(self, words: list[str]) -> None:
        """Take such wishes over: nothing more of the message is sent in this attempt."""
        if not words:
            return
        self.deleted = handover.DELETE in words
        self.hold = self.hold or handover.HOLD in words
        self.requeue = handover.REQUEUE in words
        self.expire = handover.EXPIRE in words
        self.withdrawn = True
        self.todo = []

    @property
    def over(self) -> bool:
        return not self.pending and not self.todo and not self.reading
