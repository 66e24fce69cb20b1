"""The conversation with flush(8): which mail waits for which site, and "have it tried now".

qmgr tells the service which destination a message that it puts off is for; smtpd (ETRN) and postqueue (`-s`, `-i`)
ask it for delivery. Over the service's own socket, `public/flush` unless flush_service_name says otherwise: one
request, one reply, and the connection closes. A wakeup of master comes over the same socket as a single byte, which
cannot begin a frame (a frame that begins with anything but a zero byte would be longer than 16 MiB).

Whether a site is one of fast_flush_domains is asked before the service is: a stranger's ETRN costs it nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from estafeta.base import log, verbose
from estafeta.config.compatibility import uses_legacy_default
from estafeta.net.asker import ask_once
from estafeta.tables.match import MatchList
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from estafeta.config.instance import Config

ADD, SEND_SITE, SEND_FILE, REFRESH, PURGE = "add", "send_site", "send_file", "refresh", "purge"
OK, DENIED, BAD, FAILED = "ok", "denied", "bad", "failed"
"""Done; no account is kept for that site; the request makes no sense; not now."""

LONGEST_SITE = 255
LONGEST_ID = 40


class FlushRequest(msgspec.Struct, array_like=True):
    """`waiting`: (site, queue id) pairs, for ADD."""

    operation: str
    site: str = ""
    queue_id: str = ""
    waiting: list[tuple[str, str]] = msgspec.field(default_factory=list)


class FlushReply(msgspec.Struct, array_like=True):
    status: str


encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(FlushRequest).decode
decode_reply = msgspec.msgpack.Decoder(FlushReply).decode


class FlushSites:
    """fast_flush_domains: the sites whose waiting mail is kept account of."""

    def __init__(self, sites: MatchList) -> None:
        self._sites = sites

    @classmethod
    def open(cls, conf: Config) -> FlushSites:
        parents = "fast_flush_domains" in conf.parent_domain_matches_subdomains
        return cls(
            MatchList.open(conf.fast_flush_domains, parent_matches_subdomains=parents, name="fast_flush_domains")
        )

    def __bool__(self) -> bool:
        return bool(self._sites)

    async def has(self, site: str) -> bool:
        """Raises TableDown."""
        return await self._sites.matches_domain(site)


@dataclass(frozen=True, slots=True)
class FlushClient:
    """Asks the service. `socket` is its path, relative to the queue directory or not.

    `former_default`: which sites there are follows from what relay_domains was before compatibility_level 2, so whoever
    lives by that is told.
    """

    socket: str
    sites: FlushSites
    timeout: float
    former_default: bool = False

    @classmethod
    def open(cls, conf: Config, directory: str = "") -> FlushClient:
        path = os.path.join(directory, "public", conf.flush_service_name)
        former = uses_legacy_default(conf, "relay_domains") and not conf.is_set("fast_flush_domains")
        return cls(path, FlushSites.open(conf), conf.ipc_timeout, former)

    def hint(self, purpose: str, site: str) -> None:
        """Say which former default has decided that something is done for a site. COMPATIBILITY_README"""
        if self.former_default:
            log.info(
                "using backwards-compatible default setting relay_domains=$mydestination "
                f'to {purpose} for domain "{site}"'
            )

    async def send_site(self, site: str) -> str:
        """Have the mail tried that waits for a site. OK, DENIED, BAD or FAILED; the log says why it failed."""
        try:
            if not await self.sites.has(site):
                return DENIED
        except TableDown as down:
            log.warning(f"fast_flush_domains: {down}")
            return FAILED
        return await self.ask(FlushRequest(SEND_SITE, site.lower()))

    async def send_file(self, queue_id: str) -> str:
        """Have one message tried."""
        return await self.ask(FlushRequest(SEND_FILE, queue_id=queue_id))

    async def ask(self, request: FlushRequest) -> str:
        """One request, one status."""
        verbose.tell(f"connect to {self.socket}, {request.operation} {request.site}{request.queue_id}")
        shown = "/".join(self.socket.split("/")[-2:])  # public/flush, wherever the queue directory is
        try:
            return (await ask_once(self.socket, encode(request), self.timeout, decode_reply)).status
        except TimeoutError as error:
            log.warning(f"{shown}: {error.strerror}")
        except OSError as error:
            log.warning(f"connect to {shown}: {error.strerror}")
        return FAILED


def well_formed(site: str) -> bool:
    """Whether a text may name a site: short, and nothing that could lead out of a folder or into another log line."""
    return (
        0 < len(site) <= LONGEST_SITE
        and site.isprintable()
        and "/" not in site
        and not any(char.isspace() for char in site)
        and site.strip(".") != ""
    )
