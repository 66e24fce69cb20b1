"""What is done to a 4xx or 5xx reply on its way out: another reply in its place, and a footer.

smtpd_reject_filter_maps gives another reply by the text of the first one. smtpd_reject_footer, or the table that
smtpd_reject_footer_maps finds the reply in, gives a text that is added: `\\n` in it begins a new line, `\\c` at its
beginning adds it to the last line of the reply. `$client_address` and the like stand for facts about the session, in
which characters that smtpd_expansion_filter does not name become `_`.

Made once for a process, and None where neither is wanted, so that a reply costs nothing then.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.config.expand import ExpandError
from estafeta.config.instance import Config
from estafeta.daemons.smtpd.expansion import Expansion
from estafeta.tables.maps import Maps
from estafeta.tables.table import TableDown
from estafeta.wire.smtp.footer import with_footer
from estafeta.wire.smtp.reply import split_enhanced

if TYPE_CHECKING:
    from estafeta.daemons.smtpd.session import Session

_REPLACEMENT = re.compile(r"([45])\d\d \1\.\d{1,3}\.\d{1,3} .*\S")


class Dressing:
    """What happens to refusals."""

    def __init__(self, conf: Config) -> None:
        self._footer = conf.smtpd_reject_footer
        self._footers = Maps.open(conf.smtpd_reject_footer_maps, name="smtpd_reject_footer_maps")
        self._filter = Maps.open(conf.smtpd_reject_filter_maps, name="smtpd_reject_filter_maps")
        self._expansion = Expansion(conf)
        self._server_name = conf.myhostname

    @classmethod
    def of(cls, conf: Config) -> Dressing | None:
        """None if the configuration wants nothing of the kind."""
        if conf.smtpd_reject_footer or conf.smtpd_reject_footer_maps or conf.smtpd_reject_filter_maps:
            return cls(conf)
        return None

    async def dressed(self, session: Session, reply: bytes) -> bytes:
        """`reply`: 4xx or 5xx with its line end, perhaps of several lines."""
        text = reply.decode("utf-8", "surrogateescape").removesuffix("\r\n")
        text = await self._filtered(text)
        template = await self._template(text)
        if template:
            try:
                text = self._with_footer(session, text, template)
            except ExpandError as error:
                log.warning(f"smtpd_reject_footer: {error}")
        return f"{text}\r\n".encode("utf-8", "surrogateescape")

    async def _filtered(self, text: str) -> str:
        if not self._filter:
            return text
        try:
            value = await self._filter.find(_single_line(text))
        except TableDown as error:
            log.warning(f"smtpd_reject_filter_maps: {error}")
            return text
        if value is None:
            return text
        if _REPLACEMENT.fullmatch(value) is None:
            log.warning(
                f'smtpd_reject_filter_maps: "{value}" is no reply: write a code, an enhanced status code of its class '
                'and a text, as in "450 4.7.1 Try again later"'
            )
            return text
        return value

    async def _template(self, text: str) -> str:
        if self._footers:
            try:
                found = await self._footers.find(text)
            except TableDown:
                # The table itself has said what is wrong.
                log.warning(f'{self._footers.specs[0]} lookup error for "{text}"')
                return self._footer
            if found is not None:
                return found
        return self._footer

    def _with_footer(self, session: Session, text: str, template: str) -> str:
        return with_footer(text, self.expanded(session, template))

    def expanded(self, session: Session, template: str) -> str:
        """The template with facts about the session, and `\\n` as a line end. Raises ExpandError."""
        return self._expansion.of(template.replace("\\n", "\n"), self.facts(session))

    def facts(self, session: Session) -> dict[str, str]:
        """Everything that a footer may mention."""
        client, transaction = session.client, session.transaction
        sender = transaction.sender
        shown_sender = "" if sender is None else sender or "<>"
        recipient = transaction.recipients[0].address if transaction.recipients else ""
        sender_name, _, sender_domain = shown_sender.rpartition("@") if "@" in shown_sender else (shown_sender, "", "")
        recipient_name, _, recipient_domain = recipient.rpartition("@") if "@" in recipient else (recipient, "", "")
        return {
            "client": client.namaddr_plain,
            "client_address": client.address,
            "client_name": client.name,
            "client_port": client.port,
            "helo_name": session.helo or "",
            "localtime": time.strftime("%b %e %H:%M:%S"),
            "recipient": recipient,
            "recipient_domain": recipient_domain,
            "recipient_name": recipient_name,
            "reverse_client_name": client.reverse_name,
            "sender": shown_sender,
            "sender_domain": sender_domain,
            "sender_name": sender_name,
            "server_name": self._server_name,
        }


def _single_line(text: str) -> str:
    """A reply of several lines as one, each further line without its code."""
    lines = text.split("\r\n")
    return " ".join([f"{lines[0][:3]} {lines[0][4:]}", *(split_enhanced(line[4:])[1] for line in lines[1:])])
