"""The process's log sink: Postfix's lines, formatted once, written in batches.

`Nov 21 09:30:00 host postfix/smtpd[123]: text` goes to `maillog_file`, which master opens and every process inherits,
so that a worker without rights or in a chroot writes directly; or, without the host field, to syslog.

While little happens, lines leave at the end of the turn of the event loop in which they were made, so that the lines of
several processes about one message stand in their order. A process with much to say collects them for up to 50 ms,
which saves a system call for most of them. A warning or worse is written at once, with everything before it, and so
is the rest at the end of the process.

A daemon calls `for_daemon`, a command `for_command`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from threading import get_ident
from time import localtime, monotonic, strftime, time
from typing import Any

from estafeta.base import log
from estafeta.base.log import PREFIX, WARNING
from estafeta.config.instance import Config

from .log_targets import Descriptor, Postlog, Syslog, Target, facility_code, open_maillog

LATEST = 0.05
"""Seconds that an information line may wait."""
PROMPT = 8
"""Batches within that time that do not wait."""
MOST_HELD = 512
"""Lines held back at most."""

WORDS = ("info", "warning", "error", "fatal", "panic")

Defer = Callable[[float, Callable[[], None]], Any]


def printable(text: str) -> str:
    """The text with everything that is not printable replaced by '?', so that one record stays one line."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def in_ascii(text: str) -> str:
    """The text with a '?' for every byte that is not ASCII: smtputf8_enable = no."""
    return text.encode("utf-8", "surrogateescape").decode("ascii", "replace").replace("\ufffd", "?")


def host_label(myhostname: str) -> str:
    """The host name as log lines show it: the first label."""
    return (myhostname or socket.gethostname()).partition(".")[0]


class LineSink:
    """Formats and batches. `defer(seconds, function)` is the event loop's call_later; without it nothing waits."""

    __slots__ = (
        "_ascii",
        "_begun",
        "_defer",
        "_heads",
        "_lines",
        "_name",
        "_pid",
        "_prompt",
        "_second",
        "_stamp",
        "_thread",
        "_waiting",
        "host",
        "target",
    )

    def __init__(self, target: Target, syslog_name: str, program: str, host: str, *, ascii_only: bool = False) -> None:
        """`ascii_only`: what is not ASCII is shown as question marks, as without SMTPUTF8."""
        self.target = target
        self._ascii = ascii_only
        self.host = host
        self._thread = get_ident()
        self._begun = 0.0
        self._prompt = 0
        self._name = syslog_name
        self._pid = os.getpid()
        self._heads: dict[str | None, str] = {None: self._head(program)}
        self._lines: list[tuple[int, str, str]] = []
        self._second = 0
        self._stamp = ""
        self._defer: Defer | None = None
        self._waiting = False

    def use_loop(self, defer: Defer | None) -> None:
        """From now on information lines may wait, until None is given again."""
        self.flush()
        self._defer = defer
        self._waiting = False

    def __call__(self, level: int, text: str, program: str | None) -> None:
        now = int(time())
        if now != self._second:
            self._second = now
            self._stamp = stamp(now)
        head = self._heads.get(program)
        if head is None:
            head = self._heads[program] = self._head(program or "")
        if not text.isprintable():
            text = printable(text)
        if self._ascii and not text.isascii():
            text = in_ascii(text)
        if get_ident() != self._thread:
            self.target.write([(level, self._stamp, head + PREFIX[level] + text)], self.host)
            return
        self._lines.append((level, self._stamp, head + PREFIX[level] + text))
        if level >= WARNING or self._defer is None or len(self._lines) >= MOST_HELD:
            self.flush()
        elif not self._waiting:
            self._waiting = True
            self._defer(self._patience(), self._late)

    def flush(self) -> None:
        """Write what is held."""
        if self._lines:
            lines, self._lines = self._lines, []
            self.target.write(lines, self.host)

    def _patience(self) -> float:
        """How long the batch that begins now may wait."""
        since = monotonic() - self._begun
        if since > LATEST:
            self._begun += since
            since = 0.0
            self._prompt = PROMPT
        self._prompt -= 1
        return 0.0 if self._prompt >= 0 else LATEST - since

    def _late(self) -> None:
        self._waiting = False
        self.flush()

    def _head(self, program: str) -> str:
        return f"{self._name}/{program}[{self._pid}]: " if self._name else f"{program}[{self._pid}]: "


def stamp(now: float) -> str:
    """The time as log lines show it, in local time: `Nov  1 09:30:00`."""
    return strftime("%b %e %H:%M:%S", localtime(now))


def for_daemon(program: str, conf: Config, target: Target) -> LineSink:
    """Make and install the sink of a service process or of master."""
    sink = LineSink(target, conf.syslog_name, program, host_label(conf.myhostname), ascii_only=not conf.smtputf8_enable)
    log.install(sink)
    return sink


def daemon_target(conf: Config, *, paint: bool = False) -> Target:
    """Where daemons log: maillog_file if it is set, else syslog. Raises OSError or ValueError."""
    if not conf.maillog_file:
        return Syslog(facility_code(conf.syslog_facility))
    return Descriptor(open_maillog(conf), paint=paint)


class _Command:
    """A command's sink: `postsuper: warning: text` on standard error, and a record in the log."""

    def __init__(self, name: str, record: LineSink, *, stderr: bool, quiet: bool) -> None:
        self._name = name
        self._record = record
        self._stderr = stderr
        self._quiet = quiet

    def __call__(self, level: int, text: str, program: str | None) -> None:
        if self._stderr:
            sys.stderr.write(f"{program or self._name}: {PREFIX[level]}{printable(text)}\n")
            sys.stderr.flush()
        if not self._quiet or level >= WARNING:
            self._record(level, text, program)


def for_command(
    name: str,
    conf: Config,
    *,
    stderr: bool = True,
    direct: bool = False,
    record: bool = True,
    whole_tag: bool = False,
) -> log.Sink:
    """Install the sink of a command called `name`.

    Lines go to standard error (unless `stderr` is false) and, if `record`, to the log: through the postlog service
    when maillog_file is set, else to syslog. `direct` is for the administrator's commands, which may run while the mail
    system is down: they append to maillog_file themselves. With `whole_tag`, `name` is all that stands before the
    process number, without syslog_name.
    """
    syslog_name = "" if whole_tag else conf.syslog_name
    host = host_label(conf.myhostname)
    sink = LineSink(_command_target(conf, direct=direct), syslog_name, name, host, ascii_only=not conf.smtputf8_enable)
    command = _Command(name, sink, stderr=stderr, quiet=not record)
    log.install(command)
    return command


def _command_target(conf: Config, *, direct: bool) -> Target:
    if not conf.maillog_file:
        return Syslog(facility_code(conf.syslog_facility))
    if direct and not conf.maillog_file.startswith("/dev/"):
        # Not through the service, which may be about to end: these commands are what ends it.
        with contextlib.suppress(OSError, ValueError):
            return Descriptor(open_maillog(conf))
    return Postlog(str(Path(conf.queue_directory, "public", conf.postlog_service_name)))
