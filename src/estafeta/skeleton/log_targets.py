"""Where log lines end up: an open file, a terminal in colour, syslog, or the postlog service.

A target takes a batch of (level, time stamp, rest of the line) and the host name, and never raises: a log that
cannot be written must not stop the mail.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from select import PIPE_BUF
from typing import Protocol

from estafeta.base.log import ERROR, WARNING
from estafeta.config.instance import Config

Lines = Sequence[tuple[int, str, str]]

_FACILITY_NAMES = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp"
FACILITIES = {name: number for number, name in enumerate(_FACILITY_NAMES.split())} | {
    f"local{number}": 16 + number for number in range(8)
}
"""RFC 3164 4.1.1."""
PRIORITIES = (6, 4, 3, 2, 2)
"""Of info, warning, error, fatal, panic: LOG_INFO, LOG_WARNING, LOG_ERR, LOG_CRIT. RFC 3164 4.1.1."""


class Target(Protocol):
    def write(self, lines: Lines, host: str) -> None: ...

    def fileno(self) -> int: ...


def facility_code(name: str) -> int:
    """`mail` -> 2. An unknown name counts as mail, which is where somebody will look."""
    return FACILITIES.get(name.lower(), 2)


class Descriptor:
    """An open file, written with O_APPEND. `paint` colours the lines for a terminal."""

    def __init__(self, descriptor: int, *, paint: bool = False) -> None:
        self._descriptor = descriptor
        self._paint = paint
        self._pipe = not stat.S_ISREG(os.fstat(descriptor).st_mode)

    def fileno(self) -> int:
        return self._descriptor

    def write(self, lines: Lines, host: str) -> None:
        make = painted if self._paint else plain
        text = "".join([make(level, stamp, rest, host) for level, stamp, rest in lines])
        self.write_raw(text.encode(errors="surrogateescape"))

    def write_raw(self, data: bytes) -> None:
        """Finished lines."""
        if self._pipe and len(data) > PIPE_BUF:
            # Several processes write to it, and only a short write stays in one piece. pipe(7), PIPE_BUF.
            for piece in whole_lines(data, PIPE_BUF):
                self._write(piece)
            return
        self._write(data)

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._descriptor, data) :]


def plain(level: int, stamp: str, rest: str, host: str) -> str:
    return f"{stamp} {host} {rest}\n"


_STATUS = re.compile(r"\bstatus=(sent|deferred|bounced|expired|undeliverable|deliverable)\b")
_COLOURS = {"sent": "32", "deliverable": "32", "deferred": "33"}


def painted(level: int, stamp: str, rest: str, host: str) -> str:
    """A line for eyes: dim time, warnings yellow, errors red, the status of a delivery in its colour."""
    tag, _, text = rest.partition(": ")
    if level >= ERROR:
        text = f"\x1b[31m{text}\x1b[0m"
    elif level == WARNING:
        text = f"\x1b[33m{text}\x1b[0m"
    else:
        text = _STATUS.sub(lambda m: f"status=\x1b[{_COLOURS.get(m[1], '31')}m{m[1]}\x1b[0m", text)
    return f"\x1b[2m{stamp}\x1b[0m \x1b[36m{tag}\x1b[0m: {text}\n"


def whole_lines(data: bytes, most: int) -> Iterator[bytes]:
    """The data in pieces of whole lines, each at most `most` bytes unless a single line is longer."""
    start = 0
    while len(data) - start > most:
        end = data.rfind(b"\n", start, start + most) + 1 or data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end
    if start < len(data):
        yield data[start:]


class Syslog:
    """The syslog daemon's local socket, connected at once: after a chroot it may be out of reach. RFC 3164."""

    def __init__(self, facility: int, path: str = "/dev/log") -> None:
        self._facility = facility * 8
        self._path = path
        self._socket: socket.socket | None = None
        self._connect()

    def fileno(self) -> int:
        return self._socket.fileno() if self._socket is not None else -1

    def write(self, lines: Lines, host: str) -> None:
        for level, stamp, rest in lines:
            record = f"<{self._facility + PRIORITIES[level]}>{stamp} {rest}"
            self._send(record.encode(errors="surrogateescape"))

    def _send(self, record: bytes) -> None:
        for _ in range(2):  # a syslog daemon that was restarted has a new socket
            if self._socket is None and not self._connect():
                return
            assert self._socket is not None
            try:
                self._socket.send(record)
                return
            except BlockingIOError:
                return  # syslog is swamped; waiting for it would stop the mail
            except OSError:
                self._socket.close()
                self._socket = None

    def _connect(self) -> bool:
        self._socket = _linked(self._path)
        return self._socket is not None


class Postlog:
    """The postlog service: each line is one datagram, complete with time and host, which it appends to the log file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    def fileno(self) -> int:
        return self._socket.fileno() if self._socket is not None else -1

    def reachable(self) -> bool:
        """Whether somebody reads the service's socket."""
        if self._socket is not None:
            return True
        self._socket = _linked(self._path)
        return self._socket is not None

    def write(self, lines: Lines, host: str) -> None:
        if not self.reachable():
            return
        assert self._socket is not None
        for level, stamp, rest in lines:
            with contextlib.suppress(OSError):
                self._socket.send(plain(level, stamp, rest, host).rstrip("\n").encode(errors="surrogateescape"))


def open_maillog(conf: Config) -> int:
    """Open maillog_file for appending, and make it with maillog_file_permissions. Raises OSError, ValueError."""
    path = conf.maillog_file
    if not allowed(path, conf.maillog_file_prefixes):
        prefixes = ", ".join(conf.maillog_file_prefixes)
        raise ValueError(
            f"maillog_file value '{path}' does not match any of maillog_file_prefixes ({prefixes}): "
            "name a file there, or add its directory to maillog_file_prefixes"
        )
    if path == "/dev/stdout":
        return os.dup(1)
    try:
        mode = int(conf.maillog_file_permissions, 8)
    except ValueError:
        raise ValueError(
            f"bad maillog_file_permissions {conf.maillog_file_permissions!r}: write an octal mode"
        ) from None
    existed = Path(path).exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
    if not existed:
        os.fchmod(descriptor, mode)  # whatever the umask
    return descriptor


def allowed(path: str, prefixes: Sequence[str]) -> bool:
    """Whether the file is one of the prefixes or below one of them."""
    return any(path == prefix.rstrip("/") or path.startswith(prefix.rstrip("/") + "/") for prefix in prefixes)


def _linked(path: str) -> socket.socket | None:
    """A way to say datagrams to a local socket; None while nobody reads it."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        link.connect(path)
    except OSError:
        link.close()
        return None
    link.settimeout(1)
    return link
