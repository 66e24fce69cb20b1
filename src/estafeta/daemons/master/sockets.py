"""Where a service's clients arrive: its sockets, opened by what master.cf says and kept over a reload if that says
the same."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError
from estafeta.config.master_cf import ServiceEntry
from estafeta.net import listen
from estafeta.net.listen import Address
from estafeta.skeleton import privileges

FAMILIES = {"ipv4": (socket.AF_INET,), "ipv6": (socket.AF_INET6,), "all": (socket.AF_INET, socket.AF_INET6)}
WILDCARD: dict[int, str] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
LOOPBACK: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@dataclass(slots=True)
class Sockets:
    """The open sockets of one service. `groups`: for TCP one list for each process; for all else one that all share."""

    where: tuple[object, ...]
    """What they were opened for: equal means that they can be kept."""
    groups: list[list[socket.socket]] = field(default_factory=list)
    fifo: int | None = None
    path: Path | None = None
    addresses: dict[Address, list[socket.socket]] = field(default_factory=dict)

    @property
    def spread(self) -> bool:
        """Whether each process has sockets of its own."""
        return len(self.groups) > 1

    def of_worker(self, worker: int) -> list[socket.socket]:
        return self.groups[worker if self.spread else 0] if self.groups else []

    def descriptors(self, group: int) -> list[int]:
        """What to watch for clients of one group."""
        if self.fifo is not None:
            return [self.fifo]
        return [one.fileno() for one in self.groups[group]]

    def close(self, *, keep: Sockets | None = None, remove: bool = True) -> None:
        """Close them, except those that `keep` has too. `remove` unlinks the name of a local one: the service is
        gone."""
        kept = {id(one) for group in keep.groups for one in group} if keep is not None else set()
        for group in self.groups:
            for one in group:
                if id(one) not in kept:
                    one.close()
        if self.fifo is not None:
            os.close(self.fifo)
        if remove and self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()


def place_of(entry: ServiceEntry, conf: Config, workers: int) -> tuple[object, ...]:
    """What the entry's sockets have to be. Raises ConfigError."""
    if entry.type == "inet":
        return ("inet", workers, *addresses(entry, conf))
    return (entry.type, local_path(entry))


def open_sockets(entry: ServiceEntry, conf: Config, workers: int, old: Sockets | None = None) -> Sockets:
    """Open what the entry says. Raises ConfigError or OSError, with nothing left open.

    TCP sockets of `old` that are still wanted become part of the new ones: closing one would reset the clients that
    wait in it.
    """
    where = place_of(entry, conf, workers)
    if entry.type == "inet":
        opened = _open_inet(entry, conf, workers, old.addresses if old is not None else {})
        return Sockets(where, _spread(opened, workers), addresses=opened)
    path = local_path(entry)
    owner = None
    if privileges.is_root():
        account = privileges.mail_owner(conf.mail_owner)
        owner = (account.pw_uid, account.pw_gid)
    if not path.parent.is_dir():
        raise ConfigError(f"{entry.where}: no directory {path.parent.absolute()}: run 'postfix check' to make it")
    if entry.type == "fifo":
        return Sockets(where, fifo=listen.open_fifo(path, owner), path=path)
    kind = socket.SOCK_DGRAM if entry.type == "unix-dgram" else socket.SOCK_STREAM
    return Sockets(where, [[listen.open_local(path, kind, owner)]], path=path)


def local_path(entry: ServiceEntry) -> Path:
    """Relative to the queue directory, where master is: the name of a socket has room for 107 bytes only."""
    return Path("private" if entry.private else "public", entry.name)


def addresses(entry: ServiceEntry, conf: Config) -> list[Address]:
    """Where an inet service listens. Raises ConfigError."""
    families = listen_families(conf)
    try:
        port = listen.port_number(entry.port, conf.known_tcp_ports)
        if entry.host:
            return listen.addresses_of(entry.host, port, families)
        found: list[Address] = []
        for name in conf.inet_interfaces:
            if name in ("all", "loopback-only"):
                hosts = WILDCARD if name == "all" else LOOPBACK
                found += [Address(family, hosts[family], port) for family in families]
            else:
                found += listen.addresses_of(name.removeprefix("[").removesuffix("]"), port, families)
    except ValueError as reason:
        raise ConfigError(f"{entry.where}: {entry.name}: {reason}") from None
    return list(dict.fromkeys(found))


def is_public(entry: ServiceEntry, conf: Config) -> bool:
    """Whether clients on other machines reach the service."""
    if entry.type != "inet":
        return False
    try:
        return any(not ip_address(address.host).is_loopback for address in addresses(entry, conf))
    except (ConfigError, ValueError):
        return False  # what is wrong with the address is said when it is opened


def numeric_name(entry: ServiceEntry, conf: Config) -> str:
    """The name of an inet service with its port as a number: `smtp` -> `25`, `127.0.0.1:smtp` -> `127.0.0.1:25`."""
    return entry.name.removesuffix(entry.port) + str(listen.port_number(entry.port, conf.known_tcp_ports))


def listen_families(conf: Config) -> tuple[int, ...]:
    """The address families of inet_protocols, IPv4 first. Raises ConfigError."""
    chosen: list[int] = []
    for name in conf.inet_protocols:
        if name not in FAMILIES:
            raise ConfigError(f"{conf.origin('inet_protocols')}: inet_protocols: {name!r} is none of all, ipv4, ipv6")
        chosen += FAMILIES[name]
    return tuple(family for family in FAMILIES["all"] if family in chosen)


_REMEDIES = {
    errno.EADDRINUSE: ": another server listens there: stop it, or choose another port",
    errno.EACCES: ": ports below 1024 need the superuser: choose a higher one, or start as root",
    errno.EADDRNOTAVAIL: ": no network interface has this address: correct it, or inet_interfaces",
}

Opened = dict[Address, list[socket.socket]]


def _open_inet(entry: ServiceEntry, conf: Config, workers: int, own: Opened) -> Opened:
    """The sockets of each address: those that we have, and as many new ones as it takes to have one a process."""
    opened: Opened = {}
    fresh: list[socket.socket] = []
    own_ports = {address.port for address in own}
    if not listen_families(conf):
        where = conf.origin("inet_protocols")
        log.warning(f"{where}: inet_protocols is empty, so {entry.name} listens nowhere: write all, ipv4 or ipv6")
    try:
        for address in addresses(entry, conf):
            have = list(own.get(address, ()))
            more = _open_address(entry, conf, address, max(0, workers - len(have)), address.port in own_ports)
            fresh += more
            if have or more:
                opened[address] = have + more
    except OSError:
        for one in fresh:
            one.close()
        raise
    return opened


def _open_address(
    entry: ServiceEntry, conf: Config, address: Address, count: int, beside_own: bool
) -> list[socket.socket]:
    if not count:
        return []
    try:
        return listen.open_tcp(address, count, beside_own=beside_own, window=conf.tcp_windowsize)
    except OSError as reason:
        # "all" promises whatever the machine has; one without IPv6 has less.
        optional = not entry.host and any(name in ("all", "loopback-only") for name in conf.inet_interfaces)
        if optional and address.family == socket.AF_INET6 and reason.errno in listen.UNSUPPORTED:
            return []
        remedy = _REMEDIES.get(reason.errno or 0, "")
        raise OSError(reason.errno, f"{entry.where}: {reason.strerror}{remedy}") from None


def _spread(opened: Opened, workers: int) -> list[list[socket.socket]]:
    """One group for each process. There may be more sockets than processes, after a reload with fewer of them."""
    groups: list[list[socket.socket]] = [[] for _ in range(workers)]
    for sockets in opened.values():
        for number, one in enumerate(sockets):
            groups[number % workers].append(one)
    return groups
