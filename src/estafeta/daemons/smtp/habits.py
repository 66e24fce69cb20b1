"""What is known of single servers: keywords to overlook, PIX workarounds, replies to rewrite, who is watched.

Looked up by the server's address while a connection to it is opened; with none of these parameters set, nothing is
looked up and nothing is paid. smtp_discard_ehlo_keyword_address_maps, smtp_pix_workaround_maps, smtp_reply_filter,
debug_peer_list.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from estafeta.base import log
from estafeta.config.instance import ClientSettings, Config
from estafeta.daemons.smtp.connection import PIX
from estafeta.daemons.smtp.errors import NoTable
from estafeta.daemons.smtp.mx import Server
from estafeta.tables.maps import Maps
from estafeta.tables.match import MatchList
from estafeta.tables.table import TableDown

SILENT = "SILENT-DISCARD"
_LOGGED = "8BITMIME AUTH ETRN PIPELINING SIZE VRFY XCLIENT XFORWARD STARTTLS ENHANCEDSTATUSCODES DSN SMTPUTF8 CHUNKING"
_KNOWN = tuple(_LOGGED.split())
"""What the log names, in Postfix's order."""


class Habits:
    """Raises NoTable where a table cannot answer, after saying so in the log."""

    def __init__(self, conf: Config, settings: ClientSettings, *, lmtp: bool, verbose: bool = False) -> None:
        client = "lmtp" if lmtp else "smtp"
        keywords = "lmtp_discard_lhlo_keyword" if lmtp else "smtp_discard_ehlo_keyword"
        self._discard = _upper(settings.discard_ehlo_keywords)
        self._discard_maps = Maps.open(settings.discard_ehlo_keyword_address_maps, name=f"{keywords}_address_maps")
        self._workarounds = settings.pix_workarounds
        where = conf.origin(f"{client}_pix_workarounds")
        for word in settings.pix_workarounds:
            if word.lower() not in PIX:
                log.warning(
                    f"{where}: {client}_pix_workarounds: unknown word {word!r}, it has no effect: the words are "
                    f"{', '.join(sorted(PIX))}"
                )
        self._workaround_maps = Maps.open(settings.pix_workaround_maps, name=f"{client}_pix_workaround_maps")
        self._threshold = settings.pix_workaround_threshold_time
        self._replies = Maps.open(settings.reply_filter, name=f"{client}_reply_filter")
        self._watch_all = verbose
        parents = "debug_peer_list" in conf.parent_domain_matches_subdomains
        self._watch = MatchList.open(conf.debug_peer_list, parent_matches_subdomains=parents, name="debug_peer_list")

    async def discards(self, address: str, queue_id: str) -> frozenset[str]:
        """EHLO keywords to overlook, upper case. The address's own entry takes the place of the general list."""
        chosen = self._discard
        if self._discard_maps:
            found = await self._ask(self._discard_maps, address, queue_id)
            if found is not None:
                chosen = _upper(found.replace(",", " ").split())
        if chosen and SILENT not in chosen:
            named = [keyword for keyword in _KNOWN if keyword in chosen]
            if named:
                log.info(f"discarding EHLO keywords: {' '.join(named)}")
        return chosen

    async def workarounds(self, address: str, queue_id: str, arrived: float) -> frozenset[str]:
        """What to do against a PIX firewall, for mail that arrived then."""
        words: Sequence[str] = self._workarounds
        if self._workaround_maps:
            found = await self._ask(self._workaround_maps, address, queue_id)
            if found is not None:
                words = found.replace(",", " ").split()
        chosen = frozenset(word.lower() for word in words) & frozenset(PIX)
        if time.time() - arrived < self._threshold:
            chosen -= {"delay_dotcrlf"}
        return chosen

    def rewriting(self, relay: str) -> Callable[[str], str | None] | None:
        """What replies go through, line by line; None where they stay as they come."""
        if not self._replies:
            return None

        def rewrite(line: str) -> str | None:
            try:
                found = self._replies.find_now(line)
            except TableDown as error:
                log.warning(f"{relay}: {self._replies.name} lookup error for {line}: {error}")
                raise NoTable(str(error)) from error
            if found is not None:
                log.info(f'{relay}: replacing server reply "{line}" with "{found}"')
            return found

        return rewrite

    async def watched(self, server: Server) -> bool:
        """Whether all that is said to and by this server is logged."""
        if self._watch_all or not self._watch:
            return self._watch_all
        try:
            return await self._watch.matches_address(server.host, server.address)
        except TableDown as error:
            log.warning(f"debug_peer_list: {error}")
            return False

    async def _ask(self, maps: Maps, address: str, queue_id: str) -> str | None:
        try:
            return await maps.get(address)
        except TableDown as error:
            log.warning(str(error))
            log.warning(f"{queue_id}: {maps.name} map lookup error for {address}")
            raise NoTable(str(error)) from error


def _upper(words: Sequence[str]) -> frozenset[str]:
    return frozenset(word.upper() for word in words)
