"""Passing a client on to smtpd, with its open connection.

smtpd takes the descriptor from its private socket and closes the link; until then the client waits for smtpd, and
counts for postscreen_post_queue_limit. After that it costs nothing here.
"""

from __future__ import annotations

import asyncio
import socket

from estafeta.base import log
from estafeta.services import passed
from estafeta.services.passed import Origin

from .lobby import Line, Watch

PATIENCE = 100.0
"""Seconds that smtpd may take to accept."""


class Handover:
    """The way to smtpd. `waiting` clients are on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, service: str) -> None:
        """`service` is smtpd_service_name."""
        self.service = f"private/{service}"
        self._taken: Watch[socket.socket] = Watch(loop, self._ended)
        self._overdue: Line[socket.socket] = Line(loop, PATIENCE, self._late)

    @property
    def waiting(self) -> int:
        return len(self._taken)

    def give(self, client: socket.socket, origin: Origin | None) -> bool:
        """Hand the connection over. False, and logged: smtpd cannot be reached."""
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.setblocking(False)
        try:
            link.connect(self.service)
        except OSError as error:
            log.warning(f"cannot connect to service {self.service}: {error.strerror}")
            link.close()
            return False
        try:
            passed.send(link, client.fileno(), origin)
        except OSError as error:
            log.warning(f"cannot pass connection to service {self.service}: {error.strerror}")
            link.close()
            return False
        self._taken.add(link.fileno(), link)
        self._overdue.add(link)
        return True

    def close(self) -> None:
        for link in self._taken.all():
            link.close()
        self._taken.close()
        self._overdue.close()

    def _ended(self, link: socket.socket) -> None:
        link.close()
        # They are taken about in order. A storm of clients would else leave the sockets of PATIENCE seconds here.
        self._overdue.forget_first(_is_closed)

    def _late(self, link: socket.socket) -> None:
        if link.fileno() >= 0:
            log.warning(f"timeout sending connection to service {self.service}")
            self._taken.remove(link.fileno())
            link.close()


def _is_closed(link: socket.socket) -> bool:
    return link.fileno() < 0
