"""Master's loop: clients that arrive, processes that end, signals, and things to do at a time.

One thread, one selector. Signals and the ends of processes arrive through a socket that the interpreter writes to, so
they are handled in the loop like everything else.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import os
import selectors
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from types import FrameType

from estafeta.base import log
from estafeta.config.main_cf import ConfigError
from estafeta.config.master_cf import ServiceEntry
from estafeta.skeleton.accept import explain
from estafeta.skeleton.log import LineSink, daemon_target, for_daemon
from estafeta.skeleton.log_targets import Target, open_maillog

from .key_files import LOOK
from .plan import Key, Plan, is_served, make_plan, targets_of, warn_about_programs, worker_count
from .preload import preload
from .service import RunningService
from .sockets import Sockets, open_sockets, place_of
from .worker import Worker

WATCHDOG = 1000
"""Seconds that the loop may stand still."""
FINISH_PATIENCE = 60.0
"""Seconds after a reload that a process may hold up the one that is to take its place."""
STOP_PATIENCE = 5.0
"""Seconds after which a process that was told to end is killed."""


@dataclass(slots=True)
class _Watched:
    """A descriptor in the selector: clients of a service, or (worker) a process that speaks."""

    service: RunningService
    group: int = 0
    worker: Worker | None = None


class Supervisor:
    """Everything that master is doing."""

    def __init__(self, directory: str, plan: Plan, log_target: Target, sink: LineSink, *, verbose: int = 0) -> None:
        self.directory = directory
        self.plan = plan
        self.log_target = log_target
        self.sink = sink
        self.verbose = verbose
        self.services: dict[Key, RunningService] = {}
        self.gone: list[RunningService] = []
        """Services that are no longer in master.cf and still have processes."""
        self.stopping = 0
        self.terminal: int | None = None
        """The descriptor of the terminal that we run in the foreground of."""
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._signals: list[int] = []
        self._wakeups: dict[Key, int] = {}
        self._alarm, self._ring = socket.socketpair()

    # --- start

    def open(self) -> None:
        """Open all sockets. Raises ConfigError or OSError."""
        for entry in self._running(self.plan):
            self.services[entry.name, entry.type] = self._service(entry, self.plan)

    def _running(self, plan: Plan) -> list[ServiceEntry]:
        return [entry for entry in plan.entries if is_served(entry) and (entry.name, entry.type) not in plan.disabled]

    def _service(self, entry: ServiceEntry, plan: Plan) -> RunningService:
        sockets = open_sockets(entry, plan.conf_of(entry), self._sharing(entry, plan))
        return RunningService(entry, sockets, plan, verbose=self.verbose)

    @staticmethod
    def _sharing(entry: ServiceEntry, plan: Plan) -> int:
        """How many sockets an address gets."""
        return worker_count(entry, plan.conf_of(entry)) if entry.type == "inet" else 1

    def run(self) -> None:
        """Until a signal ends it."""
        self._ring_watchdog()
        self._schedule_wakeups()
        self._at(monotonic() + LOOK, self._look_at_key_files)
        for service in self.services.values():
            self._watch(service)
        while not self.stopping:
            self._turn()
        self._end()

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._until_next()):
            what: _Watched | None = key.data
            if what is None:
                self._drain_alarm()
            elif what.worker is not None:
                self._listen_to(what.service, what.worker)
            elif key.fd in self._selector.get_map():  # an event before this one may have changed what is watched
                self._client_waits(what.service, what.group)
        while self._signals:
            self._act_on(self._signals.pop(0))
        self._do_what_is_due()

    # --- clients and processes

    def _watch(self, service: RunningService) -> None:
        """Watch exactly those of the service's sockets whose clients nobody would serve."""
        if service.target is None:
            return
        wanted = set() if self.stopping else set(service.wanted())
        known = self._selector.get_map()
        for group in range(len(service.sockets.groups) or 1):
            for descriptor in service.sockets.descriptors(group):
                if group in wanted and descriptor not in known:
                    self._selector.register(descriptor, selectors.EVENT_READ, _Watched(service, group))
                elif group not in wanted and descriptor in known:
                    self._selector.unregister(descriptor)

    def _unwatch(self, sockets: Sockets) -> None:
        known = self._selector.get_map()
        for group in range(len(sockets.groups) or 1):
            for descriptor in sockets.descriptors(group):
                if descriptor in known:
                    self._selector.unregister(descriptor)

    def _client_waits(self, service: RunningService, group: int) -> None:
        worker = service.start(group, self.log_target)
        if worker is not None:
            self._selector.register(worker.channel, selectors.EVENT_READ, _Watched(service, worker=worker))
        else:
            self._unthrottle_later(service)
        self._watch(service)

    def _listen_to(self, service: RunningService, worker: Worker) -> None:
        try:
            words = worker.channel.recv(256)
        except BlockingIOError:
            return
        except OSError:
            words = b""
        if not words:
            if worker.channel.fileno() in self._selector.get_map():
                self._selector.unregister(worker.channel)  # its end is reported by SIGCHLD
            return
        service.heard(worker, words)
        self._watch(service)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ended(pid, status)

    def _ended(self, pid: int, status: int) -> None:
        for service in (*self.services.values(), *self.gone):
            for worker in service.workers:
                if worker.pid == pid:
                    self._lost(service, worker, status)
                    return

    def _lost(self, service: RunningService, worker: Worker, status: int) -> None:
        if worker.channel.fileno() in self._selector.get_map():
            self._listen_to(service, worker)  # its last words
        if worker.channel.fileno() in self._selector.get_map():
            self._selector.unregister(worker.channel)
        if service.ended(worker, status):
            self._unthrottle_later(service)
        elif self._is_missed(service, worker, status):
            service.wake()  # what it was doing is not to wait for the next regular wakeup
        if service in self.gone and not service.workers:
            self.gone.remove(service)
        elif service not in self.gone:
            self._watch(service)

    def _is_missed(self, service: RunningService, worker: Worker, status: int) -> bool:
        """Whether a woken service should run again at once: it was killed, or had to end before the next could
        start."""
        if not service.entry.wakeup or self.stopping or service in self.gone or service.workers:
            return False
        return worker.retired or bool(status)

    def _unthrottle_later(self, service: RunningService) -> None:
        service.throttle_turn += 1
        turn = service.throttle_turn

        def again() -> None:
            if not service.throttled or service.throttle_turn != turn:
                return  # a reload gave it another chance
            service.throttled = False
            if service in self.services.values():
                self._watch(service)
                if service.entry.wakeup and service.entry.wakeup_always:
                    service.wake()

        self._at(monotonic() + service.pause, again)

    # --- time

    def _at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._order), action))

    def _until_next(self) -> float | None:
        return max(0.0, self._timers[0][0] - monotonic()) if self._timers else None

    def _do_what_is_due(self) -> None:
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def _schedule_wakeups(self) -> None:
        """Begin anew: every service with a wakeup time is woken now, and then each time it has passed."""
        for key, service in self.services.items():
            turn = self._wakeups[key] = self._wakeups.get(key, 0) + 1
            if service.entry.wakeup and service.target is not None:
                self._wake(key, turn)

    def _wake(self, key: Key, turn: int) -> None:
        service = self.services.get(key)
        if service is None or self._wakeups.get(key) != turn or not service.entry.wakeup:
            return
        if (service.entry.wakeup_always or service.ever_used) and not service.throttled:
            service.wake()
        self._at(monotonic() + service.entry.wakeup, lambda: self._wake(key, turn))

    def _look_at_key_files(self) -> None:
        for service in self.services.values():
            service.look_at_key_files()
            self._watch(service)
        self._at(monotonic() + LOOK, self._look_at_key_files)

    def exit_after(self, seconds: int) -> None:
        """Stop after that time (-e)."""
        self._at(monotonic() + seconds, partial(self._act_on, signal.SIGTERM))

    def _ring_watchdog(self) -> None:
        signal.alarm(WATCHDOG)
        self._at(monotonic() + WATCHDOG / 3, self._ring_watchdog)

    # --- signals

    def handle_signals(self) -> None:
        """From now on signals are noted; `run` acts on them."""
        self._alarm.setblocking(False)
        self._ring.setblocking(False)
        signal.set_wakeup_fd(self._ring.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._alarm, selectors.EVENT_READ, None)
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD):
            signal.signal(number, self._signalled)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, self._stuck)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def _stuck(self, number: int, frame: FrameType | None) -> None:
        log.fatal("watchdog timeout")
        os._exit(1)

    def _drain_alarm(self) -> None:
        try:
            while self._alarm.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _act_on(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif number == signal.SIGHUP and not self._terminal_is_gone():
            self.reload()
        else:
            log.info(f"terminating on signal {number}")
            self.stopping = number

    def _terminal_is_gone(self) -> bool:
        """In the foreground a hangup means that the terminal was closed, unless it is still there."""
        return self.terminal is not None and not os.isatty(self.terminal)

    # --- reload

    def reload(self) -> None:
        """Read the configuration again, and go by it if it can be gone by."""
        announcement = f"reload -- version {self.plan.conf.mail_version}, configuration {self.directory}"
        try:
            plan, sockets = self._prepare()
        except (ConfigError, OSError, ValueError) as reason:
            log.info(announcement)
            log.error(f"reload: {explain(reason)}")
            log.error("reload: the new configuration is not used, the old one stays in force")
            return
        self._adopt_log(plan)
        self._adopt(plan, sockets)
        log.info(announcement)
        plan.conf.report()
        warn_about_programs(plan)
        preload(targets_of(plan))
        # What was frozen is not looked at by a collection: without thawing, the former plan would stay for ever, some
        # 1 MB with each reload.
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def _prepare(self) -> tuple[Plan, dict[Key, Sockets]]:
        """The new plan, and the sockets that it needs and we do not have. Raises without a change."""
        plan = make_plan(self.directory)
        for name in ("queue_directory", "data_directory", "process_id_directory"):
            if plan.conf.value(name) != self.plan.conf.value(name):
                raise ConfigError(f"{plan.conf.origin(name)}: to change {name}, stop and start the mail system")
        opened: dict[Key, Sockets] = {}
        try:
            for entry in self._running(plan):
                key = (entry.name, entry.type)
                conf = plan.conf_of(entry)
                sharing = self._sharing(entry, plan)
                known = self.services.get(key)
                if known is None or known.sockets.where != place_of(entry, conf, sharing):
                    opened[key] = open_sockets(entry, conf, sharing, known.sockets if known is not None else None)
        except (ConfigError, OSError):
            for key, sockets in opened.items():
                known = self.services.get(key)
                sockets.close(keep=known.sockets if known is not None else None, remove=known is None)
            raise
        return plan, opened

    def _adopt_log(self, plan: Plan) -> None:
        """The log file may have been renamed, by logrotate: open it again, for us and for those still at work. It may
        also have another name now, or be syslog: that holds for us and for processes to come."""
        self.sink.flush()
        try:
            if not (plan.conf.maillog_file and self.plan.conf.maillog_file):
                if plan.conf.maillog_file != self.plan.conf.maillog_file:
                    self.log_target = daemon_target(plan.conf)
                self.sink = for_daemon("master", plan.conf, self.log_target)
                return
            descriptor = open_maillog(plan.conf)
        except (OSError, ValueError) as reason:
            log.error(f"reload: {explain(reason)}; the old log stays in use")
            return
        self.sink = for_daemon("master", plan.conf, self.log_target)
        os.dup2(descriptor, self.log_target.fileno(), inheritable=False)
        for service in (*self.services.values(), *self.gone):
            for worker in service.workers:
                worker.new_log(descriptor)
        os.close(descriptor)

    def _adopt(self, plan: Plan, opened: dict[Key, Sockets]) -> None:
        entries = {(entry.name, entry.type): entry for entry in self._running(plan)}
        self.plan = plan
        for key in [key for key in self.services if key not in entries]:
            service = self.services.pop(key)
            self._unwatch(service.sockets)
            service.close(remove=True)
            if service.workers:
                self.gone.append(service)
        for key, entry in entries.items():
            known = self.services.get(key)
            if known is None:
                self.services[key] = RunningService(entry, opened[key], plan, verbose=self.verbose)
                continue
            if key in opened:
                self._unwatch(known.sockets)
                known.sockets.close(keep=opened[key], remove=known.sockets.path != opened[key].path)
            known.renew(plan, entry, opened.get(key, known.sockets))
            if known.single:
                for worker in known.workers:
                    self._at(monotonic() + FINISH_PATIENCE, partial(self._insist, known, worker))
        for service in self.services.values():
            self._watch(service)
        self._schedule_wakeups()

    def _insist(self, service: RunningService, worker: Worker) -> None:
        """A process that its successor waits for does not end."""
        if worker in service.workers and not worker.leaving:
            log.warning(f"process {service.program_path} pid {worker.pid} does not end after a reload: killed")
            worker.signal(signal.SIGKILL)

    # --- the end

    def _end(self) -> None:
        """Tell every process to end, wait a little, and kill those that have not."""
        everyone = [*self.services.values(), *self.gone]
        for service in everyone:
            self._unwatch(service.sockets)
        order = signal.SIGQUIT if self.stopping == signal.SIGQUIT else signal.SIGTERM
        for service in everyone:
            for worker in service.workers:
                worker.signal(order)
        deadline = monotonic() + STOP_PATIENCE
        while any(service.workers for service in everyone) and monotonic() < deadline:
            self._selector.select(min(0.5, max(0.0, deadline - monotonic())))
            self._drain_alarm()
            self._signals.clear()
            self._reap()
        for service in everyone:
            for worker in service.workers:
                log.warning(f"process {service.program_path} pid {worker.pid} does not end: killed")
                worker.signal(signal.SIGKILL)
        self.sink.flush()
