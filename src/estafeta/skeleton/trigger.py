"""Wake a service: a few bytes on its socket, whatever kind master.cf gives it. Nobody answers; nobody need be there."""

from __future__ import annotations

import os
import socket
import stat

from estafeta.base import verbose

TIMEOUT = 5.0
"""Seconds to wait for a service that is too busy to accept."""


def trigger(path: str, request: bytes) -> bool:
    """Send `request` to a unix-domain socket or fifo. False: nobody took it; the service finds its work later."""
    verbose.tell(f"connect to {path}, send {request!r}")
    try:
        if stat.S_ISFIFO(os.stat(path).st_mode):
            return _through_fifo(path, request)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(TIMEOUT)
            client.connect(path)
            client.sendall(request)
    except OSError:
        return False
    return True


def _through_fifo(path: str, request: bytes) -> bool:
    # Without a reader, opening fails at once instead of waiting.
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    try:
        return os.write(fd, request) == len(request)
    finally:
        os.close(fd)
