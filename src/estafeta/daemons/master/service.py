"""One line of master.cf while it runs: its sockets, its processes, and whether another process is wanted.

TCP: each process has a socket of its own, watched while that process does not run. All else: one socket, watched
while no process is free and there may be another. A service whose processes die before they have served anybody
is left alone for service_throttle_time.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.config.master_cf import ServiceEntry
from estafeta.skeleton.log_targets import Target
from estafeta.skeleton.process import BUSY, CROWDED, FREE, LEAVING, USED, Launch
from estafeta.skeleton.service import Context
from estafeta.skeleton.slots import Pot, share
from estafeta.skeleton.stress import Stress

from ..index import AGENTS, RESIDENT, SINGLE, UNCOUNTED
from . import worker as workers
from .key_files import KeyFiles, in_force, speaks_tls
from .plan import Plan, target_of, worker_count
from .sockets import Sockets, is_public, numeric_name
from .worker import Worker

CELLS = 256
"""Processes of one service, finishing ones included, that the pot can tell apart."""

CROWDED_AGAIN = 1000.0
"""Seconds between two warnings that a service has as many clients as it may."""

CHANCE = 0.1
"""Seconds in which another process of an agent may take a client before one that has qmgr's connection does."""

WAKEUP = b"W"


class RunningService:
    """A service. The supervisor watches `wanted()`, calls `start`, and says what became of the processes."""

    def __init__(self, entry: ServiceEntry, sockets: Sockets, plan: Plan, *, verbose: int = 0) -> None:
        self.entry = entry
        self.sockets = sockets
        self.plan = plan
        self.target = target_of(entry.program)
        self.verbose = verbose
        self.throttled = False
        self.throttle_turn = 0
        self.refused = 0
        """How often in a row the system would not give us a process."""
        self.fork = workers.fork
        self.ever_used = False
        self.workers: list[Worker] = []
        self.pot: Pot | None = None
        self.key_files: KeyFiles | None = None
        """Its keys and certificates; None where there is no TLS."""
        self.stress = Stress()
        self.public = False
        self.processes = 1
        self._crowded_at = -CROWDED_AGAIN
        self._use(plan, entry)

    def _use(self, plan: Plan, entry: ServiceEntry) -> None:
        self.plan, self.entry = plan, entry
        self.target = target_of(entry.program)
        self.processes = worker_count(entry, self.conf)
        # A single process is nobody's fault, and asks for no warning.
        self.public = entry.maxproc != 1 and is_public(entry, self.conf)
        self._keep_key_files()
        limit = entry.maxproc if self.sockets.spread and entry.program not in UNCOUNTED else 0
        if self.pot is not None and self.pot.limit != limit:
            self.pot.close()
            self.pot = None
        if limit and self.pot is None:
            self.pot = Pot(limit, CELLS)

    def _keep_key_files(self) -> None:
        program = self.entry.program
        conf = in_force(program, self.conf, self.entry.overrides)
        if self.key_files is not None and speaks_tls(program, conf):
            self.key_files.renewed(conf)
            return
        if self.key_files is not None:
            self.key_files.close()
        self.key_files = KeyFiles.of(program, self.entry.name, conf)

    def look_at_key_files(self) -> None:
        """If its certificates were replaced, processes finish, and the next ones serve with the new ones."""
        if self.key_files is not None and self.key_files.look():
            for worker in self.workers:
                if not worker.retired:
                    worker.finish()

    @property
    def conf(self) -> Config:
        return self.plan.conf_of(self.entry)

    @property
    def single(self) -> bool:
        """Whether a process has to wait until the one before it ends, or makes way."""
        return self.entry.program in SINGLE

    @property
    def program_path(self) -> str:
        """As it appears in the log."""
        return str(Path(self.conf.daemon_directory, self.entry.program))

    @property
    def pause(self) -> int:
        """Seconds until a throttled service gets another chance: few while the system has refused a process less than
        fork_attempts times in a row. (Postfix's master stands still for them; ours looks after the others.)"""
        return self.conf.fork_delay if self.refused else self.plan.conf.service_throttle_time

    # --- is another process wanted?

    def wanted(self) -> Iterator[int]:
        """The groups of sockets whose clients have nobody to serve them."""
        if self.target is None or self.throttled:
            return
        if self.single and any(not worker.leaving for worker in self.workers):
            return
        serving = [worker for worker in self.workers if not worker.retired]
        if self.sockets.spread:
            running = {worker.number for worker in serving}
            yield from (number for number in range(len(self.sockets.groups)) if number not in running)
        elif len(serving) < self.processes and not any(worker.free for worker in serving):
            yield 0

    def start(self, group: int, log_target: Target) -> Worker | None:
        """Start the process for a client in `group`. None, and throttled, when there can be no process."""
        number = group if self.sockets.spread else self._next_number()
        cell = self._free_cell()
        if self.key_files is not None:
            self.key_files.before_fork()
        launch = self._launch(number, cell, log_target)
        try:
            pid, channel = self.fork(launch)
        except OSError as reason:
            self.throttled = True
            self.refused += 1
            if self.refused >= self.conf.fork_attempts:
                log.warning(f"fork: {reason.strerror} -- throttling")
                self.refused = 0
            return None
        self.refused = 0
        worker = Worker(pid, number, cell, channel, self.entry.program)
        self.workers.append(worker)
        self.ever_used = True
        return worker

    def _launch(self, number: int, cell: int, log_target: Target) -> Launch:
        entry = self.entry
        assert self.target is not None
        part = share(entry.maxproc, self.processes, number)
        context = Context(
            conf=self.conf,
            entry=entry,
            worker=number,
            slots=entry.maxproc if self.sockets.spread else part,
            verbose=entry.verbose + self.verbose,
            entries=self.plan.entries,
            files=dict(self.key_files.descriptors) if self.key_files is not None else {},
            stress=self.stress if self.public and "stress" not in entry.overrides else None,
        )
        return Launch(
            context=context,
            target=self.target,
            log_target=log_target,
            sockets=self.sockets.of_worker(number),
            fifo=self.sockets.fifo,
            pot=self.pot,
            cell=cell,
            limit=1 if entry.program in AGENTS else 0 if self.sockets.spread or entry.program in UNCOUNTED else part,
            last_resort=self._last_resort(number),
            resident=entry.program in RESIDENT,
            public=self.public,
        )

    def _last_resort(self, number: int) -> float | None:
        """qmgr keeps one connection to each process of an agent, for good. Another agent that passes mail on has to be
        served too when there may be no further process: by the last one, after those that are just free had their
        chance."""
        if self.entry.program not in AGENTS or number != self.processes - 1:
            return None
        return CHANCE if self.processes > 1 else 0.0

    def _next_number(self) -> int:
        taken = {worker.number for worker in self.workers if not worker.retired}
        return next(number for number in range(CELLS) if number not in taken)

    def _free_cell(self) -> int:
        taken = {worker.cell for worker in self.workers}
        return next((cell for cell in range(CELLS) if cell not in taken), CELLS - 1)

    # --- news of processes

    def heard(self, worker: Worker, words: bytes) -> None:
        """What a process said."""
        for word in (words[place : place + 1] for place in range(len(words))):
            if word == USED:
                worker.used = True
            elif word == BUSY:
                worker.free = False
            elif word == FREE:
                worker.free = True
            elif word == CROWDED:
                self._warn_of_crowd()
            elif word == LEAVING:
                worker.leaving = worker.retired = True
                if self.entry.wakeup:
                    self.wake()  # the one before may have taken the wakeup that was meant for the next

    def _warn_of_crowd(self) -> None:
        now = monotonic()
        if now - self._crowded_at < CROWDED_AGAIN:
            return
        self._crowded_at = now
        log.warning(
            f'service "{self.entry.name}" ({numeric_name(self.entry, self.conf)}) has reached its process limit '
            f'"{self.entry.maxproc}": new clients may experience noticeable delays'
        )
        log.warning(
            "to avoid this condition, increase the process count in master.cf or reduce the service time per client"
        )
        log.warning(
            "see http://www.postfix.org/STRESS_README.html for examples of stress-adapting configuration settings"
        )

    def ended(self, worker: Worker, status: int) -> bool:
        """A process ended, with `status` as waitpid has it. Whether that was a bad start, which throttles the
        service."""
        self.workers.remove(worker)
        worker.channel.close()
        if self.pot is not None:
            self.pot.recover(worker.cell)
        if status == 0 or worker.ordered_to_die:
            return False
        path = self.program_path
        if os.WIFSIGNALED(status):
            log.warning(f"process {path} pid {worker.pid} killed by signal {os.WTERMSIG(status)}")
        else:
            log.warning(f"process {path} pid {worker.pid} exit status {os.WEXITSTATUS(status)}")
        if worker.used or worker.retired:
            return False
        log.warning(f"{path}: bad command startup -- throttling")
        self.throttled = True
        self.refused = 0
        return True

    # --- changes

    def renew(self, plan: Plan, entry: ServiceEntry, sockets: Sockets) -> None:
        """The configuration was read again: processes finish, and the next ones go by the new one."""
        for worker in self.workers:
            if not worker.retired:
                worker.finish()
        self.sockets = sockets
        self.throttled = False
        self.throttle_turn += 1
        self.refused = 0
        self._use(plan, entry)

    def close(self, *, remove: bool) -> None:
        """The service is gone from master.cf, or master ends."""
        for worker in self.workers:
            worker.signal(signal.SIGTERM)
        self.sockets.close(remove=remove)
        if self.key_files is not None:
            self.key_files.close()
            self.key_files = None
        if self.pot is not None:
            self.pot.close()
            self.pot = None

    # --- wakeup

    def wake(self) -> None:
        """Send the service a wakeup, the way any client sends a trigger; who is not running is started by it."""
        if self.target is None:
            return
        try:
            if self.sockets.fifo is not None:
                os.write(self.sockets.fifo, WAKEUP)
            else:
                _send_wakeup(self.sockets.groups[0][0])
        except BlockingIOError:
            pass  # it has not read the last one yet
        except OSError as reason:
            log.warning(f"wake up service {self.entry.name}: {reason}")


def _send_wakeup(listening: socket.socket) -> None:
    if listening.type == socket.SOCK_DGRAM:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.setblocking(False)
            link.sendto(WAKEUP, listening.getsockname())
        return
    with socket.socket(listening.family, socket.SOCK_STREAM) as link:
        link.setblocking(False)
        link.connect(listening.getsockname())
        link.send(WAKEUP)
