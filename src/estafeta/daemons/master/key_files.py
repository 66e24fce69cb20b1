"""Keys and certificates of a service, as master keeps them for its processes, and how a new certificate comes into
use.

A process reads its keys while it is root. One that starts later, after somebody has begun to replace the files, must
not find half of them; and one that runs in a chroot as the mail owner cannot look whether they have changed. So master
copies the files into memory that is reached by descriptor only (memfd: their content never is in master's own memory,
and no other service inherits it), looks at the files from time to time, and when they have changed has a child try
them. If they are good, the processes are told to finish, and those that follow serve with the new ones. If not, the
log says why, and the old ones stay in use, for new processes too.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.net.tls import screened, tickets
from estafeta.net.tls.openssl import TlsError, library
from estafeta.net.tls.server import ServerTls, key_files, security_level, server_settings, trust_files
from estafeta.skeleton.service import read_descriptor

PROGRAMS = frozenset({"smtpd", "postscreen"})
LOOK = 5.0
"""Seconds between two looks at the files."""
PROBLEM_LIMIT = 2000
"""Bytes that the child may say."""

Signature = tuple[tuple[int, int, int, int] | None, ...]


def in_force(program: str, conf: Config, overrides: Mapping[str, str]) -> Config:
    """The configuration in which smtpd_tls_* are what the service goes by. `overrides`: its entry's -o settings."""
    return screened.as_smtpd(conf, overrides) if program == "postscreen" else conf


def speaks_tls(program: str, conf: Config) -> bool:
    """Whether a service needs keys."""
    return program in PROGRAMS and (security_level(conf) != "none" or conf.smtpd_tls_wrappermode)


class KeyFiles:
    """Of one service that speaks TLS; every `conf` here is one that is `in_force`."""

    def __init__(self, name: str, conf: Config) -> None:
        self._name = name
        self._conf = conf
        self._paths = key_files(conf)
        self._watched = (*self._paths, *trust_files(conf))
        self._seen = self._signature()
        self.descriptors: dict[str, int] = _copied(self._paths)

    @classmethod
    def of(cls, program: str, name: str, conf: Config) -> KeyFiles | None:
        """None for a service without TLS."""
        if not speaks_tls(program, conf):
            return None
        with suppress(TlsError):  # the process says it
            library()
        return cls(name, conf)

    def before_fork(self) -> None:
        """All processes of the service are to seal session tickets alike."""
        if self._conf.smtpd_tls_session_cache_timeout:
            tickets.chain(self._conf.smtpd_tls_session_cache_timeout)

    def renewed(self, conf: Config) -> None:
        """The configuration was read again. Other files are taken as they are; the same ones only if they are good."""
        same = key_files(conf) == self._paths
        self._conf, self._paths = conf, key_files(conf)
        self._watched = (*self._paths, *trust_files(conf))
        if same and self.descriptors:
            self.look()
            return
        self._seen = self._signature()
        self._adopt(_copied(self._paths))

    def look(self) -> bool:
        """Whether new files have come into use, so that the processes have to be replaced."""
        now = self._signature()
        if now == self._seen:
            return False
        self._seen = now
        fresh = _copied(self._paths)
        problem = _tried(self._conf, fresh)
        if problem:
            for descriptor in fresh.values():
                os.close(descriptor)
            log.warning(f"service {self._name}: {problem}: the certificates that were read before stay in use")
            return False
        self._adopt(fresh)
        log.info(f"service {self._name}: certificates have changed: new processes take the new ones")
        return True

    def close(self) -> None:
        self._adopt({})

    def _adopt(self, descriptors: dict[str, int]) -> None:
        before, self.descriptors = self.descriptors, descriptors
        for descriptor in before.values():
            os.close(descriptor)

    def _signature(self) -> Signature:
        return tuple(_state(path) for path in self._watched)


def _state(path: str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _copied(paths: tuple[str, ...]) -> dict[str, int]:
    """The files as they are now, in memory. One that cannot be read is left out: who needs it says so."""
    copies: dict[str, int] = {}
    for path in paths:
        with suppress(OSError), open(path, "rb") as file:
            memory = os.memfd_create("keys", os.MFD_CLOEXEC)
            copies[path] = memory
            while os.sendfile(memory, file.fileno(), None, 1 << 20):
                pass
    return copies


def _tried(conf: Config, files: Mapping[str, int]) -> str:
    """What is wrong with the files; "" if they serve. A child looks, so that no key is in our own memory."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        problem = "the check ended in the middle"
        try:
            signal.alarm(10)
            os.close(reading)
            ServerTls.open(server_settings(conf, quiet=True), lambda path: read_descriptor(files, path))
            problem = ""
        except TlsError as reason:
            problem = "; ".join((str(reason), *reason.lines))
        finally:
            os.write(writing, problem.encode("utf-8", "replace")[:PROBLEM_LIMIT])
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        text = answer.read(PROBLEM_LIMIT)
    _, status = os.waitpid(child, 0)
    if status and not text:
        return "the check of the certificates was killed"
    return text.decode("utf-8", "replace")
