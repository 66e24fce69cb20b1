"""Who a process is: give up root, enter the chroot. setuid(2), chroot(2); master(5), unprivileged and chroot fields."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

from estafeta.config.main_cf import ConfigError


def is_root() -> bool:
    """Whether this process may act for other users. As an ordinary user everything runs as that user."""
    return os.geteuid() == 0


def mail_owner(name: str) -> pwd.struct_passwd:
    """The account called `name`. Raises ConfigError that says how to make it, or why it cannot serve."""
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        raise ConfigError(
            f"parameter mail_owner: unknown user '{name}': make it, as in "
            f"'useradd --system --home-dir /var/spool/postfix --shell /usr/sbin/nologin {name}'"
        ) from None
    if account.pw_uid == 0:
        raise ConfigError(f"parameter mail_owner: user '{name}' has privileged user ID: choose an account of its own")
    return account


def setgid_group(name: str) -> grp.struct_group:
    """The group called `name`. Raises ConfigError that says how to make it, or why it cannot serve."""
    try:
        group = grp.getgrnam(name)
    except KeyError:
        raise ConfigError(
            f"parameter setgid_group: unknown group '{name}': make it, as in 'groupadd --system {name}'"
        ) from None
    if group.gr_gid == 0:
        raise ConfigError(f"parameter setgid_group: group '{name}' has privileged group ID: choose a group of its own")
    return group


@contextmanager
def acting_as_owner_of(folder: str) -> Iterator[None]:
    """Make files as whoever owns `folder`, for a while. Does nothing when this process is not root. Raises OSError."""
    if not is_root():
        yield
        return
    owner = os.stat(folder)
    group = os.getegid()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


def drop(owner: str, *, chroot: str) -> None:
    """Enter the directory `chroot` (if not empty) and become `owner` (if not empty), in that order and for good.

    Does nothing when this process is not root. Raises ConfigError or OSError.
    """
    if not is_root():
        return
    account = mail_owner(owner) if owner else None
    if account is not None:
        os.setgid(account.pw_gid)
        os.initgroups(account.pw_name, account.pw_gid)  # reads the group file, which a chroot need not have
    if chroot:
        os.chroot(chroot)
        os.chdir("/")
    if account is not None:
        os.setuid(account.pw_uid)
