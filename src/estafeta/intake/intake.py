"""Taking mail in: what cleanup(8) does, as a library inside smtpd, pickup and the cleanup service.

    intake = Intake.open(conf, context=context)      # in Service.open: tables
    await intake.start(NoticeSender())               # in Service.start: spool, line to qmgr
    message = intake.begin(envelope, from_network=True)
    message.prepend(received); message.feed(content)
    answer = await message.finish()                  # Queued | Refused | TryAgain

The cleanup entry of master.cf that `cleanup_service_name` names, and the rewrite entry, lend their -o settings.
What decides about the writer's own mail (content_filter, receive_override_options) is read from the writer's entry.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

from estafeta.config.instance import Config
from estafeta.intake.header_rules import HeaderRules
from estafeta.intake.mapping import Mapping as AddressMapping
from estafeta.intake.mime_rules import MimeRules
from estafeta.intake.recipients import RecipientRules
from estafeta.intake.submission import Submission
from estafeta.mail.envelope import Envelope
from estafeta.queue.place import Place
from estafeta.queue.spool import Spool
from estafeta.routing.routing import Routing


class Entries(Protocol):
    """skeleton.service.Context as intake sees it."""

    def overrides_of(self, service_name: str) -> Mapping[str, str]: ...


class Notices(Protocol):
    """services.notice.NoticeSender as intake sees it: tells qmgr, never fails, never waits, but in `relief`."""

    full: bool

    async def relief(self, most: float) -> None: ...
    def arrived(self, place: Place, envelope: Envelope) -> None: ...
    def held(self, place: Place, envelope: Envelope) -> None: ...
    def sealed(self, segment: str, records: int) -> None: ...
    async def stop(self) -> None: ...


class Intake:
    """One a process."""

    def __init__(self, conf: Config, cleanup: Config, routing: Routing) -> None:
        """Use `open`."""
        self.routing = routing
        self.mapping = AddressMapping(cleanup, routing)
        self.headers = HeaderRules(cleanup, self.mapping)
        self.recipients = RecipientRules(cleanup, self.mapping, routing)
        self.hopcount_limit = cleanup.hopcount_limit
        self.size_limit = conf.message_size_limit
        self.large_message = conf.estafeta_large_message
        self.fix_strays = cleanup.cleanup_replace_stray_cr_lf
        self.strip_characters = characters(cleanup.message_strip_characters)
        self.reject_characters = characters(cleanup.message_reject_characters)
        self.content_filter = conf.content_filter
        self.flow_delay = cleanup.in_flow_delay
        self._address_mappings = "no_address_mappings" not in conf.receive_override_options
        self.mime = MimeRules(cleanup)
        # What was converted needs no 8-bit clean path any more.
        self.detect_8bit = (
            cleanup.detect_8bit_encoding_header and not cleanup.disable_mime_input_processing and not self.mime.convert
        )
        self.end_of_header = cleanup.non_empty_end_of_header_action
        self._utf8 = cleanup.smtputf8_enable
        self._utf8_classes = frozenset(cleanup.smtputf8_autodetect_classes)
        self._conf = conf
        self._spool: Spool | None = None
        self.notices: Notices | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def open(
        cls,
        conf: Config,
        *,
        context: Entries | None = None,
        routing: Routing | None = None,
        spool: Spool | None = None,
    ) -> Intake:
        """Open the tables for the writer whose configuration is `conf`.

        `context` gives the -o settings of the cleanup and rewrite entries; without it `conf` stands for both. `spool`
        is made by `start` if it is not given. Raises ConfigError.
        """
        cleanup = conf
        if context is not None:
            overrides = context.overrides_of(conf.cleanup_service_name)
            cleanup = Config.build(conf.settings, overrides, service=conf.cleanup_service_name)
        if routing is None:
            rewrite = context.overrides_of(conf.rewrite_service_name) if context is not None else None
            routing = Routing.open(conf, rewrite, listing=False)
        intake = cls(conf, cleanup, routing)
        intake._spool = spool
        return intake

    async def start(self, notices: Notices | None = None) -> None:
        """Open the journal in the working directory; needs a loop. Without `notices`, qmgr finds mail by itself."""
        self.notices = notices
        if self._spool is None:
            self._spool = Spool(
                segment_size=self._conf.estafeta_segment_size,
                large_message=self.large_message,
                long_ids=self._conf.enable_long_queue_ids,
                sealed=self._sealed,
            )

    async def stop(self) -> None:
        """Seal the journal, tell qmgr what is still untold."""
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._spool is not None:
            await self._spool.stop()
        if self.notices is not None:
            await self.notices.stop()

    @property
    def spool(self) -> Spool:
        if self._spool is None:
            raise RuntimeError("intake was not started")
        return self._spool

    def new_id(self) -> str:
        """A queue id for a message that begins now. Raises SpoolError."""
        return self.spool.new_id(time.time())

    def begin(
        self,
        envelope: Envelope,
        *,
        from_network: bool,
        internal: bool = False,
        mapped: bool = True,
        bounce: bool = False,
        writer: str = "",
    ) -> Submission:
        """A message with this envelope; its queue_id is from `new_id`.

        `from_network`: the content comes from wire/smtp/data.py, so that no line ends in anything but CRLF; other
        writers' content is looked through for stray CR and LF.
        `internal`: made by the mail system itself, so no copies (always_bcc) and no content filter. `mapped`: canonical
        maps and virtual aliases apply, unless receive_override_options says otherwise. `bounce`: there is nobody to
        hear a refusal, so a message that breaks a limit is queued all the same, to be returned to its sender.
        `writer`: who brings it, in the words of smtputf8_autodetect_classes; by default smtpd or sendmail.
        """
        return Submission(
            self,
            envelope,
            from_network=from_network,
            internal=internal,
            mapped=mapped and self._address_mappings,
            bounce=bounce,
            writer=writer or ("smtpd" if from_network else "sendmail"),
        )

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something to its end in the background; `stop` waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def detect_utf8(self, writer: str) -> bool:
        """Whether mail from this kind of writer is looked at for UTF-8 (smtputf8_autodetect_classes)."""
        return self._utf8 and ("all" in self._utf8_classes or writer in self._utf8_classes)

    def _sealed(self, segment: str, records: int) -> None:
        if self.notices is not None:
            self.notices.sealed(segment, records)


_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|(.))", re.DOTALL)
_NAMED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def characters(text: str) -> bytes:
    r"""The bytes that a text like `\0\015x` stands for: octal numbers and the escapes of C."""

    def meaning(escape: re.Match[str]) -> str:
        if escape[1] is not None:
            return chr(int(escape[1], 8) & 0xFF)
        return _NAMED.get(escape[2], escape[2])

    return _ESCAPE.sub(meaning, text).encode("latin-1", "replace")
