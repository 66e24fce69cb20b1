"""One service process as master sees it, and how it is made.

The child of the fork closes everything that is not its own, so that locks and other services' sockets do not live on
in it, and becomes the service. It never returns from here: what belongs to master stays on the stack, untouched, until
the process ends.
"""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass
from typing import NoReturn

from estafeta.base import log
from estafeta.config.main_cf import ConfigError
from estafeta.skeleton import process
from estafeta.skeleton.accept import describe
from estafeta.skeleton.process import Launch


@dataclass(slots=True)
class Worker:
    """A running process."""

    pid: int
    number: int
    """0, 1, ... within its service."""
    cell: int
    channel: socket.socket
    program: str
    free: bool = True
    used: bool = False
    retired: bool = False
    """Whether it was told to finish."""
    leaving: bool = False
    """Whether it stays only to finish something, and holds up nobody."""
    ordered_to_die: bool = False

    def finish(self) -> None:
        """Tell it to serve who is in, and end."""
        self.retired = True
        self._send(process.FINISH)

    def new_log(self, descriptor: int) -> None:
        try:
            socket.send_fds(self.channel, [process.NEW_LOG], [descriptor])
        except BrokenPipeError:
            pass  # it has ended, and we have not been told yet
        except OSError as reason:
            log.warning(f"hand the log file to process {self.pid}: {reason}")

    def signal(self, number: int) -> None:
        self.ordered_to_die = True
        os.kill(self.pid, number)

    def _send(self, word: bytes) -> None:
        try:
            self.channel.send(word)
        except OSError:
            os.kill(self.pid, signal.SIGHUP)  # says the same


def fork(launch: Launch) -> tuple[int, socket.socket]:
    """Start the process. Returns its number and our end of the channel. Raises OSError when there can be no process."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    # No signal may be handled by master's handlers inside the child.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        ours.close()
        theirs.close()
        raise
    if pid == 0:
        _become(launch, theirs, before)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return pid, ours


HANDLED = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGCHLD,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def _become(launch: Launch, channel: socket.socket, mask: set[int | signal.Signals]) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for master, which tells us
        signal.alarm(0)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _close_others(launch, channel)
        os.umask(0o077)
        process.run(launch, channel)
    except BaseException as reason:
        log.fatal(reason.args[0] if isinstance(reason, ConfigError) else describe(reason))
    finally:
        os._exit(1)


def _close_others(launch: Launch, channel: socket.socket) -> None:
    """Close all descriptors but ours."""
    keep = {0, 1, 2, channel.fileno(), launch.log_target.fileno(), *(one.fileno() for one in launch.sockets)}
    keep.update(launch.context.files.values())
    if launch.fifo is not None:
        keep.add(launch.fifo)
    if launch.pot is not None:
        keep.update(launch.pot.descriptors)
    keep.discard(-1)
    previous = 2
    for descriptor in sorted(keep):
        if descriptor > previous + 1:
            os.closerange(previous + 1, descriptor)
        previous = max(previous, descriptor)
    os.closerange(previous + 1, _highest() + 1)


def _highest() -> int:
    """The highest descriptor that is open; where /proc is missing, what is allowed at the most."""
    try:
        return max(int(name) for name in os.listdir("/proc/self/fd"))
    except OSError:
        return os.sysconf("SC_OPEN_MAX")
