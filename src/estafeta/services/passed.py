"""A connection handed from one process to another: postscreen(8) to the `pass` service of smtpd.

The open descriptor travels over the service's local socket. Beside it goes who the client is, where the connection
itself does not tell (a proxy stands between): then smtpd serves the client that the proxy named.
"""

from __future__ import annotations

import socket

import msgspec

LONGEST = 1024
NOBODY = b"\0"
"""What is sent where the connection itself tells: the system passes no descriptor without a byte."""


class Origin(msgspec.Struct, array_like=True, frozen=True):
    """Addresses without brackets, ports in decimal."""

    client: str
    client_port: str
    server: str = ""
    server_port: str = ""


_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Origin)


def send(link: socket.socket, descriptor: int, origin: Origin | None) -> None:
    """Over a connected local socket. Raises OSError."""
    socket.send_fds(link, [NOBODY if origin is None else _encoder.encode(origin)], [descriptor])


def decode(payload: bytes) -> Origin | None:
    """Raises msgspec.MsgspecError for what no postscreen of this release sends."""
    return None if not payload or payload == NOBODY else _decoder.decode(payload)
