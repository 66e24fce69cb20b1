"""postsuper, postqueue and showq talk to qmgr about the messages that it holds.

Over qmgr's own socket `private/qmgr-control`, one request, one or more replies, the last with `last` set. What lies in
deferred/ and hold/ is files, which the commands read themselves; what lies in journals is known to qmgr alone, so
every change to it goes through here. Where no qmgr runs, the commands take its lock and use the spool directly.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from estafeta.base import verbose
from estafeta.mail.envelope import Envelope
from estafeta.net.asker import ask_once
from estafeta.net.frames import LARGEST_FRAME
from estafeta.queue.place import Place

SOCKET = "private/qmgr-control"
LOCK = "active/spool.lock"
"""Held (flock) by whoever works the spool: qmgr, or a command while no qmgr runs."""

LIST, DELETE, HOLD, RELEASE = "list", "delete", "hold", "release"
REQUEUE, EXPIRE, FLUSH = "requeue", "expire", "flush"


class Control(msgspec.Struct, array_like=True):
    """What to do with which messages. `queue_ids` empty: all in `queues`."""

    operation: str
    queue_ids: list[str] = msgspec.field(default_factory=list)
    queues: list[str] = msgspec.field(default_factory=list)


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
    queue_ids: list[str] = msgspec.field(default_factory=list)
    """What it was done to."""


encode = msgspec.msgpack.Encoder().encode
decode_control = msgspec.msgpack.Decoder(Control).decode
decode_reply = msgspec.msgpack.Decoder(ControlReply).decode


def ask(control: Control, *, directory: str = ".", timeout: float = 600.0) -> Iterator[ControlReply]:
    """Ask qmgr, and yield its replies. Blocks: for commands. Raises OSError when qmgr is away or goes away."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(timeout)
        verbose.tell(f"connect to {os.path.join(directory, SOCKET)}, {control.operation}")
        peer.connect(os.path.join(directory, SOCKET))
        payload = encode(control)
        peer.sendall(len(payload).to_bytes(4, "big") + payload)
        with peer.makefile("rb") as stream:
            while True:
                length = int.from_bytes(_exactly(stream, 4), "big")
                if length > LARGEST_FRAME:
                    raise ConnectionError("malformed reply from qmgr")
                reply = decode_reply(_exactly(stream, length))
                yield reply
                if reply.last:
                    return


async def ask_async(control: Control, *, path: str = SOCKET, timeout: float = 600.0) -> ControlReply:
    """Ask qmgr for something that has one reply, in a process with an event loop. Raises OSError."""
    return await ask_once(path, encode(control), timeout, decode_reply)


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise ConnectionError("qmgr closed the connection")
    return data
