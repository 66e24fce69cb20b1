"""Telling the postmaster about a session in which something went wrong: notify_classes, error_notice_recipient.

Used by smtpd(8) and smtp(8). The notice goes through the cleanup service, from the double-bounce address, so that it
never leads to another one. Nobody waits for it, and when it cannot be queued it is worth a line in the log, no more:
it is about mail, it is not mail.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.mail.dates import mail_date
from estafeta.mail.envelope import Envelope, Recipient
from estafeta.mail.transcript import Entry, notice
from estafeta.services.submission import Submission, Submitter

BOUNCE, PROTOCOL, POLICY, RESOURCE, SOFTWARE, DATA = 1, 2, 4, 8, 16, 32
"""What went wrong in a session, as bits."""
_BITS = {
    "bounce": BOUNCE,
    "protocol": PROTOCOL,
    "policy": POLICY,
    "resource": RESOURCE,
    "software": SOFTWARE,
    "data": DATA,
}
_OTHERS = frozenset({"2bounce", "delay"})
MOST_WAITING = 50
"""Notices under way at the same time; a flood of bad sessions must not become a flood of mail."""


def wanted_classes(conf: Config) -> int:
    """The bits of those classes of notify_classes that are about sessions. A word that is none is warned about."""
    bits = 0
    for word in conf.notify_classes:
        bit = _BITS.get(word.lower())
        if bit is not None:
            bits |= bit
        elif word.lower() not in _OTHERS:
            log.warning(f"{conf.origin('notify_classes')}: notify_classes: unknown class {word!r}: it has no effect")
    return bits


def double_bounce_address(conf: Config) -> str:
    """The sender of notices to the postmaster: mail from it is never reported on."""
    name = conf.double_bounce_sender
    return name if "@" in name else f"{name}@{conf.myhostname}"


class Postmaster:
    """One a process. `wanted` is 0 when nothing is to be told, and then no session need remember what was said."""

    def __init__(self, conf: Config, submitter: Submitter | None = None) -> None:
        self.wanted = wanted_classes(conf)
        self.sender = double_bounce_address(conf)
        self._conf = conf
        self._submitter = submitter
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(
        self, trouble: int, subject: str, entries: Collection[Entry], *, reason: str = "", opening: str = ""
    ) -> None:
        """Send the transcript, if one of the bits in `trouble` is wanted. Never raises, never waits.

        `subject` comes after the mail system's name: `SMTP server: errors from host[address]`. `reason` and `opening`
        are those of mail.transcript.notice.
        """
        if not trouble & self.wanted:
            return
        if len(self._tasks) >= MOST_WAITING:
            log.warning(f"postmaster notice: too many are waiting already: none about {subject}")
            return
        self._begin(self._submission(trouble, subject, entries, reason, opening))

    def write(self, subject: str, lines: Sequence[str]) -> None:
        """Send a notice of another kind to error_notice_recipient, whatever notify_classes says. Never raises, never
        waits."""
        if len(self._tasks) >= MOST_WAITING:
            log.warning(f"postmaster notice: too many are waiting already: none about {subject}")
            return
        conf, now = self._conf, time.time()
        head, _ = self._texts(now, subject)
        body = "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")
        envelope = Envelope("", now, self.sender, [Recipient(conf.error_notice_recipient)])
        self._begin(Submission(0, envelope, head, body, origin="notify"))

    def _begin(self, submission: Submission) -> None:
        task = asyncio.get_running_loop().create_task(self._send(submission))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _submission(
        self, trouble: int, subject: str, entries: Collection[Entry], reason: str, opening: str
    ) -> Submission:
        conf = self._conf
        now = time.time()
        bounced = trouble & self.wanted & BOUNCE
        head, body = self._texts(now, subject, entries, reason, opening)
        recipient = conf.bounce_notice_recipient if bounced else conf.error_notice_recipient
        envelope = Envelope("", now, self.sender, [Recipient(recipient)])
        return Submission(0, envelope, head, body, origin="notify")

    def _texts(
        self, now: float, subject: str, entries: Collection[Entry] = (), reason: str = "", opening: str = ""
    ) -> tuple[bytes, bytes]:
        """Header block and body."""
        conf = self._conf
        return notice(
            date=mail_date(now),
            sender=f"MAILER-DAEMON@{conf.myorigin}",
            recipient=_complete(conf.error_notice_recipient, conf.myorigin),
            subject=f"{conf.mail_name} {subject}",
            entries=entries,
            reason=reason,
            opening=opening,
            standard=conf.header_from_format == "standard",
        )

    async def _send(self, submission: Submission) -> None:
        if self._submitter is None:
            self._submitter = Submitter()
        try:
            answer = await self._submitter.submit(submission)
        except OSError as error:
            log.warning(f"postmaster notice: cannot reach the cleanup service: {error.strerror or error}")
            return
        if not answer.queue_id:
            log.warning(f"postmaster notice: {answer.dsn} {answer.reason}")

    async def stop(self) -> None:
        """What was begun is finished."""
        if self._tasks:
            await asyncio.wait(self._tasks)


def _complete(address: str, origin: str) -> str:
    return address if "@" in address else f"{address}@{origin}"
