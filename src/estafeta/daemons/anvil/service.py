"""The anvil process: one for all that ask, since numbers that two processes keep are no limits. anvil(8).

Whatever came over a connection is given back when it closes: a process that dies takes its clients' connections with
it. The rates stay.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import msgspec

from estafeta.base import log
from estafeta.daemons.anvil.clients import Clients
from estafeta.daemons.anvil.users import Users
from estafeta.net.frames import Frames
from estafeta.services.anvil import (
    Connect,
    Disconnect,
    Event,
    Held,
    Rates,
    Sending,
    Survey,
    Surveyed,
    Word,
    decode_word,
    encode,
)
from estafeta.skeleton.service import Context, Service

SAVE_EVERY = 5.0
"""Seconds after which changed counts of users are written."""
MOST_SURVEYED = 1000


class AnvilService(Service):
    """The one process."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._asking: set[Frames] = set()
        self._folder: int | None = None
        self._complained = False
        """Of a file that cannot be written; once, as it is tried again every few seconds."""

    async def open(self) -> None:
        """Open data_directory while it can be seen from here: a chroot does not have it."""
        try:
            self._folder = os.open(self.conf.data_directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            log.warning(
                f"data_directory {self.conf.data_directory}: {error.strerror}: counts of users will not survive a "
                "restart; 'postfix set-permissions' makes it"
            )

    async def start(self) -> None:
        self._clients = Clients(self.conf.anvil_rate_time_unit, time.time)
        self._users = Users(self.conf.estafeta_user_rate_time_unit, time.time)
        if self._folder is not None:
            self._users.load(self._folder)
        loop = asyncio.get_running_loop()
        self._timers = [
            loop.create_task(_every(self.conf.anvil_status_update_time, self._report)),
            loop.create_task(_every(SAVE_EVERY, self._save)),
        ]

    def draining(self) -> None:
        """Who asks keeps its connection for good; the process that comes after us is told what there is."""
        for frames in list(self._asking):
            frames.close()

    async def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._save()
        self._report()

    def _report(self) -> None:
        self._clients.forget(time.time())
        for line in self._clients.statistics():
            log.info(line)

    def _save(self) -> None:
        self._users.forget()
        if self._folder is None or not self._users.changed:
            return
        try:
            self._users.save(self._folder)
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning(
                    f"data_directory {self.conf.data_directory}: {error.strerror}: counts of users will not survive a "
                    "restart; see that the directory belongs to mail_owner and has room"
                )
            return
        self._complained = False

    def client(self, release: Callable[[], None]) -> asyncio.BaseProtocol:
        frames: Frames
        held: dict[str, int] = {}
        clients = self._clients

        def received(payload: bytes) -> None:
            try:
                word = decode_word(payload)
            except msgspec.MsgspecError as error:
                log.warning(f"malformed question: {error}; is the client of the same release? run: postfix reload")
                frames.close()
                return
            if isinstance(word, Connect):
                ident = word.ident
                count, rate = clients.connect(ident)
                held[ident] = held.get(ident, 0) + 1
                frames.send(encode(Rates(word.number, count, rate)))
            elif isinstance(word, Disconnect):
                self._disconnect(held, word.ident)
            else:
                self._answer(frames, held, word)

        def closed(reason: Exception | None) -> None:
            self._asking.discard(frames)
            for ident, count in held.items():
                clients.disconnect(ident, count)
            release()

        frames = Frames(received, closed)
        self._asking.add(frames)
        return frames

    def _disconnect(self, held: dict[str, int], ident: str) -> None:
        count = held.get(ident, 0)
        if not count:
            return
        if count == 1:
            del held[ident]
        else:
            held[ident] = count - 1
        self._clients.disconnect(ident)

    def _answer(self, frames: Frames, held: dict[str, int], word: Word) -> None:
        if isinstance(word, Event):
            count, rate = self._clients.add(word.ident, word.kind, word.amount)
            frames.send(encode(Rates(word.number, count, rate)))
        elif isinstance(word, Sending):
            frames.send(encode(self._users.send(word)))
        elif isinstance(word, Held):
            for ident, count in word.counts.items():
                held[ident] = held.get(ident, 0) + count
                self._clients.hold(ident, count)
        elif isinstance(word, Survey):
            found, more = self._clients.near(word.limits, word.share, MOST_SURVEYED)
            users = self._users.near(word.share)
            frames.send(encode(Surveyed(word.number, self._clients.unit, found, users, more)))


async def _every(pause: float, act: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(pause)
        act()
