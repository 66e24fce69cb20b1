"""Wake a service with single bytes: qmgr (`A`, `D`, `F`, `I`, `W`), pickup and flush (`W`). There is no answer.

The socket is whatever master.cf says: local stream or FIFO.
"""

from __future__ import annotations

import os
import socket
import stat

from estafeta.base import verbose

QMGR_FLUSH = b"FAD"
"""What `postqueue -f` and `sendmail -q` ask of qmgr: forget what is dead, ignore times, look at deferred/."""


def trigger(path: str, requests: bytes, timeout: float) -> None:
    """Send requests to the service at `path`. Blocks. Raises OSError when nobody listens."""
    verbose.tell(f"connect to {path}, send {requests!r}")
    if stat.S_ISFIFO(os.stat(path).st_mode):
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(fd, requests)
        finally:
            os.close(fd)
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(timeout)
        peer.connect(path)
        peer.sendall(requests)
        peer.shutdown(socket.SHUT_WR)
        peer.recv(1)  # until it has been read: closing earlier could lose it
