"""The machine's resolver settings: resolv.conf(5) and hosts(5).

Read before a daemon enters its chroot, and looked at again now and then while the files can be seen; when they
cannot, what was read last stays in force.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

from estafeta.base import log
from estafeta.base.networks import number_of, text_of

MOST_SERVERS = 3
MOST_SEARCH = 32
LOOK_AGAIN = 5.0
"""Seconds between looks at the files."""

DNS_PORT = 53


@dataclass(slots=True)
class Settings:
    """What resolv.conf says. Times in seconds."""

    nameservers: list[tuple[str, int]] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    ndots: int = 1
    timeout: float = 5.0
    attempts: int = 2
    rotate: bool = False
    use_tcp: bool = False
    edns: bool = True


def parse_settings(text: str) -> Settings:
    """Read resolv.conf's text. Lines that are not understood are passed over, as the C library does."""
    found = Settings()
    for line in text.splitlines():
        words = line.split()
        if not words or line[0] in "#;":
            continue
        key, rest = words[0], words[1:]
        if key == "nameserver" and rest and len(found.nameservers) < MOST_SERVERS:
            if number_of(rest[0].partition("%")[0]):
                found.nameservers.append((rest[0], DNS_PORT))
        elif key == "domain" and rest:
            found.search = [rest[0].strip(".").lower()]
        elif key == "search":
            found.search = [word.strip(".").lower() for word in rest[:MOST_SEARCH] if word.strip(".")]
        elif key == "options":
            _options(rest, found)
    if not found.nameservers:
        found.nameservers = [("127.0.0.1", DNS_PORT)]
    if not found.search:
        _, _, domain = socket.gethostname().partition(".")
        found.search = [domain.lower()] if domain else []
    return found


def _options(words: list[str], found: Settings) -> None:
    for word in words:
        key, _, value = word.partition(":")
        amount = int(value) if value.isascii() and value.isdigit() else None
        if key == "ndots" and amount is not None:
            found.ndots = min(amount, 15)
        elif key == "timeout" and amount is not None:
            found.timeout = float(min(max(amount, 1), 30))
        elif key == "attempts" and amount is not None:
            found.attempts = min(max(amount, 1), 5)
        elif key == "rotate":
            found.rotate = True
        elif key == "use-vc":
            found.use_tcp = True


@dataclass(slots=True)
class Hosts:
    """What hosts(5) says: names in lower case to addresses, addresses to their first name."""

    addresses: dict[str, list[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def parse_hosts(text: str) -> Hosts:
    found = Hosts()
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        number = number_of(words[0]) if len(words) > 1 else None
        if number is None:
            continue
        address = text_of(*number)
        found.names.setdefault(address, words[1])
        for name in words[1:]:
            listed = found.addresses.setdefault(name.lower().removesuffix("."), [])
            if address not in listed:
                listed.append(address)
    return found


class WatchedFile:
    """A file's text, read again when the file changes. `read` gives None when it is what it was."""

    __slots__ = ("_seen", "path")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._seen: tuple[int, int, int] | None = None

    def read(self) -> str | None:
        try:
            status = self.path.stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen == self._seen:
                return None
            text = self.path.read_text("utf-8", "surrogateescape")
        except OSError as error:
            if self._seen is None and not isinstance(error, FileNotFoundError):
                log.warning(f"cannot read {self.path}: {error.strerror}: its settings are not used")
            # Gone, or out of sight in a chroot: what was read last stays in force.
            return None
        self._seen = seen
        return text
