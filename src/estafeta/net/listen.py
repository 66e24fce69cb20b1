"""Listening sockets: where clients arrive. Opened by master, which keeps them for the life of a service.

For TCP a service with several processes has one SO_REUSEPORT socket for each, and the kernel spreads the clients. Two
servers that both used that option would share a port without noticing, so the first socket is bound without it once, to
see whether somebody else is there.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from dataclasses import dataclass
from pathlib import Path

BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address and port to listen on."""

    family: int
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}"


LEFTOVER_PATIENCE = 3.0
"""Seconds for which a port in use is tried again at the start."""


def open_tcp(address: Address, count: int, *, beside_own: bool = False, window: int = 0) -> list[socket.socket]:
    """`count` sockets that share the address. Raises OSError that names the address.

    `beside_own`: we listen on the port already, so the check for strangers would find ourselves. `window`: the TCP
    window in bytes, 0 for the system's own choice.
    """
    opened: list[socket.socket] = []
    try:
        if not beside_own:
            _refuse_strangers(address)
        for _ in range(count):
            opened.append(_bound(address, shared=True))
            if window:
                set_window(opened[-1], window)
            opened[-1].listen(BACKLOG)
    except OSError as reason:
        for one in opened:
            one.close()
        raise OSError(
            reason.errno, f"bind {address.host} port {address.port}: {os.strerror(reason.errno or 0)}"
        ) from None
    return opened


def set_window(connection: socket.socket, window: int) -> None:
    """tcp_windowsize: before it listens or connects, since the window is agreed upon then. RFC 7323 2.2."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, window)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)


def _refuse_strangers(address: Address) -> None:
    """Raise OSError if another program listens. What a master that was killed left behind ends within a moment."""
    deadline = time.monotonic() + LEFTOVER_PATIENCE
    while True:
        try:
            _bound(address, shared=False).close()
        except OSError as reason:
            if reason.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _bound(address: Address, *, shared: bool) -> socket.socket:
    listening = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if address.family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setblocking(False)
        listening.bind((address.host, address.port))
    except OSError:
        listening.close()
        raise
    return listening


def open_local(path: Path, kind: int, owner: tuple[int, int] | None) -> socket.socket:
    """A unix-domain socket that everybody may use who gets into its directory. `kind`: SOCK_STREAM or SOCK_DGRAM."""
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, kind)
    try:
        listening.setblocking(False)
        listening.bind(str(path))
        path.chmod(0o666)
        if owner is not None:
            os.chown(path, *owner)
        if kind == socket.SOCK_STREAM:
            listening.listen(BACKLOG)
    except OSError as reason:
        listening.close()
        raise OSError(reason.errno, f"bind {path}: {os.strerror(reason.errno or 0)}") from None
    return listening


def open_fifo(path: Path, owner: tuple[int, int] | None) -> int:
    """A named pipe, open for both reading and writing, so that it never ends. Returns the descriptor."""
    try:
        if not stat.S_ISFIFO(path.lstat().st_mode):
            path.unlink()
            os.mkfifo(path, 0o622)
    except FileNotFoundError:
        os.mkfifo(path, 0o622)
    path.chmod(0o622)
    if owner is not None:
        os.chown(path, *owner)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)


def port_number(name: str, known: tuple[str, ...] = ()) -> int:
    """`25` or `smtp` -> 25. `known` is known_tcp_ports: `submissions=465`, `smtps=submissions=465`. Raises
    ValueError."""
    if name.isascii() and name.isdigit() and int(name) < 65536:
        return int(name)
    for group in known:
        *names, number = group.split("=")
        if name in names and number.isdigit():
            return int(number)
    try:
        return socket.getservbyname(name, "tcp")
    except OSError:
        raise ValueError(f"unknown service: {name}/tcp: write a port number, or add it to known_tcp_ports") from None


def addresses_of(host: str, port: int, families: tuple[int, ...]) -> list[Address]:
    """The addresses of a host name or a literal address, in `families` only. Raises ValueError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as reason:
        raise ValueError(f"host not found: {host}: {reason.strerror}") from None
    addresses = [Address(family, str(where[0]), port) for family, _, _, _, where in found if family in families]
    if not addresses:
        raise ValueError(f"{host} has no address of the kind that inet_protocols allows")
    return list(dict.fromkeys(addresses))


UNSUPPORTED = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
"""What the kernel says about a wildcard address of a protocol that it does not have."""
