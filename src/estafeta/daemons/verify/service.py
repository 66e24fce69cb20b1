"""The verify process: answers questions about addresses from memory, and sends probes for what it does not know.

A probe is a message with TRACE_PROBE in its envelope: it goes through cleanup, qmgr and a delivery agent like any
other, but no agent delivers it. qmgr tells us what became of it. There is one process, which has the cache to itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from estafeta.base import log
from estafeta.daemons.verify.memory import Memory
from estafeta.mail.address import quote
from estafeta.mail.dates import mail_date
from estafeta.mail.envelope import TRACE_PROBE, TRACE_VERIFY, Envelope, Recipient
from estafeta.net.frames import Frames
from estafeta.services.submission import Submission, Submitter
from estafeta.services.verify import OK, Answer, Outcome, ProbeSender, Question, decode_word, encode
from estafeta.skeleton.service import Context, Service
from estafeta.tables.cache_cleanup import Cleanup
from estafeta.tables.cache_store import CacheStore

IN_MEMORY = "internal:verify"
PATIENCE = 1.0
"""Seconds that cleanup gets at the end to take what probes are under way."""
MOST_AT_ONCE = 100
"""Probes handed to cleanup at the same time; others wait their turn."""


class VerifyService(Service):
    """The one process."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: set[Frames] = set()

    async def open(self) -> None:
        """Open the cache, while the process still has its first identity. Raises TableError."""
        cache = self.conf.address_verify_map.strip() or IN_MEMORY
        self._store = CacheStore.of("address_verify_map", cache, self.conf)
        self._memory = Memory(self.conf, self._store, time.time)
        interval = self.conf.address_verify_cache_cleanup_interval
        self._cleanup = Cleanup(self._store, interval, self._memory.is_stale, time.time)
        self._sender = ProbeSender(self.conf)

    async def start(self) -> None:
        self._submitter = Submitter(timeout=self.conf.ipc_timeout)
        self._sending = asyncio.Semaphore(MOST_AT_ONCE)
        self._cleaning = asyncio.get_running_loop().create_task(self._cleanup.run())
        self._cleaning.add_done_callback(_ended)
        await asyncio.sleep(0)  # a small cache is clean before the first question

    def draining(self) -> None:
        """Clients keep their connections; they ask the process that comes after us."""
        for frames in list(self._clients):
            frames.close()

    async def stop(self) -> None:
        self._cleaning.cancel()
        if self._tasks:
            _, unsent = await asyncio.wait(self._tasks, timeout=PATIENCE)
            for task in unsent:
                task.cancel()
            await asyncio.gather(*unsent, return_exceptions=True)
        await asyncio.to_thread(self._store.close)

    def client(self, release: Callable[[], None]) -> asyncio.BaseProtocol:
        frames: Frames

        def received(payload: bytes) -> None:
            try:
                word = decode_word(payload)
            except msgspec.MsgspecError as error:
                log.warning(f"malformed question: {error}; is the client of the same release? run: postfix reload")
                frames.close()
                return
            frames.send(encode(self._answer(word)))

        def closed(reason: Exception | None) -> None:
            self._clients.discard(frames)
            release()

        frames = Frames(received, closed)
        self._clients.add(frames)
        return frames

    def _answer(self, word: Question | Outcome) -> Answer:
        if isinstance(word, Outcome):
            self._memory.learn(word.address, word.status, word.text)
            return Answer(word.number, word.status, word.text)
        status, text, wanted = self._memory.look(word.address)
        if wanted:
            task = asyncio.get_running_loop().create_task(self._probe(word.address))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(_ended)
        return Answer(word.number, status, text)

    async def _probe(self, address: str) -> None:
        try:
            async with self._sending:
                accepted = await self._submitter.submit(self._submission(address))
        except OSError as error:
            self._failed(address, f"cannot reach the cleanup service: {error.strerror or error}")
            return
        except asyncio.CancelledError:
            self._memory.not_sent(address)
            raise
        if not accepted.queue_id:
            self._failed(address, accepted.reason)
        elif accepted.reason:
            # An alias for several: cleanup knows the answer, and nobody is asked.
            self._memory.learn(address, OK, accepted.reason)

    def _failed(self, address: str, reason: str) -> None:
        log.warning(f"no probe for <{quote(address)}>: {reason}: the next question tries again")
        self._memory.not_sent(address)

    def _submission(self, address: str) -> Submission:
        now = time.time()
        sender = self._sender.address(now)
        kind = "rfc822" if address.isascii() else "utf-8"
        envelope = Envelope(
            queue_id="",
            arrived=now,
            sender=sender,
            # What was asked for stays in orcpt, whatever aliases make of the address.
            recipients=[Recipient(address, address, orcpt=f"{kind};{address}")],
            smtputf8=not address.isascii(),
            trace=TRACE_VERIFY | TRACE_PROBE,
        )
        head = f"Date: {mail_date(now)}\r\nFrom: <{quote(sender)}>\r\nTo: <{quote(address)}>\r\nSubject: probe\r\n\r\n"
        return Submission(0, envelope, head.encode("utf-8", "surrogateescape"), origin="verify")


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error(f"request failed: {error!r}")
