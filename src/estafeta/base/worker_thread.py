"""One thread that does blocking work in order, for an event loop that must not block.

Leaner than an executor: a piece of work is a function and what to call with its result, and nothing else is made for
it. The thread ends with the process; `stop` waits for what is queued.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Done = Callable[[Any, BaseException | None], None]
"""Called in the event loop with (result, None) or (None, error)."""


class WorkerThread:
    """Belongs to the event loop that runs when it is made."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._work: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...], Done] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, work: Callable[..., Any], *arguments: Any, done: Done) -> None:
        """Run `work(*arguments)` after everything that was asked for before; then `done` in the loop."""
        self._work.put((work, arguments, done))

    async def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """The same, awaited. Raises what the work raises."""
        result: asyncio.Future[Any] = self._loop.create_future()

        def done(value: Any, error: BaseException | None) -> None:
            if result.cancelled():
                return
            if error is None:
                result.set_result(value)
            else:
                result.set_exception(error)

        self.do(work, *arguments, done=done)
        return await result

    def stop(self) -> None:
        """End the thread when it has done what was asked for. Blocks."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            work, arguments, done = item
            try:
                result, error = work(*arguments), None
            except BaseException as caught:
                result, error = None, caught
            try:
                self._loop.call_soon_threadsafe(done, result, error)
            except RuntimeError:
                return  # the loop is closed: nobody is left to hear of it
