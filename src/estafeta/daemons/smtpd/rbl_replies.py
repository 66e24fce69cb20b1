"""What a client is told whom a DNS list forbids: default_rbl_reply, or what rbl_reply_maps has for the list.

Both are templates with facts about the client and the list in them. The text begins with the reply code; where it
does not, the client hears to come later, as nobody knows what was meant. postconf(5), default_rbl_reply.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.config.expand import ExpandError, expand
from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError
from estafeta.daemons.smtpd.expansion import Expansion
from estafeta.tables.maps import Maps
from estafeta.tables.table import Misconfigured, TableDown
from estafeta.wire.smtp.reply import split_enhanced

if TYPE_CHECKING:
    from estafeta.daemons.smtpd.restrictions.evaluate import Check

_REPLY = re.compile(r"([45]\d\d)\s+(?=\S)")
BAD_REPLY = (450, "4.7.1", "Service unavailable")

Reply = tuple[int, str, str]
"""Code, enhanced status code, text."""


class BadReplyTable(Exception):
    """rbl_reply_maps cannot be asked. Logged."""


class RblReplies:
    """Made once for a process."""

    def __init__(self, conf: Config) -> None:
        """Raises ConfigError."""
        self._code = str(conf.maps_rbl_reject_code)
        self._template = conf.default_rbl_reply
        self._maps = Maps.open(conf.rbl_reply_maps, name="rbl_reply_maps")
        self._expansion = Expansion(conf)
        try:
            expand(self._template, lambda name: "", recursive=False)
        except ExpandError as error:
            raise ConfigError(f"default_rbl_reply: {error}: {self._template}") from None

    async def reply(self, check: Check, listed_by: str, kind: str, what: str, reason: str) -> Reply:
        """`listed_by`: the list as configured, with its filter; `what` of a `kind` (`Client host`) it lists, and why.

        Raises BadReplyTable.
        """
        facts = facts_of(check) | {
            "rbl_code": self._code,
            "rbl_domain": listed_by.partition("=")[0],
            "rbl_reason": reason,
            "rbl_txt": reason,
            "rbl_what": what,
            "rbl_class": kind,
        }

        template = await self._own_template(listed_by)
        if template is not None:
            try:
                return _split(self._expansion.of(template, facts))
            except ExpandError as error:
                log.warning(str(error))
                log.warning(f"rbl_reject_reply: bad rbl reply template for domain {listed_by}: {template}")
        return _split(self._expansion.of(self._template, facts))

    async def _own_template(self, listed_by: str) -> str | None:
        if not self._maps:
            return None
        try:
            return await self._maps.find(listed_by)
        except TableDown as error:
            if not isinstance(error, Misconfigured):
                log.warning(f'{" ".join(self._maps.specs)} lookup error for "{listed_by}"')
            raise BadReplyTable from None


def _split(text: str) -> Reply:
    found = _REPLY.match(text)
    if found is None:
        log.warning(f"rbl response code configuration error: {text.rstrip()}")
        return BAD_REPLY
    code = found[1]
    dsn, rest = split_enhanced(text[found.end() :])
    return int(code), dsn or f"{code[0]}.7.1", rest


def facts_of(check: Check) -> dict[str, str]:
    """What a reply may mention of the client and the mail."""
    session = check.session
    client = session.client
    sender, sender_name, sender_domain = _parts(check.sender)
    recipient, recipient_name, recipient_domain = _parts(check.recipient)
    return {
        "client": client.namaddr_plain,
        "client_address": client.address,
        "client_name": client.name,
        "client_port": client.port,
        "helo_name": session.helo or "",
        "recipient": recipient,
        "recipient_domain": recipient_domain,
        "recipient_name": recipient_name,
        "reverse_client_name": client.reverse_name,
        "sender": sender,
        "sender_domain": sender_domain,
        "sender_name": sender_name,
        "server_name": check.policy.conf.myhostname,
    }


def _parts(address: str | None) -> tuple[str, str, str]:
    """The address, its local part, its domain; the empty address is shown as `<>`."""
    if address is None:
        return "", "", ""
    if not address:
        return "<>", "<>", ""
    local, at, domain = address.rpartition("@")
    return (address, local, domain) if at else (address, address, "")
