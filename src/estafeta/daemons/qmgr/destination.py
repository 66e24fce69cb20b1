"""One destination of one transport: how much may go there at once, and whether it answers at all.

The window grows with deliveries that reach the destination and shrinks with those that do not; after whole windows of
failures in a row it counts as dead and is left alone for a while. SCHEDULER_README, "Concurrency
scheduling". A delivery fails in this sense when the connection or the handshake failed, not when a recipient is
refused.

Whoever finds the window full waits here, the oldest first. Together with the oldest, the smallest is woken, if the
oldest is long: otherwise a letter would wait behind a list posting to the same place (see schedule.py).
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.daemons.qmgr.limits import Feedback, Limits

if TYPE_CHECKING:
    from estafeta.daemons.qmgr.schedule import Peer

UNLIMITED = 1 << 30


class Destination:
    """`name` tells destinations of a transport apart: the next hop, or the recipient for one-recipient transports."""

    __slots__ = (
        "busy",
        "dead",
        "failed_cohorts",
        "failure",
        "held",
        "limits",
        "name",
        "nexthop",
        "peers",
        "reason",
        "small",
        "success",
        "todo",
        "waiting",
        "window",
    )

    def __init__(self, name: str, nexthop: str, limits: Limits) -> None:
        self.name = name
        self.nexthop = nexthop
        self.limits = limits
        self.busy = 0
        """Deliveries that agents have now."""
        self.todo = 0
        """Entries that wait."""
        self.held = False
        """Between two deliveries with a rate delay."""
        self.dead = False
        self.reason = ("", "")
        """Why it is dead: status code and text."""
        self.peers: set[Peer] = set()
        """Those that have entries for it."""
        self.waiting: list[tuple[int, int, Peer]] = []
        self.small: list[tuple[int, int, int, Peer]] = []
        self.revive()

    def revive(self) -> None:
        """A new destination, or one that is to be tried again."""
        self.dead = False
        self.window = self.limits.initial_concurrency
        if self.limits.concurrency:
            self.window = min(self.window, self.limits.concurrency)
        self.success = self.failure = self.failed_cohorts = 0.0

    @property
    def open(self) -> bool:
        return self.busy < self.window and not self.held

    @property
    def idle(self) -> bool:
        return self.busy == 0 and self.todo == 0 and not self.held and not self.dead

    def reached(self) -> None:
        """A delivery got through to the destination."""
        self.failed_cohorts = 0.0
        if self.dead:
            self.revive()
            return
        # A window that is not used says nothing about what the destination bears.
        if self.window >= self.busy + self.limits.initial_concurrency:
            return
        if self.limits.concurrency and self.window >= self.limits.concurrency:
            return
        change = self.feedback(self.limits.positive)
        self.success += change
        # Half a change early, as Postfix does it: a sum of fractions may fall short of one by a rounding error.
        while self.success + change / 2 >= 1:
            self.window += 1
            self.success -= 1
            self.failure = 0.0
        if self.limits.concurrency and self.window > self.limits.concurrency:
            self.window = self.limits.concurrency

    def missed(self, reason: tuple[str, str]) -> bool:
        """A delivery failed before the destination took part in it. True when it counts as dead from now on."""
        if self.dead:
            return False
        self.failed_cohorts += 1.0 / self.window
        if self.limits.failed_cohorts and self.failed_cohorts + 1e-9 >= self.limits.failed_cohorts:
            self.dead = True
            self.reason = reason
            return True
        # Narrow at once, then bear some more failures: a correction that waits comes too late.
        change = self.feedback(self.limits.negative)
        self.failure -= change
        while self.failure - change / 2 < 0:
            self.window -= 1
            self.failure += 1
            self.success = 0.0
        self.window = max(self.window, 1)
        return False

    def feedback(self, form: Feedback) -> float:
        """By how much one delivery changes the present window."""
        return form(self.window)

    def wait(self, peer: Peer) -> None:
        """Have `peer` woken when a delivery is possible again."""
        peer.awake = False
        peer.waits += 1
        heapq.heappush(self.waiting, (peer.job.number, peer.waits, peer))
        heapq.heappush(self.small, (peer.job.remaining, peer.job.number, peer.waits, peer))
        if len(self.small) > 2 * len(self.waiting) + 64:
            self.small = [(each.job.remaining, number, token, each) for number, token, each in self.waiting]
            heapq.heapify(self.small)

    def wake(self) -> None:
        """Let the oldest try, and the smallest with it where it might go first."""
        peer = self._first_waiting()
        if peer is None:
            return
        peer.wake()
        if self.limits.slot_cost and peer.job.long:
            while self.small:
                _, _, token, other = heapq.heappop(self.small)
                if token == other.waits and other.entries and not other.awake:
                    other.wake()
                    break

    def _first_waiting(self) -> Peer | None:
        while self.waiting:
            _, token, peer = heapq.heappop(self.waiting)
            if token == peer.waits and peer.entries and not peer.awake:
                return peer
        self.small.clear()
        return None


class WatchedDestination(Destination):
    """destination_concurrency_feedback_debug: a destination that tells the log what happens to its window, in the
    words of Postfix's queue manager."""

    __slots__ = ("_telling",)

    def reached(self) -> None:
        self._telling = "qmgr_queue_unthrottle"
        super().reached()
        self._tell_window()

    def missed(self, reason: tuple[str, str]) -> bool:
        if self.dead:
            return False
        self._telling = "qmgr_queue_throttle"
        dies = super().missed(reason)
        self._tell_window(0 if dies else self.window)
        return dies

    def feedback(self, form: Feedback) -> float:
        change = super().feedback(form)
        log.info(f"{self._telling}: feedback {change:g}")
        return change

    def _tell_window(self, window: int | None = None) -> None:
        log.info(
            f"{self._telling}: queue {self.name}: limit {self.limits.concurrency} "
            f"window {self.window if window is None else window} success {self.success:g} failure {self.failure:g} "
            f"fail_cohorts {self.failed_cohorts:g}"
        )
