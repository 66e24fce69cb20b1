"""A qmgr that has a successor, and agents that still deliver by its order.

The spool is the successor's; all that is left to do is to hear what becomes of those deliveries and to write it into
the handover (`queue/handover.py`), from which the successor learns it when this process ends. Reports are synced
together: those that come while the disk is busy share the next write.
"""

from __future__ import annotations

import asyncio

from estafeta.base import log
from estafeta.daemons.qmgr.active import ActiveQueue
from estafeta.queue.handover import HandoverWriter, Heard, Results

RETRY = 5.0
"""Seconds until a write that failed is tried again."""
ATTEMPTS = 12


class Departure:
    """From its making on, reports come here. `kept` is what the successor has to leave alone; empty: nothing."""

    def __init__(self, queue: ActiveQueue) -> None:
        self._queue = queue
        self._unwritten: Results = {}
        self._news = asyncio.Event()
        self.kept = queue.leave(self._told)

    def _told(self, queue_id: str, heard: dict[int, Heard]) -> None:
        self._unwritten.setdefault(queue_id, {}).update(heard)
        self._news.set()

    async def hear_out(self, writer: HandoverWriter, patience: float) -> None:
        """Until every delivery is reported and written down, or `patience` seconds have passed."""
        try:
            async with asyncio.timeout(patience):
                while self._queue.busy:
                    self._news.clear()
                    await self.write(writer)
                    if self._queue.busy:
                        await self._news.wait()
        except TimeoutError:
            pass  # the successor tries again what is not reported
        await self.write(writer)

    async def write(self, writer: HandoverWriter) -> None:
        """Write down what is reported. A disk that refuses is asked for a minute; what is lost then is repeated."""
        for attempt in range(1, ATTEMPTS + 1):
            if not self._unwritten:
                return
            batch, self._unwritten = self._unwritten, {}
            try:
                await asyncio.to_thread(writer.add, batch)
                continue
            except BaseException as error:
                for queue_id, heard in batch.items():
                    self._unwritten[queue_id] = {**heard, **self._unwritten.get(queue_id, {})}
                if not isinstance(error, OSError):
                    raise
                log.warning(f"write to {writer.path}: {error.strerror}: deliveries may be repeated")
            if attempt < ATTEMPTS:
                await asyncio.sleep(RETRY)
