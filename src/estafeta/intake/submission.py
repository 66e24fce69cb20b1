"""One message on its way in: fed with content, then finished or abandoned.

Used by smtpd, pickup and the cleanup service. Nothing waits before `drain` or `finish`; a small message touches the
disk once, in `finish`. A message over estafeta_large_message streams to a file of its own as it arrives.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.intake import eight_bit, verdict
from estafeta.intake.content import HEADER_LIMIT, Content, HeaderTooBig
from estafeta.intake.header_rules import Author, Seen
from estafeta.intake.mapping import AliasTrouble
from estafeta.intake.mime_rules import Look
from estafeta.intake.verdict import Queued, Refused, TryAgain, Verdict
from estafeta.mail.address import quote
from estafeta.mail.envelope import TRACE_PROBE
from estafeta.queue.journal import SpoolError
from estafeta.queue.spool import LargeMessage
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from estafeta.intake.intake import Intake
    from estafeta.mail.envelope import Envelope
    from estafeta.queue.place import Place

PROGRAM = "cleanup"

DRAIN_AT = 256 * 1024
"""Bytes of a large message held between two writes."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Submission:
    """Made by `Intake.begin`. `envelope` may be changed until `finish`: recipients, content_filter, redirect."""

    def __init__(
        self,
        intake: Intake,
        envelope: Envelope,
        *,
        from_network: bool,
        internal: bool,
        mapped: bool,
        bounce: bool,
        writer: str,
    ) -> None:
        self._intake = intake
        self.envelope = envelope
        self.queue_id = envelope.queue_id
        self.full_name = ""
        """Of the local author, for a From header that is missing."""
        self._internal = internal
        self._mapped = mapped
        self._bounce = bounce
        self._writer = writer
        self._content = Content(
            # What came over SMTP has been through wire/smtp/data.py, which lets nothing but CRLF pass.
            fix_strays=intake.fix_strays and not from_network,
            strip=intake.strip_characters,
            header_limit=0 if bounce else HEADER_LIMIT,
        )
        self._prepended: list[bytes] = []
        self._hold_reason: str | None = None
        self._discarded = False
        self._stopped: Refused | TryAgain | None = None
        self._large: LargeMessage | None = None
        self._head: bytes | None = None
        self._seen = Seen()
        self._any_8bit = False
        self._announced_8bit = False
        self._look = intake.mime.look()
        self._grown = 0
        """How much longer the body has become through conversion, line ends counted as one byte."""

    # --- what smtpd's rules ask for

    def prepend(self, field: bytes) -> None:
        """Put a whole field (with its CRLF) before the content: Received, or the PREPEND action. Before `feed`."""
        self._prepended.append(field)

    def hold(self, reason: str = "") -> None:
        """The HOLD action: the message goes to hold/ instead of being delivered."""
        self._hold_reason = reason

    def discard(self) -> None:
        """The DISCARD action: accept the message and forget it."""
        self._discarded = True

    # --- content

    def feed(self, data: bytes) -> bool:
        """The next piece of content (CRLF lines). True: await `drain` before feeding more."""
        if self._stopped is not None or self._discarded:
            return False
        try:
            self._content.feed(data)
        except HeaderTooBig:
            self._stopped = verdict.HEADER_TOO_BIG
            return False
        limit = self._intake.size_limit
        if limit and self._content.size > limit:
            self._stopped = self._refusal(verdict.TOO_BIG)
            if self._stopped is not None:
                return True
        if self._large is not None:
            return self._content.held > DRAIN_AT
        return self._content.held > self._intake.large_message

    async def drain(self) -> None:
        """Write out what a large message has brought so far. Trouble is kept for `finish` to tell."""
        if self._stopped is not None:
            await self._drop_large()
            return
        if self._content.head is None:
            return
        try:
            if self._large is None:
                self._stopped = await self._finish_head()
                if self._stopped is not None:
                    return
                self._large = await self._intake.spool.begin_large(self.queue_id, self._head or b"")
            await self._write_pieces(self._large)
        except SpoolError as error:
            self._trouble(error)
            await self._drop_large()

    async def finish(self) -> Verdict:
        """All content was fed: check, map, store. `Queued` means that it is on stable storage."""
        answer = await self._finished()
        if not isinstance(answer, Queued):
            await self._drop_large()
        return answer

    def abandon(self) -> None:
        """The client went away: forget the message."""
        self._content = Content(fix_strays=False)
        if self._large is not None:
            large, self._large = self._large, None
            self._intake.spawn(large.abandon())

    # --- the steps of `finish`

    async def _finished(self) -> Verdict:
        if self._discarded:
            return Queued(self.queue_id)
        if self._stopped is not None:
            return self._stopped
        try:
            self._content.close()
        except HeaderTooBig:
            return verdict.HEADER_TOO_BIG
        try:
            stopped = await self._checked()
        except TableDown as down:
            log.warning(f"{self.queue_id}: {down} -- message not accepted, try again later", PROGRAM)
            return verdict.TABLE_TROUBLE
        except AliasTrouble:
            return verdict.ALIAS_TROUBLE
        if stopped is not None:
            return stopped
        if self._discarded:
            return Queued(self.queue_id)
        notices = self._intake.notices
        if notices is not None and notices.full and self._intake.flow_delay:
            await notices.relief(self._intake.flow_delay)
        try:
            place = await self._store()
        except SpoolError as error:
            return self._trouble(error)
        self._tell(place)
        return Queued(self.queue_id, place, self.envelope)

    async def _checked(self) -> Refused | TryAgain | None:
        if self._head is None:
            stopped = await self._finish_head()
            if stopped is not None:
                return stopped
        if not self.envelope.recipients:
            return verdict.NO_RECIPIENTS
        self._look_at_pieces(final=True)
        if self._stopped is not None:
            return self._stopped
        await self._intake.recipients.complete(self.envelope, mapped=self._mapped, internal=self._internal)
        if not self.envelope.recipients:
            return verdict.NO_RECIPIENTS
        if self.envelope.trace & TRACE_PROBE and len(self.envelope.recipients) > 1:
            self._discarded = True  # an alias for several exists, whatever becomes of them: nobody is asked
            return None
        self._complete_envelope()
        return None

    def _refusal(self, refused: Refused) -> Refused | None:
        """The refusal, or None if nobody is there to hear it: then error(8) returns the message to its sender."""
        if not self._bounce:
            return refused
        reason = f"{refused.dsn} {refused.text.removeprefix('Error: ')}"
        self.envelope.content_filter = f"error:{reason}"
        return None

    async def _finish_head(self) -> Refused | TryAgain | None:
        """Apply the header rules. A table that is down is kept as the answer, so that streaming can go on."""
        content, envelope = self._content, self.envelope
        raw = content.head or b""
        if self._intake.reject_characters and any(byte in raw for byte in self._intake.reject_characters):
            stopped = self._bad_characters(raw)
            if stopped is not None:
                return stopped
        if content.odd_end and self._intake.end_of_header != "fix_quietly":
            shown = f"message header was terminated by '{_shown(content.odd_end)}'"
            if self._intake.end_of_header == "reject":
                self._log_refusal("mime-error", shown, "")
                stopped = self._refusal(Refused(550, "5.6.0", shown, "content"))
                if stopped is not None:
                    return stopped
            else:
                raw += f"MIME-Error: {shown}\r\n".encode("utf-8", "surrogateescape")
        if self._prepended:
            raw = b"".join((*self._prepended, raw))
        author = Author(self.queue_id, envelope.arrived, envelope.sender, self.full_name, envelope.context)
        try:
            await self._intake.recipients.complete_sender(envelope, mapped=self._mapped)
            author.sender = envelope.sender
            head, self._seen = await self._intake.headers.apply(raw, author)
        except TableDown as down:
            log.warning(f"{self.queue_id}: {down} -- message not accepted, try again later", PROGRAM)
            return verdict.TABLE_TROUBLE
        if self._seen.received >= self._intake.hopcount_limit:
            log.warning(f"{self.queue_id}: message rejected: hopcount exceeded", PROGRAM)
            stopped = self._refusal(verdict.TOO_MANY_HOPS)
            if stopped is not None:
                return stopped
        for name, value in self._seen.message_ids:
            log.info(f"{self.queue_id}: {name}={_UNPRINTABLE.sub('?', value)}", PROGRAM)
        self._head = head + b"\r\n" if content.blank else head
        if self._look is not None:
            self._head = self._look.feed(self._head)
        return None

    def _examine(self, look: Look, *, final: bool) -> None:
        """Put the pieces at hand before the strict rules of MIME, and convert them if that is wanted."""
        content = self._content
        pieces = [look.feed(piece) for piece in content.body]
        rest = look.finish() if final else b""
        if rest and not content.body and not content.blank:
            self._head = (self._head or b"") + rest  # there is nothing but a header
        elif rest:
            pieces.append(rest)
        if self._intake.mime.convert:
            self._grown += sum(map(_size, pieces)) - sum(map(_size, content.body))
            content.body = [piece for piece in pieces if piece]
            content.held = sum(map(len, content.body))
        if look.trouble is not None:
            what, shown = look.trouble
            self._look = None
            self._log_refusal("mime-error", f"{what}: {_UNPRINTABLE.sub('?', shown)}", "")
            self._stopped = self._refusal(Refused(550, "5.6.0", what, "content"))
        if final:
            self._look = None

    def _bad_characters(self, piece: bytes) -> Refused | None:
        """message_reject_characters: the line is shown in the log."""
        line = next(line for line in piece.split(b"\n") if any(byte in line for byte in self._intake.reject_characters))
        client = self.envelope.client
        about = f" proto={client.protocol} helo=<{client.helo}>" if client.name else ""
        self._log_refusal("content", _shown(line[:200].rstrip(b"\r")), f"{about}: 5.7.1 disallowed character")
        return self._refusal(verdict.BAD_CHARACTERS)

    def _log_refusal(self, what: str, detail: str, more: str) -> None:
        client, envelope = self.envelope.client, self.envelope
        first = envelope.recipients[0] if envelope.recipients else None
        to = f" to=<{quote(first.original or first.address)}>" if first is not None else ""
        where = f"{client.name}[{client.address}]" if client.name else "local"
        log.info(
            f"{self.queue_id}: reject: {what} {detail} from {where}; from=<{quote(envelope.sender)}>{to}{more}", PROGRAM
        )

    def _look_at_pieces(self, *, final: bool = False) -> None:
        """Note what the pieces at hand tell about 8-bit content, before they are written out."""
        if self._look is not None:
            self._examine(self._look, final=final)
        body = self._content.body
        if self._any_8bit or eight_bit.present(body):
            self._any_8bit = True
        if self._intake.detect_8bit and not self._announced_8bit:
            self._announced_8bit = eight_bit.announced(self._seen.content_type, self._seen.encoding, body)
        if self._intake.reject_characters:
            for piece in body:
                if any(byte in piece for byte in self._intake.reject_characters):
                    self._stopped = self._bad_characters(piece)
                    break

    async def _write_pieces(self, large: LargeMessage) -> None:
        self._look_at_pieces()
        content = self._content
        pieces, content.body, content.held = content.body, [], 0
        if pieces:
            await large.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _complete_envelope(self) -> None:
        envelope = self.envelope
        head = self._head or b""
        envelope.size = len(head) - head.count(b"\n") + self._content.body_size + self._grown
        if self._intake.mime.convert and not self._any_8bit and envelope.encoding == "8bit":
            envelope.encoding = "7bit"
        if self._announced_8bit and envelope.encoding != "8bit":
            envelope.encoding = "8bit"
        if not envelope.smtputf8 and self._intake.detect_utf8(self._writer):
            everyone = (envelope.sender, *(each.address for each in envelope.recipients))
            envelope.smtputf8 = not head.isascii() or not all(each.isascii() for each in everyone)
        if not envelope.content_filter and not self._internal:
            envelope.content_filter = self._intake.content_filter
        if self._hold_reason is not None:
            envelope.hold_reason = self._hold_reason

    async def _store(self) -> Place:
        if self._large is not None:
            await self._write_pieces(self._large)
            place = await self._large.finish(self.envelope)
            self._large = None
            return place
        return await self._intake.spool.commit(self.envelope, self._head or b"", self._content.body)

    def _tell(self, place: Place) -> None:
        notices = self._intake.notices
        if notices is None:
            return
        if self._hold_reason is not None:
            notices.held(place, self.envelope)
        else:
            notices.arrived(place, self.envelope)

    def _trouble(self, error: SpoolError) -> TryAgain:
        log.warning(f"{self.queue_id}: queue file write error: {error} -- message not accepted", PROGRAM)
        self._stopped = verdict.CANNOT_WRITE
        return verdict.CANNOT_WRITE

    async def _drop_large(self) -> None:
        if self._large is not None:
            large, self._large = self._large, None
            try:
                await large.abandon()
            except OSError as error:
                log.warning(f"{self.queue_id}: remove unfinished message file: {error}", PROGRAM)


def _size(piece: bytes) -> int:
    """Bytes, a line end counted as one."""
    return len(piece) - piece.count(b"\n")


def _shown(raw: bytes) -> str:
    return _UNPRINTABLE.sub("?", raw.decode("utf-8", "surrogateescape"))
