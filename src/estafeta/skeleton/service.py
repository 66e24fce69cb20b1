"""What a daemon is: one process of one master.cf service, event-driven, serving many clients.

A program of `daemons/` subclasses `Service`. The skeleton (process.py) makes the event loop, calls `open` while the
process still has its first identity and root directory, drops privileges, enters the chroot, calls `start`, and then
hands over every client that arrives on the service's socket. When the process is to end (reload, stop, idle), the
skeleton stops accepting, waits until every client has called its `release`, and calls `stop`.

The working directory is the queue directory from the beginning to the end.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from estafeta.config.instance import Config
from estafeta.config.master_cf import ServiceEntry
from estafeta.services.passed import Origin

from .stress import Stress


@dataclass(slots=True)
class Context:
    """What a service is started with."""

    conf: Config
    """main.cf with the entry's -o settings applied."""
    entry: ServiceEntry
    worker: int = 0
    """Which of the service's processes this is: 0, 1, ..."""
    slots: int = 0
    """How many clients this process may serve at a time; 0 for no limit. (maxproc is shared among the processes.)"""
    verbose: int = 0
    entries: tuple[ServiceEntry, ...] = ()
    """All of master.cf, for services that read the options of another entry (cleanup_service_name, rewrite)."""

    stress: Stress | None = None
    """Whether the service is crowded; None for one whose `stress` is a matter of its configuration alone."""

    files: Mapping[str, int] = field(default_factory=dict)
    """Keys and certificates that master has read, by path: open descriptors, closed once `open` is done."""

    def read_file(self, path: str) -> bytes:
        """A key or certificate, as master read it, or else from its place. Raises OSError."""
        return read_descriptor(self.files, path)

    def close_files(self) -> None:
        """What was to be read has been read."""
        for descriptor in self.files.values():
            os.close(descriptor)
        self.files = {}

    def overrides_of(self, service_name: str) -> dict[str, str]:
        """The -o settings of the unix-domain entry `service_name`; empty if there is none."""
        for entry in self.entries:
            if entry.name == service_name and entry.type != "inet":
                return entry.overrides
        return {}


def read_descriptor(files: Mapping[str, int], path: str) -> bytes:
    """A file by its descriptor in `files`, which stays where it is; one that is not in there by its path."""
    descriptor = files.get(path)
    if descriptor is None:
        return Path(path).read_bytes()
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


class Service:
    """One process of a service. `open` and `start` may raise: the skeleton logs `fatal:` and the process ends."""

    style: ClassVar[str] = "stream"
    """stream: `client` makes a protocol for each connection. trigger: a connection carries single-byte requests,
    which go to `triggered`. datagram: packets go to `datagram`. socket: connections go to `accepted` as they are."""

    watchdog_timeout = 0
    """Seconds that the event loop may stand still before the process is ended; 0 for daemon_timeout."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.conf = context.conf

    async def open(self) -> None:
        """Before privileges and root directory are dropped: open tables, keys, resolver settings."""

    async def start(self) -> None:
        """After privileges are dropped, before the first client."""

    def client(self, release: Callable[[], None]) -> asyncio.BaseProtocol:
        """The protocol for one new client. It calls `release()` exactly once, when the client is served."""
        raise NotImplementedError(f"{type(self).__name__} takes no stream clients")

    def passed(self, release: Callable[[], None], origin: Origin) -> asyncio.BaseProtocol:
        """As `client`, for a connection that another process hands over and says whose it is."""
        return self.client(release)

    def accepted(self, client: socket.socket, release: Callable[[], None]) -> None:
        """One new connection, not blocking, for a service of style "socket". It closes the socket, or gives it away,
        and calls `release()` exactly once, when it has nothing more to do with it."""
        raise NotImplementedError(f"{type(self).__name__} takes no sockets")

    async def triggered(self, requests: bytes) -> None:
        """A wakeup from master (b"W") or trigger requests from a command, several bytes at once perhaps."""

    def datagram(self, packet: bytes) -> None:
        """One datagram."""

    def draining(self) -> None:
        """The process is to end and takes no more clients: those that are in may be asked to leave (a 421 to an SMTP
        client that is between messages). Not called again; `stop` follows when all have released."""

    async def hand_over(self, make_way: Callable[[], None]) -> None:
        """All clients are served, and a new process is to take our place (reload); `stop` follows. For a service of
        which only one process may run: `make_way()` lets the next one start, while we finish what it cannot. Cancelled
        after that when everything is to stop."""

    async def stop(self) -> None:
        """All clients are served: give back what outlives them, write what is unsaved."""
