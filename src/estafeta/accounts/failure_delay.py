"""How long a client waits for the answer to a wrong password.

Guessing is to cost time, and not our time: the answer is held back by a timer, which costs nothing. A client that
goes on failing waits longer; what it did is forgotten after a while.
"""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address

FORGOTTEN = 600.0
"""Seconds after the last failure."""
MOST_TIMES = 8
"""The delay doubles with each failure, up to this many times the first one."""
KEPT_AT_MOST = 10_000


class FailureDelay:
    """`least`: seconds after a first failure, 0 for no delay at all. `chance` gives numbers from 0 to 1."""

    def __init__(
        self,
        least: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._least = least
        self._clock = clock
        self._chance = chance
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def after_failure(self, client: str) -> float:
        """Seconds to wait now. A quarter more or less at random, so that answers do not tell apart what took long."""
        if not self._least:
            return 0.0
        now, client = self._clock(), neighbourhood(client)
        count, when = self._failures.pop(client, (0, now))
        count = 1 if now - when > FORGOTTEN else count + 1
        self._failures[client] = (count, now)
        if len(self._failures) > KEPT_AT_MOST:
            self._failures.popitem(last=False)
        times = min(1 << min(count - 1, 16), MOST_TIMES)
        return self._least * times * (0.75 + self._chance() / 2)

    def forgive(self, client: str) -> None:
        """The client has logged in."""
        self._failures.pop(neighbourhood(client), None)


def neighbourhood(address: str) -> str:
    """Whom a failure is put down to: an IPv4 address, the /64 of an IPv6 one, since its owner has all of them."""
    if ":" not in address:
        return address
    try:
        return str(IPv6Address(int(IPv6Address(address)) >> 64 << 64))
    except ValueError:
        return address
