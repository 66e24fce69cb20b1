"""Where clients wait: thousands of sockets, with one descriptor and one timer in the event loop.

The sockets are in an epoll set of our own, and the loop watches that one. All who wait for the same time stand in one
line, so that the line needs one timer, for its first. Leaving early costs nothing: whoever is called and has left is
passed over.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

A_TURN = 256
"""Sockets looked at before the loop gets its turn again."""

Each = TypeVar("Each")


class Watch(Generic[Each]):
    """Calls `readable(who)` when there is input, or the end of it. Once for each `add`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, readable: Callable[[Each], None]) -> None:
        self._loop = loop
        self._readable = readable
        self._epoll = select.epoll()
        self._who: dict[int, Each] = {}
        loop.add_reader(self._epoll.fileno(), self._turn)

    def __len__(self) -> int:
        return len(self._who)

    def add(self, descriptor: int, who: Each) -> None:
        self._who[descriptor] = who
        self._epoll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """It need not be there. To be called before the descriptor is closed or given away."""
        if self._who.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def all(self) -> list[Each]:
        return list(self._who.values())

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._who.clear()

    def _turn(self) -> None:
        for descriptor, _ in self._epoll.poll(0, A_TURN):
            who = self._who.get(descriptor)
            if who is not None:
                self.remove(descriptor)
                self._readable(who)


class Line(Generic[Each]):
    """Calls `due(who)` after `seconds`, in order of arrival."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, due: Callable[[Each], None]) -> None:
        self._loop = loop
        self.seconds = seconds
        self._due = due
        self._waiting: deque[tuple[float, Each]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, who: Each) -> None:
        self._waiting.append((self._loop.time() + self.seconds, who))
        if self._timer is None:
            self._timer = self._loop.call_later(self.seconds, self._turn)

    def forget_first(self, has_left: Callable[[Each], bool]) -> None:
        """Pass over those at the front who have left now, and not only when their time has come."""
        while self._waiting and has_left(self._waiting[0][1]):
            self._waiting.popleft()

    def close(self) -> None:
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            self._due(self._waiting.popleft()[1])
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_at(self._waiting[0][0], self._turn)
