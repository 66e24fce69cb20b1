"""What postscreen says to clients: texts, and what the configuration does to refusals."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.config.expand import ExpandError, expand
from estafeta.tables.maps import Maps
from estafeta.tables.table import TableDown
from estafeta.wire.smtp.footer import unescaped, with_footer

if TYPE_CHECKING:
    from estafeta.config.instance import Config

    from .visitor import Visitor

UNAVAILABLE_450 = "450 4.3.2 Service currently unavailable"
DENIED_550 = "550 5.3.2 Service currently unavailable"
DENIED_521 = "521 5.3.2 Service currently unavailable"
PROTOCOL_550 = "550 5.5.1 Protocol error"
PROTOCOL_521 = "521 5.5.1 Protocol error"
RULES_521 = "521 5.7.0 Error: I can break rules, too. Goodbye."
TOO_MANY_421 = "421 4.7.0 Error: too many connections"
PORTS_421 = "421 4.3.2 All server ports are busy"
SCREENING_421 = "421 4.3.2 All screening ports are busy"
RESOURCES_421 = "421 4.3.2 No system resources"

_REFUSAL = re.compile(r"5(\d\d[ -])(?:5(\.\d{1,3}\.\d{1,3} ))?")


def softened(reply: str) -> str:
    """soft_bounce: come back later in place of never."""
    return _REFUSAL.sub(lambda found: f"4{found[1]}" + (f"4{found[2]}" if found[2] else ""), reply, count=1)


class Dressing:
    """soft_bounce, and the footer of refusals. postscreen_reject_footer, postscreen_reject_footer_maps."""

    def __init__(self, conf: Config) -> None:
        self._soft = conf.soft_bounce
        self._footer = _followed(conf.postscreen_reject_footer, "smtpd_reject_footer", conf.smtpd_reject_footer)
        self._footers = Maps.open(conf.postscreen_reject_footer_maps, name="postscreen_reject_footer_maps")
        wanted = _followed(conf.postscreen_expansion_filter, "smtpd_expansion_filter", conf.smtpd_expansion_filter)
        allowed = re.escape(unescaped(wanted))
        self._forbidden = re.compile(f"[^{allowed}]", re.S)
        self._conf = conf

    @property
    def quick(self) -> bool:
        """Whether `dressed` waits for nothing."""
        return not self._footers

    def plain(self, reply: str) -> str:
        """As the log has it: without a footer."""
        return softened(reply) if self._soft and reply.startswith("5") else reply

    async def dressed(self, reply: str, visitor: Visitor) -> str:
        """`reply` without its line end, as the client gets it."""
        text = self.plain(reply)
        if text[:1] not in "45" or not (self._footer or self._footers):
            return text
        template = await self._template(text)
        if not template:
            return text
        try:
            return with_footer(text, self._expanded(template, visitor))
        except ExpandError as error:
            log.warning(f"postscreen_reject_footer: {error}")
            return text

    async def _template(self, text: str) -> str:
        if self._footers:
            try:
                found = await self._footers.find(text)
            except TableDown:
                log.warning(f'{self._footers.specs[0]} lookup error for "{text[:100]}"')
                return self._footer
            if found is not None:
                return found
        return self._footer

    def _expanded(self, template: str, visitor: Visitor) -> str:
        facts = {
            "client_address": visitor.address,
            "client_port": visitor.port,
            "localtime": time.strftime("%b %d %H:%M:%S"),
            "server_name": self._conf.myhostname,
        }

        def lookup(name: str) -> str | None:
            value = facts.get(name)
            if value is not None:
                return self._forbidden.sub("_", value)
            if self._conf.is_set(name):
                return self._conf.raw_value(name).replace("\\n", "\n")
            log.warning(f'unknown macro name "{name}" in expansion request')
            return None

        return expand(template.replace("\\n", "\n"), lookup)


def _followed(value: str, name: str, followed: str) -> str:
    """These parameters are not expanded when main.cf is read, and by default they follow those of smtpd."""
    return followed if value.strip() in (f"${name}", f"${{{name}}}", f"$({name})") else value
