"""pam:SERVICE and system: the system's users, through PAM.

Most PAM modules answer only to root, and smtpd is not root for long. So a small process is forked while it still is: it
holds one end of a socket pair, takes a user and a password, and says yes, no or later. It does nothing else, cannot be
told which service to ask for, and ends with the process that it belongs to.

Modules may wait (a directory, a token) and some leave memory behind, so that each question gets a child of its own.
The delay after a failure, for which modules ask, is ours to make: the child answers at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
from collections.abc import Callable
from itertools import count
from typing import NoReturn

from estafeta.accounts import libpam, watched
from estafeta.accounts.authenticator import Circumstances
from estafeta.accounts.local import Checking, within
from estafeta.accounts.source import Source, SourceDown

PATIENCE = 60
"""Seconds for one answer."""
AT_A_TIME = 16
"""Children at work; further questions wait in the socket."""
MOST = 200
"""Questions that are waiting for an answer."""
LONGEST = 8192
"""Bytes of a question."""
_NUMBER = struct.Struct("!I")
YES, NO, LATER = b"+", b"-", b"!"


class Pam(Source):
    def __init__(self, service: str, checking: Checking, *, ask: Callable[..., libpam.Verdict] = libpam.ask) -> None:
        """`ask` is for tests."""
        self.name = f"pam:{service}"
        self._service = service
        self._checking = checking
        self._ask = ask
        self._channel: socket.socket | None = None
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._numbers = count(1)
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Fork the process, as root where we are root."""
        libpam.load()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            _serve(theirs, self._service, self._ask)
        theirs.close()
        ours.setblocking(False)
        self._channel = ours

    async def start(self) -> None:
        assert self._channel is not None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._channel.fileno(), self._answered)

    async def stop(self) -> None:
        if self._channel is not None:
            self._hang_up()

    async def verify(self, user: str, password: str, about: Circumstances) -> bool:
        name = within(user, about.realm)[-1]
        if self._checking.good.known(self.name, name, password):
            return True
        answer = await self._asked(name, password, about.client_address)
        if answer[:1] == LATER:
            raise SourceDown(f"{self.name}: {answer[1:].decode('utf-8', 'replace')}")
        if answer[:1] != YES:
            return False
        self._checking.good.remember(self.name, name, password)
        return True

    async def _asked(self, *fields: str) -> bytes:
        if self._channel is None or self._loop is None:
            raise SourceDown(f"{self.name}: the process that asks PAM has ended")
        number = next(self._numbers) & 0xFFFFFFFF
        question = _NUMBER.pack(number) + b"\0".join(field.encode("utf-8", "surrogateescape") for field in fields)
        if question.count(b"\0", _NUMBER.size) != len(fields) - 1 or len(question) > LONGEST:
            return NO
        if len(self._waiting) >= MOST:
            raise SourceDown(f"{self.name}: {MOST} logins are being checked already")
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(PATIENCE):
                await self._send(question)
                return await future
        except TimeoutError:
            raise SourceDown(f"{self.name}: no answer within {PATIENCE} seconds") from None
        except OSError as error:
            raise SourceDown(f"{self.name}: {error.strerror or 'the process that asks PAM has ended'}") from None
        finally:
            self._waiting.pop(number, None)

    async def _send(self, question: bytes) -> None:
        assert self._loop is not None
        while self._channel is not None:
            try:
                self._channel.send(question)
                return
            except BlockingIOError:
                await asyncio.sleep(0.05)  # all children are busy, and the socket is full
        raise ConnectionResetError

    def _answered(self) -> None:
        assert self._channel is not None
        try:
            raw = self._channel.recv(LONGEST)
        except BlockingIOError:
            return
        except OSError:
            raw = b""
        if len(raw) <= _NUMBER.size:
            self._hang_up()
            # A fresh process can fork as root again.
            watched.report_unreadable(self.name)
            return
        future = self._waiting.get(_NUMBER.unpack_from(raw)[0])
        if future is not None and not future.done():
            future.set_result(raw[_NUMBER.size :])

    def _hang_up(self) -> None:
        if self._channel is None:
            return
        if self._loop is not None:
            self._loop.remove_reader(self._channel.fileno())
        self._channel.close()
        self._channel = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionResetError(0, "the process that asks PAM has ended"))
                future.exception()  # whoever waited may have given up


# --- the other process


def _serve(channel: socket.socket, service: str, ask: Callable[..., libpam.Verdict]) -> NoReturn:
    """Until nobody holds the other end."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        own = channel.fileno()
        os.closerange(3, own)
        os.closerange(own + 1, os.sysconf("SC_OPEN_MAX"))
        with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as comm:
            comm.write("pam-asker")
        # Nobody but root looks into the memory of a process that hears passwords: prctl(2), PR_SET_DUMPABLE.
        libpam.hide_memory()
        channel.setblocking(True)
        children: set[int] = set()
        while question := channel.recv(LONGEST):
            while children:
                gone, _ = os.waitpid(-1, 0 if len(children) >= AT_A_TIME else os.WNOHANG)
                if not gone:
                    break
                children.discard(gone)
            try:
                child = os.fork()
            except OSError as error:
                channel.send(question[: _NUMBER.size] + LATER + str(error.strerror).encode())
                continue
            if child == 0:
                _answer(channel, question, service, ask)
            children.add(child)
        status = 0
    finally:
        os._exit(status)


def _answer(channel: socket.socket, question: bytes, service: str, ask: Callable[..., libpam.Verdict]) -> NoReturn:
    number, rest = question[: _NUMBER.size], question[_NUMBER.size :]
    try:
        for one in (signal.SIGTERM, signal.SIGALRM):
            signal.signal(one, signal.SIG_DFL)
        signal.alarm(PATIENCE)  # a module that hangs takes only this child along
        user, password, client = rest.split(b"\0")
        verdict = ask(service, user, password, client)
        if verdict.later:
            channel.send(number + LATER + verdict.reason.encode("utf-8", "replace"))
        else:
            channel.send(number + (YES if verdict.good else NO))
    except BaseException as error:
        with contextlib.suppress(OSError):
            channel.send(number + LATER + type(error).__name__.encode())
    finally:
        os._exit(0)
