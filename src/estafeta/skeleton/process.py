"""One service process, from fork to exit. See service.py for what it runs.

Master forks and calls `run`, which does not return. The channel to master is a socket pair: we tell it that we are
ready, have served someone, are busy or free; it tells us to finish (reload) or hands us a new log file; and when it
is gone we read the end of input and finish too.

SIGTERM and SIGHUP: stop accepting, serve who is in (after SIGTERM for a few seconds at most), stop. SIGQUIT: stop now.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import importlib
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import uvloop

from estafeta.accounts import watched
from estafeta.base import log, verbose
from estafeta.config.main_cf import ConfigError
from estafeta.mail import domain, logline
from estafeta.tables import maps, unix
from estafeta.tables import settings as table_settings
from estafeta.tables.table import TableError

from . import privileges
from .accept import DatagramDoor, Door, PassDoor, SocketDoor, StreamDoor, TriggerDoor, describe
from .debugger import run_debugger
from .log import LineSink, for_daemon
from .log_targets import Target
from .service import Context, Service
from .slots import Pot, Slots

READY, USED, BUSY, FREE, LEAVING, CROWDED = b"R", b"U", b"B", b"F", b"L", b"C"
"""What a process tells master: it accepts clients; it has served one; it takes no more; it does again; it stays only to
finish something, and the next one may start; the service has as many clients as it may."""
FINISH, NEW_LOG = b"D", b"L"
"""What master tells a process: serve who is in, and end; the log goes to the descriptor that comes along."""

STOP_PATIENCE = 3.0
"""Seconds that clients get to finish after SIGTERM."""
ABORT_PATIENCE = 1.0
CROWDED_AGAIN = 10.0
"""Seconds for which master is not told again that the service is crowded."""
USED_AFTER = 1.0
"""Seconds after which a process counts as well started although it has served nobody."""


@dataclass(slots=True)
class Launch:
    """What master hands to a new process."""

    context: Context
    target: str
    """`module:Class` of the service."""
    log_target: Target
    sockets: list[socket.socket] = field(default_factory=list)
    fifo: int | None = None
    pot: Pot | None = None
    cell: int = 0
    """Which count in the pot is ours."""
    limit: int = 0
    """Connections at a time in this process, 0 for any number."""
    last_resort: float | None = None
    """Seconds after which a client that no process has taken is let in beyond `limit`; None: it waits."""
    resident: bool = False
    """Whether the process stays when it has nothing to do."""
    public: bool = False
    """Whether clients on other machines reach the service, so that it may be crowded."""


def run(launch: Launch, channel: socket.socket) -> NoReturn:
    """Be the process. `channel` leads to master."""
    entry, conf = launch.context.entry, launch.context.conf
    sink = for_daemon(entry.program, conf, launch.log_target)
    with contextlib.suppress(OSError):  # the name that ps and top show; nice to have
        Path("/proc/self/comm").write_text(entry.program)
    # What lives long was frozen before the fork, and what a message needs is freed without the collector. It is for
    # the rare knots of objects that errors and closed connections leave: old ones are looked at every half million.
    gc.set_threshold(20_000, 5, 5)
    code = 1
    try:
        os.chdir(conf.queue_directory)
        verbose.begin(entry.verbose, conf.debug_peer_level if conf.debug_peer_list else 0)
        if entry.debug:
            run_debugger(conf, entry.program)
        table_settings.take(conf, daemon=True)
        logline.use_format(conf.info_log_address_format)
        domain.use_idna2003(conf.enable_idna2003_compatibility)
        service = load(launch.target)(launch.context)
        loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(_report)
        sink.use_loop(loop.call_later)
        code = loop.run_until_complete(Process(launch, channel, service, sink).live())
    except (ConfigError, TableError, OSError, ValueError, RuntimeError) as reason:
        log.fatal(str(reason) if isinstance(reason, ConfigError | TableError) else describe(reason))
    except BaseException as reason:
        log.panic(describe(reason))
    finally:
        sink.use_loop(None)
        sink.flush()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def load(target: str) -> type[Service]:
    """`module:Class` -> the class. Raises ImportError or AttributeError."""
    module, _, name = target.partition(":")
    service: type[Service] = getattr(importlib.import_module(module), name)
    return service


class Process:
    """The life of the process, inside the event loop."""

    def __init__(self, launch: Launch, channel: socket.socket, service: Service, sink: LineSink) -> None:
        self._launch = launch
        self._channel = channel
        self._service = service
        self._sink = sink
        self._loop = asyncio.get_event_loop()
        self._door: Door | None = None
        self._ending = asyncio.Event()
        self._patience: float | None = None
        self._settled = asyncio.Event()
        self._used = False
        self._last_used = 0.0
        self._crowded_at = -CROWDED_AGAIN

    async def live(self) -> int:
        """Returns the exit status."""
        conf, entry = self._launch.context.conf, self._launch.context.entry
        await self._service.open()
        self._launch.context.close_files()
        owner = conf.mail_owner if entry.unprivileged else ""
        if entry.chroot and privileges.is_root():
            # What cannot be seen from inside: users are asked about outside, and a table that was replaced is opened by
            # the process that comes after this one.
            unix.stay_outside(lambda: privileges.drop(conf.mail_owner, chroot=""), self._make_way)
            maps.when_stale(lambda _: self.end(None))
        if privileges.is_root():
            watched.when_unreadable(lambda _: self._make_way())
        privileges.drop(owner, chroot=conf.queue_directory if entry.chroot else "")
        await self._service.start()
        self._listen_to_master()
        self._door = self._make_door()
        await self._door.open()
        self._tell(READY)
        self._last_used = self._loop.time()
        self._loop.call_later(USED_AFTER, self._mark_used)
        self._watchdog(self._service.watchdog_timeout or conf.daemon_timeout)
        if not self._launch.resident:
            self._loop.call_later(conf.max_idle, self._check_idle)
        await self._ending.wait()
        await self._finish()
        return 0

    def _make_door(self) -> Door:
        launch = self._launch
        slots = Slots(launch.limit, launch.pot, launch.cell)
        if launch.public:
            slots.crowded = self._crowded
        common: tuple[Any, ...] = (self._service, slots, self._served, self._busy)
        style = self._service.style
        if style == "datagram":
            return DatagramDoor(*common, sockets=launch.sockets)
        if style == "trigger":
            return TriggerDoor(*common, sockets=launch.sockets, fifo=launch.fifo)
        if launch.fifo is not None:
            raise ConfigError(
                f"service {launch.context.entry.name}: {launch.context.entry.program} cannot serve a fifo"
            )
        if style == "socket":
            return SocketDoor(*common, sockets=launch.sockets)
        if launch.context.entry.type == "pass":
            return PassDoor(*common, sockets=launch.sockets)
        return StreamDoor(*common, sockets=launch.sockets, last_resort=launch.last_resort)

    # --- ending

    async def _finish(self) -> None:
        """Let nobody in, wait for who is in, and give the service its last word."""
        assert self._door is not None
        self._door.close()
        await asyncio.sleep(0)  # who was accepted in the last turn of the loop counts from the next one
        self._service.draining()
        deadline = None if self._patience is None else self._loop.time() + self._patience
        while not self._door.idle and (deadline is None or self._loop.time() < deadline):
            self._settled.clear()
            left = None if deadline is None else max(0.0, deadline - self._loop.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), left)
            if self._patience is not None and deadline is None:
                deadline = self._loop.time() + self._patience  # a reload became a stop
        try:
            if self._patience is None:
                await self._hand_over()
        finally:
            await self._service.stop()

    async def _hand_over(self) -> None:
        """Let the service finish what its successor cannot, until it has or everything stops."""
        left = asyncio.Event()

        def make_way() -> None:
            self._tell(LEAVING)
            left.set()

        async def stopped() -> None:
            while self._patience is None:
                self._settled.clear()
                await self._settled.wait()
            await left.wait()

        work, stop = self._loop.create_task(self._service.hand_over(make_way)), self._loop.create_task(stopped())
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work

    def end(self, patience: float | None) -> None:
        """Finish; clients get `patience` seconds, or (None) as long as they take."""
        if patience is not None and (self._patience is None or patience < self._patience):
            self._patience = patience
        self._ending.set()
        self._settled.set()

    def _make_way(self) -> None:
        """From any thread: let a fresh process take over."""
        self._loop.call_soon_threadsafe(self.end, None)

    def _check_idle(self) -> None:
        assert self._door is not None
        max_idle = self._launch.context.conf.max_idle
        quiet = self._loop.time() - self._last_used
        if self._door.idle and quiet >= max_idle:
            self.end(None)
        else:
            self._loop.call_later(max(1.0, max_idle - quiet) if self._door.idle else max_idle, self._check_idle)

    # --- what the door says

    def _served(self) -> None:
        self._last_used = self._loop.time()
        if not self._used:
            self._mark_used()
        if self._ending.is_set():
            self._settled.set()

    def _mark_used(self) -> None:
        if not self._used:
            self._used = True
            self._tell(USED)

    def _busy(self, busy: bool) -> None:
        self._tell(BUSY if busy else FREE)

    def _crowded(self) -> None:
        """A client got the last place. It and those that come after it are served with less patience."""
        stress, now = self._launch.context.stress, self._loop.time()
        if stress is not None:
            stress.begin()
        if now - self._crowded_at >= CROWDED_AGAIN:
            self._crowded_at = now
            self._tell(CROWDED)

    # --- master

    def _listen_to_master(self) -> None:
        self._channel.setblocking(False)
        self._loop.add_reader(self._channel.fileno(), self._from_master)
        self._loop.add_signal_handler(signal.SIGTERM, self.end, STOP_PATIENCE)
        self._loop.add_signal_handler(signal.SIGHUP, self.end, None)
        self._loop.add_signal_handler(signal.SIGQUIT, self.end, 0.0)

    def _from_master(self) -> None:
        try:
            orders, passed, _, _ = socket.recv_fds(self._channel, 256, 4)
        except BlockingIOError:
            return
        except OSError:
            orders, passed = b"", []
        for descriptor in passed:
            self._sink.flush()
            if self._launch.log_target.fileno() >= 0:
                os.dup2(descriptor, self._launch.log_target.fileno(), inheritable=False)
            os.close(descriptor)
        if not orders:  # master is gone
            self._loop.remove_reader(self._channel.fileno())
        if not orders or FINISH in orders:
            self.end(None)

    def _tell(self, word: bytes) -> None:
        with contextlib.suppress(OSError):  # master is gone or stuck: we hear of it elsewhere
            self._channel.send(word)

    def _watchdog(self, timeout: int) -> None:
        """End the process if its loop stands still for `timeout` seconds, even inside a library that never returns."""
        faulthandler.dump_traceback_later(timeout, exit=True)
        self._loop.call_later(timeout / 3, self._watchdog, timeout)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody caught: a bug of ours, which ends one task and not the process."""
    reason = context.get("exception")
    log.error(f"{context.get('message')}: {describe(reason)}" if reason is not None else str(context.get("message")))
