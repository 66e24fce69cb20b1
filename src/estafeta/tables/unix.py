"""unix: the system's users and groups: `unix:passwd.byname`, `unix:group.byname`.

The C library may ask a directory server, so the question is put in a thread. The value is the whole entry as
passwd(5) or group(5) writes it.

In a chroot there is no passwd file. A process that is about to enter one leaves a small process of its own outside
(`stay_outside`), which answers in its place, as Postfix's proxymap does, and ends with it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 - threads are asked for in a chroot, too late to load it
import contextlib
import grp
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import NoReturn

from estafeta.base.users import UsersDown, find_user
from estafeta.tables.table import Flags, Table, TableDown, TableError

WAIT = 30.0
"""Seconds for one answer."""
LONGEST = 1 << 17
"""Bytes of a question or an answer of the process outside."""

_opened = False
_outside: Outside | None = None


class UnixTable(Table):
    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        global _opened
        self.spec = f"{kind}:{name}"
        if name not in SOURCES:
            raise TableError(f"unknown table: {self.spec}", f"write unix: and one of {' '.join(SOURCES)}")
        self._name = name
        self._flags = flags
        _opened = True

    async def get(self, key: str) -> str | None:
        name = self._flags.key(key)
        try:
            async with asyncio.timeout(WAIT):
                return await asyncio.to_thread(self._ask, name)
        except TimeoutError:
            raise TableDown(f"table {self.spec}: no answer for {name!r} within {WAIT:.0f} seconds") from None
        except UsersDown as error:
            raise TableDown(f"table {self.spec}: {error}") from None
        except OSError as error:
            raise TableDown(f"table {self.spec}: {error.strerror}") from None

    def _ask(self, name: str) -> str | None:
        return _outside.ask(self._name, name) if _outside is not None else SOURCES[self._name](name)


def _user(name: str) -> str | None:
    user = find_user(name)
    if user is None:
        return None
    # The password field is nobody's business; where it holds no "x", no table needs it.
    return f"{user.name}:x:{user.uid}:{user.gid}:{user.full_name}:{user.home}:{user.shell}"


def _group(name: str) -> str | None:
    try:
        group = grp.getgrnam(name)
    except (KeyError, ValueError):  # ValueError: a NUL in the name
        return None
    return f"{group.gr_name}:{group.gr_passwd}:{group.gr_gid}:{','.join(group.gr_mem)}"


SOURCES: dict[str, Callable[[str], str | None]] = {"passwd.byname": _user, "group.byname": _group}


# --- outside the chroot


class Outside:
    """The way to the process outside. A question is its table and key; an answer is a sign, the key and the value."""

    def __init__(self, channel: socket.socket, lost: Callable[[], None]) -> None:
        self._channel = channel
        self._lost = lost
        self._turn = threading.Lock()
        channel.settimeout(WAIT)

    def ask(self, table: str, key: str) -> str | None:
        """Blocks. Raises OSError, UsersDown."""
        raw = key.encode("utf-8", "surrogateescape")
        if b"\0" in raw:
            return None
        with self._turn:
            try:
                self._channel.send(b"%b\0%b" % (table.encode(), raw))
                while True:
                    sign, asked, value = self._answer()
                    if asked == raw:  # else it is the late answer to a question that was given up
                        break
            except TimeoutError:
                raise
            except OSError:
                self._lost()
                raise
        text = value.decode("utf-8", "surrogateescape")
        if sign == b"!":
            raise UsersDown(text)
        return text if sign == b"+" else None

    def _answer(self) -> tuple[bytes, bytes, bytes]:
        raw = self._channel.recv(LONGEST)
        if not raw:
            raise ConnectionResetError(0, "the process that answers outside the chroot has ended")
        asked, _, value = raw[1:].partition(b"\0")
        return raw[:1], asked, value


def stay_outside(give_up_rights: Callable[[], None], lost: Callable[[], None]) -> None:
    """Before a chroot: fork the process that answers from outside it. Nothing happens if no such table is open.

    `give_up_rights` is called there; `lost` here, in a thread, when that process has ended before its time.
    """
    global _outside
    if not _opened:
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        _answer_outside(theirs, give_up_rights)
    theirs.close()
    _outside = Outside(ours, lost)


def _answer_outside(channel: socket.socket, give_up_rights: Callable[[], None]) -> NoReturn:
    """Until the process inside ends. Signals are for that one."""
    status = 1
    try:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        own = channel.fileno()
        os.closerange(3, own)
        os.closerange(own + 1, os.sysconf("SC_OPEN_MAX"))
        with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as comm:
            comm.write("proxymap")
        give_up_rights()
        while question := channel.recv(LONGEST):
            channel.send(_answer_to(question))
        status = 0
    finally:
        os._exit(status)


def _answer_to(question: bytes) -> bytes:
    table, _, key = question.partition(b"\0")
    try:
        found = SOURCES[table.decode()](key.decode("utf-8", "surrogateescape"))
    except UsersDown as error:
        return b"!%b\0%b" % (key, str(error).encode("utf-8", "surrogateescape"))
    if found is None:
        return b"-%b\0" % key
    return b"+%b\0%b" % (key, found.encode("utf-8", "surrogateescape"))
