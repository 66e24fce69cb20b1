"""A few threads that check passwords, with a queue that has an end.

A modern hash costs a tenth of a second of computing on purpose, so a flood of logins must neither stop the event loop
nor pile up: what does not find room in the queue is told "later" at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures.thread import ThreadPoolExecutor
from typing import TypeVar

from estafeta.accounts.source import SourceDown

Result = TypeVar("Result")


class Workers:
    """Made at any time; the threads begin with the first piece of work."""

    def __init__(self, threads: int, queue: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        self._most = threads + queue
        self._under_way = 0

    async def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """`work(*arguments)` in a thread. Raises what it raises, and SourceDown when too many are waiting."""
        if self._under_way >= self._most:
            raise SourceDown(f"{self._under_way} logins are being checked already: see estafeta_auth_queue")
        self._under_way += 1
        try:
            task = self._pool.submit(work, *arguments)
        except RuntimeError as error:  # no thread could be started, or the process is ending
            self._under_way -= 1
            raise SourceDown(f"no thread to check a password: {error}") from None
        loop = asyncio.get_running_loop()
        # What was begun is computed to its end, whether or not the client stays to hear it.
        task.add_done_callback(lambda _: self._done(loop))
        return await asyncio.wrap_future(task)

    def _done(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(self._one_less)
        except RuntimeError:
            pass  # the loop is closed: nobody counts any more

    def _one_less(self) -> None:
        self._under_way -= 1

    def stop(self) -> None:
        """What has not begun is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)
