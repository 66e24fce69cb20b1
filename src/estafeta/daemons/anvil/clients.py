"""How many connections a client has, and how often it has done what, within the time unit; and the highest of each.

A client's time unit begins with the first thing that it does and ends `unit` seconds later; all its rates begin anew
then. So Postfix counts, and so a client that never stops is let in again each time unit. A client without connections
is forgotten after a time unit.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from estafeta.services.anvil import AUTH, CONNECTION, MESSAGE, NEWTLS, RECIPIENT, ClientCounts

KINDS = 5
NAMES = {CONNECTION: "connection", MESSAGE: "message", RECIPIENT: "recipient", NEWTLS: "newtls", AUTH: "auth"}
"""As the log names them."""
MOST = 1_000_000
"""Clients remembered at the most; of those without connections, the one that left first is forgotten then."""


class Client:
    """What is known of one. `queued`: it stands in the line of those that may be forgotten."""

    __slots__ = ("count", "ident", "queued", "rates", "started")

    def __init__(self, ident: str, started: float) -> None:
        self.ident = ident
        self.started = started
        self.count = 0
        self.rates = [0] * KINDS
        self.queued = False


class Peak:
    """The highest value since the last report, whose it was and when (seconds since the epoch)."""

    __slots__ = ("at", "ident", "value")

    def __init__(self) -> None:
        self.value = 0
        self.ident = ""
        self.at = 0.0

    def see(self, value: int, ident: str, now: float) -> None:
        if value > self.value:
            self.value, self.ident, self.at = value, ident, now


class Clients:
    """`unit` in seconds; `clock` gives seconds since the epoch. An ident is `service:address`."""

    def __init__(self, unit: int, clock: Callable[[], float], *, most: int = MOST) -> None:
        self.unit = unit
        self._clock = clock
        self._most = most
        self._clients: dict[str, Client] = {}
        self._idle: deque[tuple[float, Client]] = deque()
        """(when to look whether it can be forgotten, client), in that order."""
        self._rate_peaks = [Peak() for _ in range(KINDS)]
        self._count_peak = Peak()
        self._size_peak = Peak()

    def __len__(self) -> int:
        return len(self._clients)

    def connect(self, ident: str) -> tuple[int, int]:
        """A connection more: (connections now, connections within the time unit)."""
        now = self._clock()
        client = self._current(ident, now)
        client.count = count = client.count + 1
        client.rates[CONNECTION] = rate = client.rates[CONNECTION] + 1
        self._rate_peaks[CONNECTION].see(rate, ident, now)
        self._count_peak.see(count, ident, now)
        return count, rate

    def hold(self, ident: str, count: int) -> None:
        """Connections that an earlier anvil process has counted: they are there, but they do not come just now."""
        now = self._clock()
        client = self._current(ident, now)
        client.count += count
        self._count_peak.see(client.count, ident, now)

    def disconnect(self, ident: str, count: int = 1) -> None:
        """So many connections have ended."""
        client = self._clients.get(ident)
        if client is None:
            return
        client.count = max(0, client.count - count)
        if not client.count:
            self._queue(client, self._clock())

    def add(self, ident: str, kind: int, amount: int) -> tuple[int, int]:
        """The client has done something: (connections now, how often it has within the time unit). 0 only asks."""
        now = self._clock()
        if not amount:
            known = self._clients.get(ident)
            if known is None:
                return 0, 0
            return known.count, 0 if now - known.started > self.unit else known.rates[kind]
        client = self._current(ident, now)
        client.rates[kind] = rate = client.rates[kind] + amount
        self._rate_peaks[kind].see(rate, ident, now)
        if not client.count:
            self._queue(client, now)
        return client.count, rate

    def _current(self, ident: str, now: float) -> Client:
        """The client, known from now on, with the rates of this time unit."""
        idle = self._idle
        if idle and idle[0][0] <= now:
            self.forget(now)
        client = self._clients.get(ident)
        if client is None:
            if len(self._clients) >= self._most:
                self._make_room()
            client = self._clients[ident] = Client(ident, now)
            self._size_peak.see(len(self._clients), "", now)
        elif now - client.started > self.unit:
            client.started = now
            client.rates = [0] * KINDS
        return client

    # --- forgetting

    def _queue(self, client: Client, now: float) -> None:
        if not client.queued:
            client.queued = True
            self._idle.append((now + self.unit, client))

    def forget(self, now: float) -> None:
        """Forget who was not here for a time unit."""
        idle = self._idle
        while idle and idle[0][0] <= now:
            client = idle.popleft()[1]
            client.queued = False
            if client.count:
                continue  # it is queued again when it leaves
            if now - client.started > self.unit:
                del self._clients[client.ident]
            else:
                self._queue(client, now)

    def _make_room(self) -> None:
        while self._idle:
            client = self._idle.popleft()[1]
            client.queued = False
            if not client.count:
                del self._clients[client.ident]
                return

    # --- telling

    def statistics(self) -> list[str]:
        """Log lines about the highest values since the last time; they begin anew."""
        lines = []
        for kind, peak in enumerate(self._rate_peaks):
            if peak.value:
                rate = f"{peak.value}/{self.unit}s"
                lines.append(f"statistics: max {NAMES[kind]} rate {rate} for ({peak.ident}) at {_moment(peak.at)}")
            if kind == CONNECTION and (most := self._count_peak).value:
                lines.append(f"statistics: max connection count {most.value} for ({most.ident}) at {_moment(most.at)}")
        size = self._size_peak
        if size.value:
            lines.append(f"statistics: max cache size {size.value} at {_moment(size.at)}")
        self._rate_peaks = [Peak() for _ in range(KINDS)]
        self._count_peak, self._size_peak = Peak(), Peak()
        return lines

    def near(self, limits: dict[str, list[int]], share: float, most: int) -> tuple[list[ClientCounts], int]:
        """Who has used at least `share` of a limit (services/anvil.py, Survey), `most` of them; and how many more."""
        now = self._clock()
        found = []
        names = sorted(limits, key=len, reverse=True)  # a name may begin with another one: 25, 25:x
        for client in self._clients.values():
            counts = [client.count, *(client.rates if now - client.started <= self.unit else [0] * KINDS)]
            bounds = next((limits[name] for name in names if client.ident.startswith(f"{name}:")), ())
            if any(bound and count >= bound * share for count, bound in zip(counts, bounds, strict=False)):
                found.append(ClientCounts(client.ident, client.count, counts[1:]))
        found.sort(key=lambda each: (max(each.rates), each.count), reverse=True)
        return found[:most], max(0, len(found) - most)


def _moment(at: float) -> str:
    """`Nov 21 08:35:30`, in local time."""
    return time.ctime(at)[4:19]
