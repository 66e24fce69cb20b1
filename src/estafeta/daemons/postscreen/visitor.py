"""One client of postscreen, from accept until it is passed on or gone. Thousands may be waiting: it is small."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from .record import NOTHING, Times

if TYPE_CHECKING:
    from .rank import Rank


class Visitor:
    """Address, socket, and what the tests have found so far."""

    __slots__ = (
        "address",
        "began",
        "counted",
        "known",
        "own",
        "own_port",
        "passed",
        "port",
        "proxied",
        "queued",
        "rank",
        "refused",
        "release",
        "reply",
        "socket",
        "times",
        "todo",
        "unsure",
    )

    def __init__(self, client: socket.socket, release: Callable[[], None]) -> None:
        self.socket: socket.socket | None = client
        """None when the connection has been closed, passed on or taken over by a session."""
        self.release = release
        self.address = self.port = self.own = self.own_port = ""
        self.proxied = False
        self.counted = self.queued = False
        """Whether it is among the connections of its address, and among those in tests."""
        self.began = 0.0
        """When the tests of this phase began, by the loop's clock."""
        self.times: Times = NOTHING
        self.known = False
        """Whether the cache had an entry."""
        self.todo: frozenset[int] = frozenset()
        self.passed: frozenset[int] = frozenset()
        self.unsure = False
        """A test before the greeting failed and is to be ignored: no pass is logged."""
        self.refused = False
        """It failed a test for which mail is refused, or may not be passed here: nothing is remembered."""
        self.reply = ""
        """What RCPT is answered with; "" for the usual "later"."""
        self.rank: Rank | None = None
        """What DNS lists say of its address, if they are asked."""

    @property
    def name(self) -> str:
        """As it stands in the log."""
        return f"[{self.address}]:{self.port}"

    @property
    def left(self) -> frozenset[int]:
        """Tests that are still to be passed."""
        return self.todo - self.passed
