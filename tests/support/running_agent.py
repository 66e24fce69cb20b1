"""A delivery agent's service without processes around it: it runs in a directory that stands for the queue, and what it
logs is kept. `smtp_client.py` and `mailbox_agent.py` say how a letter is handed to one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

from estafeta.base import log
from estafeta.queue import record
from estafeta.queue.place import Place


class RunningAgent:
    """`async with` starts the service and stops it."""

    def __init__(self, service: Any, directory: Path) -> None:
        self.service = service
        self.directory = directory
        self.lines: list[str] = []
        self.warnings: list[str] = []
        self.count = 0

    async def __aenter__(self) -> Self:
        self._before = log.install(self._take)
        self._cwd = Path.cwd()
        os.chdir(self.directory)
        await self.service.open()
        await self.service.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.service.stop()
        os.chdir(self._cwd)
        log.install(self._before)

    def _take(self, level: int, text: str, program: str | None) -> None:
        (self.warnings if level > log.INFO else self.lines).append(text)

    def store(self, head: bytes, body: bytes) -> Place:
        """Put a message into a file of the spool."""
        self.count += 1
        path = f"m{self.count}"
        packed = record.pack(record.MESSAGE, head, [body], b"")
        (self.directory / path).write_bytes(b"".join(packed))
        return Place(path, 0, len(head), len(body), 0)
