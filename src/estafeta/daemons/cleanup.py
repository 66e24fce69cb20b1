"""cleanup(8) as a service: takes mail in for writers that run under another identity (bounce, local, qmgr).

Its clients are our own programs (services/submission.py). smtpd and pickup do without it: they contain intake.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import msgspec

from estafeta.base import log
from estafeta.intake.intake import Intake
from estafeta.intake.submission import Submission as Message
from estafeta.intake.verdict import Queued
from estafeta.mail.dates import mail_date
from estafeta.mail.envelope import TRACE_PROBE, Envelope
from estafeta.mail.header import line
from estafeta.mail.logline import delivery_line
from estafeta.net.frames import Frames
from estafeta.queue.journal import SpoolError
from estafeta.queue.place import Place
from estafeta.queue.record import Damaged
from estafeta.queue.spool import MessageGone, Reader
from estafeta.services.notice import NoticeSender
from estafeta.services.submission import Accepted, Submission, decode_submission, encode_accepted
from estafeta.skeleton.service import Context, Service

SEVERAL = "aliased to multiple recipients"
REQUEUE = "requeue"
"""Origin of mail that `postsuper -r` sends through once more: it is treated as mail from outside."""


WRITERS = {"local": "forward", "notify": "notify", "verify": "verify", REQUEUE: "sendmail"}
"""What smtputf8_autodetect_classes calls who writes; all others send reports."""


class CleanupService(Service):
    """One process of the cleanup entry."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self.intake = Intake.open(self.conf, context=self.context)

    async def start(self) -> None:
        self._reader = Reader()
        await self.intake.start(NoticeSender())

    def client(self, release: Callable[[], None]) -> asyncio.BaseProtocol:
        frames: Frames

        def received(payload: bytes) -> None:
            task = asyncio.get_running_loop().create_task(self._answer(frames, payload))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        frames = Frames(received, lambda reason: release())
        return frames

    async def stop(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.intake.stop()
        self._reader.close()

    async def _answer(self, frames: Frames, payload: bytes) -> None:
        try:
            request = decode_submission(payload)
        except msgspec.MsgspecError as error:
            log.warning(f"malformed submission: {error}; is the client of the same release? run: postfix reload")
            frames.close()
            return
        try:
            reply = await self._take_in(request)
        except (SpoolError, MessageGone, Damaged, OSError) as error:
            reply = Accepted(request.number, "", "4.3.0", f"cannot take the message in: {error}")
        except Exception as error:
            log.error(f"submission from {request.origin} failed: {error!r}")
            reply = Accepted(request.number, "", "4.3.0", "internal error; see the log")
        if frames.open:
            frames.send(encode_accepted(reply))

    async def _take_in(self, request: Submission) -> Accepted:
        envelope = request.envelope
        envelope.queue_id = self.intake.new_id()
        envelope.arrived = envelope.arrived or time.time()
        message = self.intake.begin(
            envelope,
            from_network=False,
            internal=request.origin != REQUEUE,
            mapped=request.mapped,
            # What was queued once is not lost because a limit is lower now: it is returned to its sender.
            bounce=request.origin == REQUEUE,
            writer=WRITERS.get(request.origin, "bounce"),
        )
        message.prepend(self._received(request))
        try:
            await self._feed(message, request)
        except BaseException:
            message.abandon()
            raise
        asked = envelope.recipients[0].address if envelope.trace & TRACE_PROBE else ""
        answer = await message.finish()
        if isinstance(answer, Queued):
            if asked and answer.place is None:
                return self._several(request.number, envelope, asked)
            return Accepted(request.number, answer.queue_id)
        return Accepted(request.number, "", answer.dsn, answer.text.removeprefix("Error: "))

    def _several(self, number: int, envelope: Envelope, asked: str) -> Accepted:
        """A probe of an address that stands for several: verify(8) hears at once that it exists."""
        now = time.time()
        delays = (now - envelope.arrived, 0.0, 0.0, 0.0)
        limit = self.conf.delay_logging_resolution_limit
        log.info(
            delivery_line(envelope.queue_id, asked, "", "none", delays, "2.0.0", "deliverable", SEVERAL, limit=limit)
        )
        return Accepted(number, envelope.queue_id, "2.0.0", SEVERAL)

    def _received(self, request: Submission) -> bytes:
        conf, envelope = self.conf, request.envelope
        owner = f", from userid {envelope.owner_uid}" if request.origin == REQUEUE and envelope.owner_uid >= 0 else ""
        return line(
            "Received",
            f"by {conf.myhostname} ({conf.mail_name}{owner})\r\n\tid {envelope.queue_id}; {mail_date(time.time())}",
        )

    async def _feed(self, message: Message, request: Submission) -> None:
        for piece in self._pieces(request):
            if piece and message.feed(piece):
                await message.drain()

    def _pieces(self, request: Submission) -> Iterator[bytes]:
        yield request.head
        yield request.body
        if request.place is not None:
            yield from self._body_at(request.place)

    def _body_at(self, place: Place) -> Iterator[bytes]:
        """The body of a queued message, without its header block."""
        skip = place.head
        for piece in self._reader.pieces(place):
            if skip >= len(piece):
                skip -= len(piece)
                continue
            yield piece[skip:] if skip else piece
            skip = 0
