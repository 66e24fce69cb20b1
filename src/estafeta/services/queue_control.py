"""postsuper, postqueue and showq talk to qmgr about the messages that it holds.

Over qmgr's own socket `private/qmgr-control`, one request, one or more replies, the last with `last` set. What lies in
deferred/ and hold/ is files, which the commands read themselves; what lies in journals is known to qmgr alone, so
every change to it goes through here. Where no qmgr runs, the commands take its lock and use the spool directly.
"""

from __future__ import annotations

import msgspec

from estafeta.mail.envelope import Envelope
from estafeta.queue.place import Place

SOCKET = "private/qmgr-control"
LOCK = "pid/qmgr-spool.lock"
"""Held (flock) by whoever works the spool: qmgr, or a command while no qmgr runs."""

LIST, DELETE, HOLD, RELEASE = "list", "delete", "hold", "release"
REQUEUE, EXPIRE, FLUSH = "requeue", "expire", "flush"


class Control(msgspec.Struct, array_like=True):
    """What to do with which messages. `queue_ids` empty: all in `queues`."""

    operation: str
    queue_ids: list[str] = msgspec.field(default_factory=list)
    queues: list[str] = msgspec.field(default_factory=list)
    site: str = ""
    """FLUSH: only mail for this destination."""


class Listed(msgspec.Struct, array_like=True):
    """One message: `queue` is incoming, active, deferred or hold."""

    queue: str
    place: Place
    envelope: Envelope


class ControlReply(msgspec.Struct, array_like=True):
    last: bool
    count: int = 0
    messages: list[Listed] = msgspec.field(default_factory=list)
    unknown: list[str] = msgspec.field(default_factory=list)
    """Queue ids that nobody knows."""
    reason: str = ""
    """Why it could not be done; empty if it was."""
