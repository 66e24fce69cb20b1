"""Idle connections, kept for the next message to the same place.

A connection is found by the next hop that it was used for (then no look-up is needed at all), or by the server's
address. One that sits idle for smtp_connection_cache_time_limit is closed; the age and the number of messages have
limits too. Each worker process keeps its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from estafeta.daemons.smtp.connection import Connection, Manner
from estafeta.daemons.smtp.mx import Server

MOST_IDLE = 1000
"""Connections kept idle in one process."""

Endpoint = tuple[str, str, int]
_Key = TypeVar("_Key", str, Endpoint)


class Pool:
    def __init__(self, manner: Manner, *, idle: float, age: float, uses: int) -> None:
        """`idle`, `age` in seconds; `uses` 0 for no limit."""
        self._manner = manner
        self._idle = idle
        self._age = age
        self._uses = uses
        # Insertion order is the order of falling idle, so that the oldest is the first.
        self._since: dict[Connection, float] = {}
        self._by_nexthop: dict[str, list[Connection]] = {}
        self._by_endpoint: dict[Endpoint, list[Connection]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._since)

    def take(self, nexthop: str) -> Connection | None:
        """A live idle connection last used for this next hop; the one that fell idle last."""
        return self._alive(self._by_nexthop.get(nexthop))

    def take_for(self, server: Server) -> Connection | None:
        """A live idle connection to this server."""
        return self._alive(self._by_endpoint.get(_endpoint(server)))

    def _alive(self, found: list[Connection] | None) -> Connection | None:
        while found:
            connection = found[-1]
            self._forget(connection)
            if not connection.dead:
                return connection
            connection.abort()
        return None

    def give(self, connection: Connection, nexthop: str) -> bool:
        """Keep it for the next message; False (and it is closed) when it has served its time."""
        old = self._loop.time() - connection.opened >= self._age
        # The first delivery is a use, but no use again.
        if connection.dead or old or (self._uses and connection.uses > self._uses):
            self.leave(connection)
            return False
        if len(self._since) >= MOST_IDLE:
            oldest = next(iter(self._since))
            self._forget(oldest)
            self.leave(oldest)
        connection.key = nexthop
        self._since[connection] = self._loop.time()
        self._by_nexthop.setdefault(nexthop, []).append(connection)
        self._by_endpoint.setdefault(_endpoint(connection.server), []).append(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(self._idle, self._sweep)
        return True

    def leave(self, connection: Connection) -> None:
        """Say goodbye in the background."""
        self.background(connection.quit(self._manner))

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Say goodbye to all, and wait until it is said."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in list(self._since):
            self._forget(connection)
            self.leave(connection)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    def _forget(self, connection: Connection) -> None:
        del self._since[connection]
        _take_out(self._by_nexthop, connection.key, connection)
        _take_out(self._by_endpoint, _endpoint(connection.server), connection)

    def _sweep(self) -> None:
        self._timer = None
        now = self._loop.time()
        for connection, since in list(self._since.items()):
            if connection.dead:
                self._forget(connection)
                connection.abort()
            elif now - since >= self._idle - 0.01:
                self._forget(connection)
                self.leave(connection)
        if self._since:
            wait = next(iter(self._since.values())) + self._idle - now
            self._timer = self._loop.call_later(max(wait, 0.05), self._sweep)


def _take_out(index: dict[_Key, list[Connection]], key: _Key, connection: Connection) -> None:
    kept = index[key]
    kept.remove(connection)
    if not kept:
        del index[key]


def _endpoint(server: Server) -> Endpoint:
    return (server.host, server.path or server.address, server.port)
