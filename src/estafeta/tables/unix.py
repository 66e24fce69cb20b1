"""unix: the system's users and groups: `unix:passwd.byname`, `unix:group.byname`.

The C library may ask a directory server, so the question is put in a thread. The value is the whole entry as
passwd(5) or group(5) writes it.
"""

from __future__ import annotations

import asyncio
import grp
import pwd
from collections.abc import Callable

from estafeta.tables.table import Flags, Table, TableDown, TableError

WAIT = 30.0
"""Seconds for one answer."""


class UnixTable(Table):
    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        if name not in SOURCES:
            raise TableError(f"unknown table: {self.spec}", f"write unix: and one of {' '.join(SOURCES)}")
        self._ask = SOURCES[name]
        self._flags = flags

    async def get(self, key: str) -> str | None:
        name = self._flags.key(key)
        try:
            async with asyncio.timeout(WAIT):
                return await asyncio.to_thread(self._ask, name)
        except TimeoutError:
            raise TableDown(f"table {self.spec}: no answer for {name!r} within {WAIT:.0f} seconds") from None
        except OSError as error:
            raise TableDown(f"table {self.spec}: {error.strerror}") from None


def _user(name: str) -> str | None:
    try:
        user = pwd.getpwnam(name)
    except (KeyError, ValueError):  # ValueError: a NUL in the name
        return None
    return f"{user.pw_name}:{user.pw_passwd}:{user.pw_uid}:{user.pw_gid}:{user.pw_gecos}:{user.pw_dir}:{user.pw_shell}"


def _group(name: str) -> str | None:
    try:
        group = grp.getgrnam(name)
    except (KeyError, ValueError):
        return None
    return f"{group.gr_name}:{group.gr_passwd}:{group.gr_gid}:{','.join(group.gr_mem)}"


SOURCES: dict[str, Callable[[str], str | None]] = {"passwd.byname": _user, "group.byname": _group}
