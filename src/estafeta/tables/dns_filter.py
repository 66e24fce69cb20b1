"""smtp_dns_reply_filter and smtpd_dns_reply_filter: tables that drop DNS records before they are used.

A record is asked for as `name. ttl IN MX 10 host.`; the only action is IGNORE. When a filter leaves nothing of an
answer, the answer is "ask later": nobody said that the name does not exist. postconf(5), smtp_dns_reply_filter.

    resolver.reply_filter = DnsReplyFilter.open(settings.dns_reply_filter, name="smtp_dns_reply_filter")
"""

from __future__ import annotations

from collections.abc import Sequence

from estafeta.base import log
from estafeta.net.dns import Answer, DnsDown, Dropped
from estafeta.tables.maps import Maps
from estafeta.tables.table import TableDown

_NAMED = frozenset({"MX", "SRV", "CNAME", "PTR", "NS"})
"""Types whose data ends in a name."""


class DnsReplyFilter:
    """To be set as `net.dns.Resolver.reply_filter`."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps

    @classmethod
    def open(cls, specs: Sequence[str], *, name: str) -> DnsReplyFilter | None:
        """None without tables."""
        return cls(Maps.open(specs, name=name)) if specs else None

    async def __call__(self, answer: Answer) -> Answer:
        """The answer with what is left of its records. Raises Dropped, and DnsDown when a table cannot answer."""
        kept = [record for record in answer.records if not await self._ignored(answer, record)]
        if len(kept) == len(answer.records):
            return answer
        if not kept:
            raise Dropped(answer.name, answer.rrtype)
        return answer._replace(records=tuple(kept))

    async def _ignored(self, answer: Answer, record: str) -> bool:
        dot = "." if answer.rrtype in _NAMED else ""
        shown = f"{answer.canonical}. {answer.ttl} IN {answer.rrtype} {record}{dot}"
        try:
            action = await self._maps.get(shown)
        except TableDown as error:
            log.warning(f"{self._maps.name}: {error}")
            raise DnsDown(answer.name, answer.rrtype) from error
        if action is None:
            return False
        if action.strip().lower() != "ignore":
            log.warning(f'{self._maps.name}: unknown action "{action}" for "{shown}": the only one is IGNORE')
            raise DnsDown(answer.name, answer.rrtype)
        log.info(f"ignoring DNS RR: {shown}")
        return True
