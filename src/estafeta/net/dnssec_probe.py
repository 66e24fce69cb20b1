"""Does the name server check signatures? Asked once in a process, and only when somebody depends on it.

Whoever needs signed answers (smtp_dns_support_level = dnssec) hands one of these to the resolver. The first answer that
comes without the mark of validation, before any that has it, leads to one question for a name that every validating
server has at hand; if that has no mark either, the administrator hears of it. postconf(5): dnssec_probe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import dns.exception
import dns.rdatatype

from estafeta.base import log
from estafeta.net.dns_names import Answer, BadName, DnsDown, DnsError, check_name

Ask = Callable[[str, str], Awaitable[Answer]]
"""(name without the final dot, record type) -> the answer; `Resolver.query` for a name that is not checked."""


class DnssecProbe:
    """`setting` is dnssec_probe: `ns:example.com`; without a type, `ns` is meant; empty makes no probe."""

    def __init__(self, setting: str) -> None:
        """Raises ValueError, with the setting in its text."""
        self.setting = setting
        kind, colon, name = setting.partition(":")
        if not colon:
            kind, name = "ns", setting
        try:
            self.name = check_name(name) if name.strip(".") else ""
            self.rrtype = dns.rdatatype.to_text(dns.rdatatype.from_text(kind.strip()))
        except (BadName, dns.exception.DNSException, ValueError) as error:
            raise ValueError(f"dnssec_probe = {setting}: {error}: write a record type and a name, as in ns:.") from None
        self.settled = not setting
        """Nothing is to be asked any more."""
        self._task: asyncio.Task[None] | None = None

    def saw(self, secure: bool, ask: Ask) -> None:
        """An answer has come; `secure` is its mark. Never waits."""
        self.settled = True
        if not secure:
            self._task = asyncio.get_running_loop().create_task(self._probe(ask))

    async def _probe(self, ask: Ask) -> None:
        try:
            secure = (await ask(self.name, self.rrtype)).secure
        except DnsDown as error:
            why = "; ".join(getattr(error, "__notes__", ())) or error.reason
            trouble = f"received no response: {why}"
        except DnsError:
            trouble = "received a response that is not DNSSEC validated"
        else:
            if secure:
                return
            trouble = "received a response that is not DNSSEC validated"
        log.warning("DNSSEC validation may be unavailable")
        log.warning(f"reason: dnssec_probe '{self.setting}' {trouble}")

    async def close(self) -> None:
        """Give up a question that is on the wire."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
