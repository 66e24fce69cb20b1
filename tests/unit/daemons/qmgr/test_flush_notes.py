"""What qmgr tells flush(8)."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from estafeta.daemons.qmgr.flush_notes import FlushNotes
from estafeta.services.flush import OK, FlushRequest


class Sites:
    async def has(self, site: str) -> bool:
        return True


class Client:
    """Hears everything."""

    former_default = False
    sites = Sites()

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    async def ask(self, request: FlushRequest) -> str:
        self.heard += request.waiting
        return OK


def waiting(queue_id: str, address: str) -> Any:
    return SimpleNamespace(queue_id=queue_id, recipients=[SimpleNamespace(address=address)])


def test_what_is_put_off_just_as_all_else_was_told_is_told_too() -> None:
    async def case() -> None:
        client: Any = Client()
        notes = FlushNotes(client)
        notes.put_off(waiting("A", "ann@one.test"), [0])
        task = notes._task
        assert task is not None
        while not task.done():
            await asyncio.sleep(0)
        notes.put_off(waiting("B", "bob@two.test"), [0])
        for _ in range(5):
            await asyncio.sleep(0)
        assert client.heard == [("one.test", "A"), ("two.test", "B")]

    asyncio.run(case())
