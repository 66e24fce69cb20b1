"""The qmgr process: takes the spool's lock, listens, recovers what is queued while mail flows.

Its master.cf socket, public/qmgr, takes triggers of one byte, as Postfix's does; notices of new mail and requests of
commands come over two sockets of its own.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import ChainMap
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import islice
from typing import Any, ClassVar

import msgspec

from estafeta.base import log
from estafeta.config.processes import worker_processes
from estafeta.daemons.qmgr.active import ActiveQueue
from estafeta.daemons.qmgr.control import QueueControl
from estafeta.daemons.qmgr.departure import Departure
from estafeta.daemons.qmgr.finish import Asks, Finish
from estafeta.daemons.qmgr.flush_notes import FlushNotes
from estafeta.daemons.qmgr.limits import bad_feedback
from estafeta.daemons.qmgr.message import Message
from estafeta.daemons.qmgr.resubmit import resubmit
from estafeta.net.frames import Frames
from estafeta.queue.handover import HandoverWriter
from estafeta.queue.journal import SpoolError
from estafeta.queue.keeper import LOCK, Keeper, SpoolBusy
from estafeta.queue.spool import Reader
from estafeta.routing.routing import Routing
from estafeta.services import notice, queue_control
from estafeta.services.flush import FlushClient
from estafeta.services.report import BOUNCE, DELAY, SUCCESS, VERIFY, Reporter
from estafeta.services.verify import Verifier
from estafeta.skeleton.service import Context, Service

LOCK_PATIENCE = 30.0
"""Seconds that a command, or a qmgr that is ending, may still hold the spool."""
DISK_PATIENCE = 5.0
"""Seconds until a full disk is tried again at the start."""
STOP_PATIENCE = 3.0
"""Seconds that agents get to report on what they have when everything stops; what they do not report is delivered
again. They have no more time themselves."""
HANDOVER_PATIENCE = 1.0
"""Seconds that agents get before another qmgr takes over; then we stay until they have reported."""
REPORT_PATIENCE = 0.5
"""Seconds that the bounce services get to write what they are at, lest the next qmgr asks again."""
FULL_INTERVAL = 0.05
"""Seconds between two looks whether a full active queue has taken up what waited for it."""
SCAN_PIECE = 1000
"""Files of deferred/ that are taken in at a time: neither a long wait for the rest of us, nor all of them in memory."""
RETURN_INTERVAL = 0.5
"""Seconds between two looks whether the qmgr before us has heard everything."""

SCAN_ALL, FLUSH_DEAD, SCAN_DEFERRED, SCAN_INCOMING, WAKEUP = b"AFDIW"


class QmgrService(Service):
    """The one process of the queue manager."""

    style: ClassVar[str] = "trigger"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.watchdog_timeout = self.conf.qmgr_daemon_timeout

    async def open(self) -> None:
        if self.context.entry.program == "nqmgr":
            log.warning(f"please update the {self.context.entry.file} file; the new queue manager")
            log.warning("(old name: nqmgr) has become the standard queue manager (new name: qmgr)")
            log.warning("support for the name old name (nqmgr) will be removed from Postfix")
        if self.conf.bounce_queue_lifetime > self.conf.maximal_queue_lifetime:
            log.warning("bounce_queue_lifetime is larger than maximal_queue_lifetime - adjusting bounce_queue_lifetime")
        for trouble in bad_feedback(self.conf, [entry.name for entry in self.context.entries]):
            log.warning(trouble)  # now, not with the first mail
        overrides = self.context.overrides_of(self.conf.rewrite_service_name)
        self._routing = Routing.open(self.conf, overrides)
        self._probe_routing = Routing.open_for_probes(self.conf, overrides) or self._routing

    async def start(self) -> None:
        conf = self.conf
        self._keeper = Keeper(
            hash_names=conf.hash_queue_names,
            hash_depth=conf.hash_queue_depth,
            sync_interval=float(conf.estafeta_progress_sync),
        )
        await self._take_lock()
        self._reader = Reader()
        reporters = {
            BOUNCE: Reporter(f"private/{conf.bounce_service_name}", conf.ipc_timeout),
            DELAY: Reporter(f"private/{conf.defer_service_name}", conf.ipc_timeout),
            SUCCESS: Reporter(f"private/{conf.trace_service_name}", conf.ipc_timeout),
        }
        self._reporters: dict[str, Asks] = {**reporters, VERIFY: reporters[SUCCESS]}
        self._reporting = tuple(reporters.values())
        self._verifier = Verifier(f"private/{conf.address_verify_service_name}", conf.ipc_timeout)
        self._finish = Finish(
            conf, self._keeper, self._reader, self._reporters, self._resubmit, verifier=self._verifier
        )
        self._queue = ActiveQueue(
            conf, self._keeper, self._routing, self._finish, self._workers_of, probe_routing=self._probe_routing
        )
        self._control = QueueControl(self._queue, self._keeper, self._scan_deferred)
        self._scanning = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()
        self._clients: set[Frames] = set()
        self._writers: set[Frames] = set()
        self._full = False
        self._departure: tuple[Departure, HandoverWriter] | None = None
        self._queue.start()
        for found in await asyncio.to_thread(self._keeper.load_away):
            self._queue.away(found)
        if conf.fast_flush_domains:
            self._finish.flush_notes = FlushNotes(FlushClient.open(conf))
        self._servers = [
            await self._listen(notice.SOCKET, self._notice_client),
            await self._listen(queue_control.SOCKET, self._control_client),
        ]
        self._in_background(self._recover())
        self._in_background(self._scan_from_time_to_time())
        self._in_background(self._await_predecessors())

    async def _take_lock(self) -> None:
        deadline = asyncio.get_running_loop().time() + LOCK_PATIENCE
        while True:
            try:
                self._keeper.lock()
                return
            except SpoolBusy:
                if asyncio.get_running_loop().time() > deadline:
                    raise RuntimeError(
                        f"{LOCK} is held by another process: end it, or wait for it, and start again"
                    ) from None
            except SpoolError as error:
                log.warning(f"{error}: mail waits until there is room; will try again")
                await asyncio.sleep(DISK_PATIENCE)
            await asyncio.sleep(0.1)

    async def _listen(self, path: str, client: Callable[[], Frames]) -> asyncio.AbstractServer:
        with suppress(FileNotFoundError):
            os.unlink(path)  # of a qmgr before us: we have the lock, so there is no other
        return await asyncio.get_running_loop().create_unix_server(client, path, backlog=1024)

    def _workers_of(self, transport: str) -> tuple[int, int]:
        """(processes, deliveries at the same time) of a transport, as master runs it."""
        for entry in self.context.entries:
            if entry.name == transport and entry.type != "inet":
                return worker_processes(self.conf, entry.maxproc), entry.maxproc
        return 1, 0

    async def _await_predecessors(self) -> None:
        """Take up what earlier processes still had delivered, as each of them ends."""
        while self._keeper.away:
            try:
                for back in await self._keeper.returned():
                    self._queue.returned(back)
            except OSError as error:
                log.warning(f"handover: {error}: will try again")
            await asyncio.sleep(RETURN_INTERVAL)

    # --- looking for mail

    async def _recover(self) -> None:
        """Everything in incoming/ that we have not heard about."""
        async with self._looking:
            try:
                async for found in self._keeper.recover():
                    self._queue.recovered(found)
            except OSError as error:
                log.warning(f"scan of incoming/: {error}: will try again")
        await self._scan_deferred()

    async def _scan_deferred(self) -> None:
        """Read deferred/ anew: for what was there before us, and what was put there by hand."""
        busy = ChainMap[str, Any](self._queue.active, self._queue.loading)
        async with self._scanning:
            listing = self._keeper.deferred()
            self._queue.deferred.scan_begins(self._keeper.leaving)
            try:
                while piece := await asyncio.to_thread(lambda: list(islice(listing, SCAN_PIECE))):
                    self._queue.deferred.found(piece, busy)
            except OSError as error:
                log.warning(f"scan of deferred/: {error}: will try again")
                return
            self._queue.deferred.scan_ends()
        self._queue.wake()

    async def _scan_from_time_to_time(self) -> None:
        while True:
            await asyncio.sleep(self.conf.queue_run_delay)
            await self._recover()

    async def triggered(self, requests: bytes) -> None:
        wanted = set(requests)
        if FLUSH_DEAD in wanted:
            self._queue.dispatch.flush_transports()
        if wanted & {SCAN_INCOMING, WAKEUP}:
            await self._recover()
        elif wanted & {SCAN_DEFERRED, SCAN_ALL}:
            await self._scan_deferred()
        if SCAN_ALL in wanted:
            # Postfix lets this wait for the next scan; whoever sends it asks for the scan as well.
            everything = list(self._queue.deferred)
            self._queue.flushed.update(everything)
            self._queue.deferred.make_due(everything, 0.0)
            self._queue.wake()

    # --- conversations

    def _notice_client(self) -> Frames:
        frames = self._client(self._noticed)
        self._writers.add(frames)
        if self._full:
            frames.send(notice.FULL)
        return frames

    def _client(self, received: Callable[[bytes], None]) -> Frames:
        """A connection that we close when another process takes our place."""

        def closed(reason: Exception | None) -> None:
            self._clients.discard(frames)
            self._writers.discard(frames)

        frames = Frames(received, closed)
        self._clients.add(frames)
        return frames

    def _watch_room(self) -> None:
        """Mail waits for room: those who bring more are to slow down, until all that waits has been taken up."""
        full = self._queue.full if not self._full else len(self._queue.incoming) > 0
        if full != self._full:
            self._full = full
            for writer in self._writers:
                writer.send(notice.FULL if full else notice.ROOM)
        if full:
            asyncio.get_running_loop().call_later(FULL_INTERVAL, self._watch_room)

    def _noticed(self, payload: bytes) -> None:
        try:
            batch = notice.decode(payload)
        except msgspec.MsgspecError as error:
            log.warning(f"malformed notice: {error}: the mail is found by the next scan")
            return
        for word in batch:
            if isinstance(word, notice.Arrived):
                if self._keeper.arrived(word.place):
                    self._queue.arrived(word.place, word.envelope)
            elif isinstance(word, notice.Held):
                if self._keeper.arrived(word.place):
                    word.envelope.hold_reason = word.envelope.hold_reason or "hold"
                    self._queue.arrived(word.place, word.envelope)
            elif isinstance(word, notice.Sealed):
                self._keeper.sealed(word.segment, word.records)
            else:
                self._in_background(self._recover())
        if not self._full and self._queue.full:
            self._watch_room()

    def _control_client(self) -> Frames:
        frames: Frames

        def received(payload: bytes) -> None:
            self._in_background(self._answer(frames, payload))

        frames = self._client(received)
        return frames

    async def _answer(self, frames: Frames, payload: bytes) -> None:
        try:
            control = queue_control.decode_control(payload)
        except msgspec.MsgspecError as error:
            log.warning(f"malformed control request: {error}")
            frames.close()
            return
        async for reply in self._control.answer(control):
            await frames.writable.wait()
            if not frames.open:
                return
            frames.send(queue_control.encode(reply))

    async def _resubmit(self, message: Message) -> str:
        return await resubmit(message, self._reader)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background_done)

    def _background_done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(f"request failed: {error!r}")

    # --- the end

    def _hang_up(self) -> None:
        """Nobody brings us anything any more; whoever has something comes to the next qmgr."""
        for server in self._servers:
            server.close()
        for task in list(self._background):
            task.cancel()

    async def hand_over(self, make_way: Callable[[], None]) -> None:
        """A slow delivery is neither given up nor repeated because another qmgr takes our place: give that one the
        spool, and stay for the reports."""
        self._hang_up()
        await self._queue.rest(HANDOVER_PATIENCE)
        await self._leave_word()
        departure = Departure(self._queue)
        if not departure.kept:
            return
        await self._finish.stop(REPORT_PATIENCE)
        try:
            writer = await self._keeper.hand_over(departure.kept)
        except SpoolError as error:
            log.warning(f"{error}: deliveries that are under way may be repeated")
            return
        self._departure = departure, writer
        for client in list(self._clients):
            client.close()
        for reporter in self._reporting:
            reporter.close()
        self._verifier.close()
        make_way()
        await departure.hear_out(writer, self.conf.daemon_timeout)

    async def _leave_word(self) -> None:
        """A flush that is under way goes on with the next qmgr: it reads from the files what is due."""
        now = time.time()
        try:
            await asyncio.to_thread(self._keeper.make_due, self._queue.unfinished(now), now)
        except OSError as error:
            log.warning(f"{error}: mail that was to be tried now waits for its time")

    async def stop(self) -> None:
        self._hang_up()
        if self._departure is not None:
            departure, writer = self._departure
            await self._queue.stop(STOP_PATIENCE)
            await departure.write(writer)
            writer.close()
            return
        await self._queue.stop(STOP_PATIENCE)
        await self._leave_word()
        await self._finish.stop(REPORT_PATIENCE)
        try:
            await self._keeper.close()
        except SpoolError as error:
            log.warning(f"{error}: deliveries of the last second may be repeated")
