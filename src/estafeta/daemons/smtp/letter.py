"""A delivery under way: the message, which recipients are still left, and why.

`fail` and `done` are where a recipient's fate is decided: a hard failure and a success are final at once, a soft
failure stands until another server is tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from estafeta.base import log
from estafeta.daemons.smtp.errors import Failure
from estafeta.mail.envelope import Recipient
from estafeta.mail.mime import BOUNDARY_LENGTH, DEEPEST
from estafeta.mail.outcome import Outcome
from estafeta.mail.seven_bit import seven_bit
from estafeta.queue.place import Place
from estafeta.queue.record import Damaged
from estafeta.services.delivery import Delivery
from estafeta.wire.smtp.client import encode_content, fold_lines, has_long_line


class Content(Protocol):
    """What is asked of queue.spool.Reader."""

    def content(self, place: Place) -> bytes: ...

    def head(self, place: Place) -> bytes: ...

    def pieces(self, place: Place, size: int = 65536) -> Iterator[bytes]: ...


class Unreadable(Exception):
    """The message cannot be read from the spool."""


class Letter:
    """A delivery under way: which recipients are still left, and why."""

    __slots__ = (
        "_content",
        "_converted",
        "connected",
        "delivery",
        "final",
        "head",
        "left",
        "outcomes",
        "prefix",
        "probe",
        "recipients",
        "sender",
        "settle",
        "size",
        "trouble",
        "uses",
    )

    def __init__(
        self, delivery: Delivery, settle: Settle, *, prefix: bytes = b"", probe: bool = False, final: bool = False
    ) -> None:
        self.delivery = delivery
        self.settle = settle
        self.sender = delivery.sender
        self.recipients = delivery.recipients
        """The envelope as it is sent: generic(5) may have replaced addresses."""
        self.head: bytes | None = None
        """The header block to send in place of the one in the spool; None if nothing in it was replaced."""
        self.prefix = prefix
        """Header lines to put before the message."""
        self.probe = probe
        """Ask about the recipients, send nothing."""
        self.final = final
        """The server is the last stop: success is reported as delivered."""
        self.outcomes: list[Outcome | None] = [None] * len(delivery.recipients)
        self.left = list(range(len(delivery.recipients)))
        """Indices of recipients without outcome."""
        self.trouble: dict[int, Failure] = {}
        self.size = delivery.place.head + delivery.place.body + len(prefix)
        self.connected = 0.0
        """When the present connection was ready, seconds since the epoch; 0 before there is one."""
        self.uses = 0
        """Deliveries over the present connection, this one included."""
        self._content: bytes | None = None
        self._converted = False

    def content(
        self,
        reader: Content,
        line_limit: int,
        *,
        convert: bool = False,
        deepest: int = DEEPEST,
        boundary_length: int = BOUNDARY_LENGTH,
    ) -> bytes:
        """The whole message as it goes after DATA; read once, whatever the number of servers tried.

        `convert`: without 8-bit parts, as far as the limits of seven_bit reach. Raises Unreadable.
        """
        if self._content is None or self._converted != convert:
            try:
                whole = reader.content(self.delivery.place)
            except (OSError, Damaged) as error:
                raise Unreadable(str(error)) from error
            if self.head is not None:
                whole = self.head + whole[self.delivery.place.head :]
            if self.prefix:
                whole = self.prefix + whole
            if convert:
                whole = seven_bit(whole, deepest=deepest, boundary_length=boundary_length)
            if line_limit and has_long_line(whole, line_limit):
                self.folding(line_limit)
                whole = fold_lines(whole, line_limit)
            self._content, self._converted = encode_content(whole), convert
        return self._content

    def replace(self, sender: str, addresses: list[str], head: bytes) -> None:
        """Send these instead: one address for each recipient. What is logged and reported stays."""
        self.sender = sender
        self.recipients = [
            each
            if address == each.address
            else Recipient(address, each.original or each.address, each.notify, each.orcpt)
            for each, address in zip(self.delivery.recipients, addresses, strict=True)
        ]
        self.head = head
        self.size += len(head) - self.delivery.place.head

    def folding(self, line_limit: int) -> None:
        """Say that lines are broken: it is the one change that a signature does not survive."""
        log.info(f"{self.delivery.queue_id}: breaking line > {line_limit} bytes with <CR><LF>SPACE")

    def fail(self, index: int, failure: Failure) -> None:
        """Final at once if it is hard; else what stands until another server is tried."""
        if failure.hard:
            self.done(index, failure.outcome())
        else:
            self.trouble[index] = failure

    def fail_all(self, failure: Failure) -> None:
        for index in list(self.left):
            self.fail(index, failure)

    def settled_elsewhere(self, index: int, outcome: Outcome) -> None:
        """Another agent had the recipient, and has logged it."""
        self.left.remove(index)
        self.outcomes[index] = outcome

    def done(self, index: int, outcome: Outcome) -> None:
        self.left.remove(index)
        self.outcomes[index] = self.settle(self, index, outcome)


class Settle(Protocol):
    """Logs one outcome and returns what is reported (soft_bounce may change it)."""

    def __call__(self, letter: Letter, index: int, outcome: Outcome) -> Outcome: ...
