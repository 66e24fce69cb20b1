"""postlogd(8): appends to maillog_file what commands send to the postlog service.

Service processes write to the log file themselves, through the descriptor that master opened. Commands cannot: they
run as anybody. They send each line, complete with time and host, as one datagram to `public/postlog`, which only the
superuser and set-gid commands can reach.
"""

from __future__ import annotations

from typing import ClassVar

from estafeta.base import log
from estafeta.skeleton.log import printable
from estafeta.skeleton.log_targets import Descriptor, open_maillog
from estafeta.skeleton.service import Context, Service

LONGEST = 32 * 1024
"""Bytes of one record; the rest is cut."""


class PostlogdService(Service):
    """One process; packets in, lines out."""

    style: ClassVar[str] = "datagram"
    _file: Descriptor | None = None

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.watchdog_timeout = self.conf.postlogd_watchdog_timeout

    async def open(self) -> None:
        if self.conf.maillog_file:
            self._file = Descriptor(open_maillog(self.conf))

    def datagram(self, packet: bytes) -> None:
        text = packet[:LONGEST].decode(errors="surrogateescape").rstrip("\r\n")
        if not text:
            return
        if self._file is None:
            log.warning("a command logged to the postlog service, but maillog_file is empty: run 'postfix reload'")
            log.info(printable(text))
            return
        self._file.write_raw((printable(text) + "\n").encode(errors="surrogateescape"))
