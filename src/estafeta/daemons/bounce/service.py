"""bounce(8), as the services bounce, defer and trace: asked by qmgr, it writes reports and hands them to cleanup.

It keeps nothing. Ok goes back only when every report that is due is on stable storage, so that a crash here costs a
repeated question. If the content cannot be read, the report goes out without it: better than none.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable

import msgspec

from estafeta.base import log
from estafeta.daemons.bounce import templates
from estafeta.daemons.bounce.notices import (
    LOGGED_AS,
    TEMPLATE_OF,
    Notice,
    action_of,
    due,
    sender_shown,
)
from estafeta.mail.dates import mail_date
from estafeta.mail.envelope import Envelope
from estafeta.mail.envelope import Recipient as EnvelopeRecipient
from estafeta.mail.report import Fate, Letter, Message, compose
from estafeta.net.frames import Frames
from estafeta.queue.record import Damaged
from estafeta.queue.spool import Reader
from estafeta.services.delivery import Result
from estafeta.services.postmaster import double_bounce_address
from estafeta.services.report import DELAY, SUCCESS, VERIFY, ReportReply, ReportRequest
from estafeta.services.submission import Submission, Submitter
from estafeta.skeleton.service import Context, Service

# Short enough for a line, and nothing in it that would end one.
_MESSAGE_ID = re.compile(rb"\r\nMessage-ID:\s*(<[!-;=?-~]{1,900}>)[ \t]*(?=\r\n|\Z)", re.IGNORECASE)
_decode = msgspec.msgpack.Decoder(ReportRequest).decode
_encode = msgspec.msgpack.Encoder().encode


class BounceService(Service):
    """One process of bounce, defer or trace."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._reader = Reader()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._templates = templates.load(self.conf)

    async def start(self) -> None:
        self._submitter = Submitter()

    def client(self, release: Callable[[], None]) -> asyncio.BaseProtocol:
        frames: Frames

        def received(payload: bytes) -> None:
            task = asyncio.ensure_future(self._answer(frames, _decode(payload)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        frames = Frames(received, lambda reason: release())
        return frames

    async def stop(self) -> None:
        await asyncio.gather(*self._tasks)

    async def _answer(self, frames: Frames, request: ReportRequest) -> None:
        try:
            reply = await self._report(request)
        except OSError as error:
            reply = ReportReply(request.number, False, f"cannot reach the cleanup service: {error}")
        except Exception as error:
            log.warning(f"{request.envelope.queue_id}: cannot report: {type(error).__name__}: {error}")
            reply = ReportReply(request.number, False, "internal error while writing a report")
        if frames.open:
            frames.send(_encode(reply))

    async def _report(self, request: ReportRequest) -> ReportReply:
        queue_id = request.envelope.queue_id
        notices = due(self.conf, request)
        if not notices:
            if request.envelope.sender == double_bounce_address(self.conf):
                log.warning(f"{queue_id}: undeliverable postmaster notification discarded")
            elif not request.envelope.sender and request.kind in (SUCCESS, VERIFY):
                log.info(f"{queue_id}: not sending trace/success notification for single-bounce message")
            return ReportReply(request.number, True)
        for notice in notices:
            whole = await self._submitter.submit(self._submission(request, notice))
            if not whole.queue_id:
                return ReportReply(request.number, False, whole.reason)
            who = "sender" if notice.to_sender else "postmaster"
            log.info(f"{queue_id}: {who} {LOGGED_AS[notice.kind]}: {whole.queue_id}")
        return ReportReply(request.number, True)

    def _submission(self, request: ReportRequest, notice: Notice) -> Submission:
        conf, envelope = self.conf, request.envelope
        now = time.time()
        encoding = "8bit" if conf.smtputf8_enable or envelope.smtputf8 else envelope.encoding
        retry_until = mail_date(envelope.arrived + conf.maximal_queue_lifetime) if notice.kind == DELAY else ""
        letter = Letter(
            hostname=conf.myhostname,
            mail_name=conf.mail_name,
            origin=f"@{conf.myorigin}",
            recipient=notice.recipient,
            template=self._templates[TEMPLATE_OF[notice.kind]],
            boundary=f"{envelope.queue_id}.{int(now)}/{conf.myhostname}",
            to_sender=notice.to_sender,
            encoding=encoding,
            date=mail_date(now),
            retry_until=retry_until,
            thread=self._thread(request) if conf.enable_threaded_bounces else "",
        )
        message = Message(
            queue_id=envelope.queue_id,
            sender=sender_shown(conf, envelope),
            arrival=mail_date(envelope.arrived),
            envid=envelope.envid,
            content=self._content(request, headers_only=notice.headers_only),
            headers_only=notice.headers_only,
            smtputf8=envelope.smtputf8,
        )
        head, body = compose(letter, message, [_fate(notice.kind, envelope.trace, *each) for each in notice.results])
        report = Envelope(
            queue_id="",
            arrived=now,
            sender=notice.sender,
            recipients=[EnvelopeRecipient(notice.recipient)],
            encoding="8bit" if encoding == "8bit" else "",
            smtputf8=envelope.smtputf8,
        )
        origin = "bounce" if notice.to_sender else "notify"
        return Submission(0, report, head, body, origin=origin)

    def _thread(self, request: ReportRequest) -> str:
        """The message's own id, for enable_threaded_bounces."""
        found = _MESSAGE_ID.search(b"\r\n" + self._content(request, headers_only=True))
        return found[1].decode("ascii") if found else ""

    def _content(self, request: ReportRequest, *, headers_only: bool) -> bytes:
        try:
            if headers_only:
                return _short(self._reader.head(request.place).removesuffix(b"\r\n\r\n"), self.conf.header_size_limit)
            return self._reader.content(request.place)
        except (OSError, Damaged) as error:
            log.warning(f"{request.envelope.queue_id}: the report goes without the message: {error}")
            return b""


def _short(head: bytes, limit: int) -> bytes:
    """Whole lines of a header block, at most `limit` bytes: who is reported on does not say how large reports are."""
    return head if len(head) <= limit else head[: max(head.rfind(b"\r\n", 0, limit), 0)]


def _fate(kind: str, trace: int, recipient: EnvelopeRecipient, result: Result) -> Fate:
    text = result.text
    if kind in (SUCCESS, VERIFY) and result.relay not in ("", "none"):
        text = f"delivery via {result.relay}: {text}"
    return Fate(
        recipient=recipient.address,
        original=recipient.original or recipient.address,
        orcpt=recipient.orcpt,
        action=action_of(kind, result, trace),
        dsn=result.dsn,
        text=text,
        remote_mta=result.remote_mta,
        diagnostic=result.diagnostic,
    )
