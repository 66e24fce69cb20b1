"""qmgr tells flush(8) which sites a message waits for that it has put off: only where fast_flush_domains is not empty.

What gathers while one batch is on its way is the next batch. A note that is lost costs nothing but time: the message is
tried when it is due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from estafeta.base import log
from estafeta.mail.address import split
from estafeta.mail.envelope import Envelope
from estafeta.services.flush import ADD, OK, FlushClient, FlushRequest, well_formed
from estafeta.tables.table import TableDown

MOST_WAITING = 20_000
"""Notes held while the service is slow."""
PAUSE = 60.0
"""Seconds between two tries to reach a service that is not there."""


class FlushNotes:
    """One a process. Needs a running loop."""

    def __init__(self, client: FlushClient) -> None:
        self._client = client
        self._waiting: list[tuple[str, str]] = []
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._not_before = 0.0

    def put_off(self, envelope: Envelope, indices: Iterable[int]) -> None:
        """These recipients of a message wait in deferred/. Never fails and never waits."""
        recipients = envelope.recipients
        for site in {split(recipients[index].address)[1].lower() for index in indices}:
            if well_formed(site) and len(self._waiting) < MOST_WAITING:
                self._waiting.append((site, envelope.queue_id))
        self._begin()

    def _begin(self) -> None:
        if self._waiting and self._task is None:
            self._task = self._loop.create_task(self._tell())
            self._task.add_done_callback(self._told)

    def _told(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(f"cannot tell the flush service what waits: {error!r}")
        self._begin()  # something may have come since it looked for the last time

    async def _tell(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            if self._loop.time() < self._not_before:
                continue
            try:
                wanted = {site for site in {site for site, _ in batch} if await self._client.sites.has(site)}
            except TableDown as down:
                log.warning(f"fast_flush_domains: {down}: mail is not noted for ETRN")
                self._not_before = self._loop.time() + PAUSE
                continue
            for site, _ in batch if self._client.former_default else ():
                if site in wanted:
                    self._client.hint("update fast-flush logfile", site)
            pairs = [(site, queue_id) for site, queue_id in batch if site in wanted]
            if pairs and await self._client.ask(FlushRequest(ADD, waiting=pairs)) != OK:
                self._not_before = self._loop.time() + PAUSE

    async def stop(self, patience: float) -> None:
        """Say what is left."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=patience)
