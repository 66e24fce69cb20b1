"""flush(8) as a service: notes what waits, and has it tried when a site asks. services/flush.py is its protocol.

It keeps nothing in memory, so any number of its processes may run. Delivery is asked of qmgr, by queue id; while qmgr
is away nothing is forgotten: the ids go back into the account.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from estafeta.base import log
from estafeta.daemons.flush.site_logs import SiteLogs
from estafeta.net.frames import Frames
from estafeta.services import queue_control
from estafeta.services.flush import (
    ADD,
    BAD,
    DENIED,
    FAILED,
    LONGEST_ID,
    OK,
    PURGE,
    REFRESH,
    SEND_FILE,
    SEND_SITE,
    FlushReply,
    FlushRequest,
    FlushSites,
    decode_request,
    encode,
    well_formed,
)
from estafeta.services.queue_control import FLUSH, Control, ControlReply, ask_async
from estafeta.skeleton.service import Context, Service
from estafeta.tables.table import TableDown

AT_ONCE = 10_000
"""Messages in one request to qmgr."""
TRIES, PAUSE = 20, 0.25
"""How often qmgr is asked again while it is away, and how many seconds lie between."""


class FlushService(Service):
    """One process of the flush entry."""

    def __init__(self, context: Context, *, logs: SiteLogs | None = None, control: str = queue_control.SOCKET) -> None:
        super().__init__(context)
        self._pause = PAUSE
        self._logs = logs or SiteLogs()
        self._control = control
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._sites = FlushSites.open(self.conf)

    async def start(self) -> None:
        self._refreshing = asyncio.Lock()

    def client(self, release: Callable[[], None]) -> asyncio.BaseProtocol:
        return _Door(self, release)

    def begin(self, frames: Frames, payload: bytes) -> None:
        """A client has asked for something."""
        self._spawn(self._answer(frames, payload))

    def kick(self, requests: bytes) -> None:
        """A wakeup."""
        self._spawn(self.refresh(0.0 if b"P" in requests else self.conf.fast_flush_refresh_time))

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(f"request failed: {error!r}")

    async def stop(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    async def _answer(self, frames: Frames, payload: bytes) -> None:
        try:
            status = await self.serve(decode_request(payload))
        except msgspec.MsgspecError as error:
            log.warning(f"malformed request: {error}")
            status = BAD
        except TableDown as down:
            log.warning(f"fast_flush_domains: {down}")
            status = FAILED
        except OSError as error:
            log.warning(f"{error.filename or self._control}: {error.strerror or error}")
            status = FAILED
        if frames.open:
            frames.send(encode(FlushReply(status)))

    async def serve(self, request: FlushRequest) -> str:
        """Do it. Raises TableDown, OSError."""
        if request.operation == ADD:
            return await self._add(request.waiting)
        if request.operation == SEND_SITE:
            return await self._send_site(request.site)
        if request.operation == SEND_FILE:
            if not _is_id(request.queue_id):
                return BAD
            await self._deliver([request.queue_id])
            return OK
        if request.operation in (REFRESH, PURGE):
            self.kick(b"P" if request.operation == PURGE else b"W")
            return OK
        return BAD

    async def _add(self, waiting: Iterable[tuple[str, str]]) -> str:
        sites: defaultdict[str, list[str]] = defaultdict(list)
        for site, queue_id in waiting:
            if not well_formed(site) or not _is_id(queue_id):
                return BAD
            sites[site.lower()].append(queue_id)
        for site, queue_ids in sites.items():
            if await self._sites.has(site):
                await asyncio.to_thread(self._logs.add, self._logs.account(site), queue_ids)
        return OK

    async def _send_site(self, site: str) -> str:
        if not well_formed(site):
            return BAD
        if not await self._sites.has(site):
            return DENIED
        await self._send(self._logs.account(site))
        return OK

    async def _send(self, account: str) -> None:
        queue_ids = await asyncio.to_thread(self._logs.take, account)
        try:
            await self._deliver(queue_ids)
        except OSError:
            await asyncio.to_thread(self._logs.add, account, queue_ids)
            raise

    async def _deliver(self, queue_ids: list[str]) -> None:
        for start in range(0, len(queue_ids), AT_ONCE):
            reply = await self._ask(Control(FLUSH, queue_ids[start : start + AT_ONCE]))
            if reply.reason:
                raise OSError(0, reply.reason, self._control)

    async def _ask(self, control: Control) -> ControlReply:
        """We run, so master does: a qmgr that is not there is about to be, as during a reload."""
        for _ in range(TRIES):
            try:
                return await ask_async(control, path=self._control)
            except (FileNotFoundError, ConnectionError):
                await asyncio.sleep(self._pause)
        return await ask_async(control, path=self._control)

    async def refresh(self, after: float) -> None:
        """Have mail tried that nobody has asked for in `after` seconds; remove accounts that are long empty."""
        async with self._refreshing:
            try:
                for account in await asyncio.to_thread(self._logs.neglected, after):
                    await self._send(account)
                await asyncio.to_thread(self._logs.purge, self.conf.fast_flush_purge_time)
            except OSError as error:
                log.warning(f"{error.filename or self._control}: {error.strerror or error}: will try again")


class _Door(asyncio.Protocol):
    """One connection: wakeups, which are bytes that cannot begin a frame, or requests."""

    def __init__(self, service: FlushService, release: Callable[[], None]) -> None:
        self._service = service
        self._frames = Frames(lambda payload: service.begin(self._frames, payload), lambda reason: release())
        self._transport: Any = None
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._frames.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self._begun and data[:1] != b"\0":
            self._service.kick(data)
            self._transport.close()
            return
        self._begun = True
        self._frames.data_received(data)

    def pause_writing(self) -> None:
        self._frames.pause_writing()

    def resume_writing(self) -> None:
        self._frames.resume_writing()

    def connection_lost(self, reason: Exception | None) -> None:
        self._frames.connection_lost(reason)


def _is_id(queue_id: str) -> bool:
    return 0 < len(queue_id) <= LONGEST_ID and queue_id.isalnum() and queue_id.isascii()
