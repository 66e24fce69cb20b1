"""Keeping the cache small: now and then, entries that have long run out are removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from estafeta.base import log

from . import record

if TYPE_CHECKING:
    from estafeta.config.instance import Config
    from estafeta.tables.cache_store import CacheStore

TURN = 1000
"""Entries looked at in one go."""


class Cleanup:
    """`run` for as long as the process lives."""

    def __init__(self, conf: Config, store: CacheStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._interval = conf.postscreen_cache_cleanup_interval
        self._retention = conf.postscreen_cache_retention_time

    async def run(self) -> None:
        while self._interval:
            pause = self.pause()
            if pause:
                await asyncio.sleep(pause)
            await self.clean()

    def pause(self) -> float:
        """Seconds until it is time."""
        last = self._store.get(record.CLEANED) or ""
        if not (last.isascii() and last.isdigit()):
            return 0.0
        now = self._clock()
        # A clock that was set back must not put it off for long.
        return max(0.0, min(int(last), now) + self._interval - now)

    async def clean(self) -> None:
        """Forget who has not been here for long."""
        now = int(self._clock())
        kept = dropped = 0
        how = "partial"
        try:
            for seen, (key, line) in enumerate(self._store.items(), 1):
                if key == record.CLEANED:
                    continue
                times = record.parse(line)
                if times is None or max(times) + self._retention < now:
                    self._store.delete(key)
                    dropped += 1
                else:
                    kept += 1
                if seen % TURN == 0:
                    await asyncio.sleep(0)
            self._store.put(record.CLEANED, str(now))
            how = "full"
        finally:
            log.info(f"cache {self._store.spec} {how} cleanup: retained={kept} dropped={dropped} entries")
