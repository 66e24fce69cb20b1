"""Stress: a public service has as many clients as it may, so new ones get less patience for a while.

In Postfix, master starts such a service's processes with `-o stress=yes`. Here processes live on and serve many
clients, so the word is passed through memory that they share: whoever gives the last place away sets it, every process
looks when a client comes, and it ends by itself some time after the last crowding.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Callable

LASTS = 1000.0
"""Seconds that stress goes on after the service was last crowded."""

_MOMENT = struct.Struct("d")


class Stress:
    """Made by master before it forks; `on` in all processes of the service at once."""

    __slots__ = ("_cell", "_clock")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._cell = mmap.mmap(-1, _MOMENT.size)
        self._clock = clock

    @property
    def on(self) -> bool:
        until: float = _MOMENT.unpack(self._cell[: _MOMENT.size])[0]
        return until > self._clock()

    def begin(self) -> None:
        """The service is crowded: from now on, and for a while."""
        self._cell[: _MOMENT.size] = _MOMENT.pack(self._clock() + LASTS)
