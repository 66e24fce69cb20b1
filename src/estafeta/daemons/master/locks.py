"""The locks that keep two masters, ours or Postfix's, from sharing a queue or a data directory.

The same files and the same kind of lock (flock) as Postfix, so each sees the other: `pid/master.pid` below the queue
directory, with the process number, and `master.lock` in the data directory.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError
from estafeta.skeleton import privileges


def pid_file(conf: Config) -> Path:
    return Path(conf.queue_directory, conf.process_id_directory, "master.pid")


def running_master(conf: Config) -> int:
    """The process number of the master that holds the queue; 0 if none runs. -1 if it holds it but left no number."""
    try:
        descriptor = os.open(pid_file(conf), os.O_RDWR)
    except FileNotFoundError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_pid(descriptor) or -1
    else:
        return 0
    finally:
        os.close(descriptor)


def read_pid(descriptor: int) -> int:
    """The number in a pid file; 0 if there is none."""
    words = os.pread(descriptor, 64, 0).split()
    return int(words[0]) if words and words[0].isdigit() else 0


def take(conf: Config) -> list[int]:
    """Take both locks and write our number. Returns the descriptors to keep. Raises ConfigError or OSError."""
    held = [lock(pid_file(conf))]
    path = Path(conf.data_directory, "master.lock")
    owner = privileges.mail_owner(conf.mail_owner) if privileges.is_root() else None
    held.append(lock(path))
    if owner is not None:
        os.fchown(held[1], owner.pw_uid, owner.pw_gid)
    write_pid(held)
    return held


def write_pid(held: list[int]) -> None:
    """Write the number of this process into the lock files."""
    for descriptor in held:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid():>32}\n".encode(), 0)


def lock(path: Path) -> int:
    """Open or make `path` and lock it. Raises ConfigError when somebody else holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        raise ConfigError(f"open lock file {path}: no such directory: run 'postfix check' to make it") from None
    except PermissionError as reason:
        raise ConfigError(f"open lock file {path}: {reason.strerror}: start as root, or set the owner right") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = read_pid(descriptor)
        os.close(descriptor)
        by = f" by process {holder}" if holder else ""
        raise ConfigError(
            f"open lock file {path}: unable to set exclusive lock: it is held{by}; "
            "another mail system uses this directory"
        ) from None
    return descriptor
