"""Keeping a cache small: now and then, entries that have run out are removed. verify(8) and postscreen(8) have one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from estafeta.base import log

if TYPE_CHECKING:
    from estafeta.tables.cache_store import CacheStore

CLEANED = "_LAST_CACHE_CLEANUP_COMPLETED_"
"""The key under which the cache itself says when it was last cleaned."""
TURN = 1000
"""Entries looked at in one go."""


class Cleanup:
    """`run` for as long as the process lives. `interval`: seconds, 0 for never. `stale`: whether to drop an entry, by
    its value and the time now."""

    def __init__(
        self, store: CacheStore, interval: float, stale: Callable[[str, int], bool], clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._interval = interval
        self._stale = stale
        self._clock = clock

    async def run(self) -> None:
        while (pause := self.pause()) is not None:
            if pause:
                await asyncio.sleep(pause)
            await self.clean()

    def pause(self) -> float | None:
        """Seconds until it is time; None for never."""
        if not self._interval:
            return None
        last = self._store.get(CLEANED) or ""
        if not (last.isascii() and last.isdigit()):
            return 0.0
        now = self._clock()
        # A clock that was set back must not put it off for long.
        return max(0.0, min(int(last), now) + self._interval - now)

    async def clean(self) -> None:
        """Forget what has run out."""
        now = int(self._clock())
        kept = dropped = 0
        how = "partial"
        try:
            for seen, (key, line) in enumerate(self._store.items(), 1):
                if key == CLEANED:
                    continue
                if self._stale(line, now):
                    self._store.delete(key)
                    dropped += 1
                else:
                    kept += 1
                if seen % TURN == 0:
                    await asyncio.sleep(0)
            self._store.put(CLEANED, str(now))
            how = "full"
        finally:
            log.info(f"cache {self._store.spec} {how} cleanup: retained={kept} dropped={dropped} entries")
