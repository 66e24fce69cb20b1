"""The PROXY header: both versions, cut at every place, and what Postfix calls what is wrong with one."""

from __future__ import annotations

import socket
import struct

import pytest

from estafeta.wire.haproxy import LONGEST, SIGNATURE, Header, ProxyError, parse_header


def block(command: int = 0x21, kind: int = 0x11, body: bytes | None = None) -> bytes:
    if body is None:
        body = V4
    return SIGNATURE + bytes([command, kind]) + struct.pack("!H", len(body)) + body


PORTS = struct.pack("!HH", 4711, 25)
V4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.99") + PORTS
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "2001:db8::99") + PORTS
MAPPED = (
    socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.7")
    + socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.99")
    + PORTS
)
LINE = b"PROXY TCP4 192.0.2.7 192.0.2.99 4711 25\r\n"

GOOD = [
    (LINE, ("192.0.2.7", "192.0.2.99")),
    (LINE.replace(b"\r", b""), ("192.0.2.7", "192.0.2.99")),
    (LINE.replace(b"\r", b" more\r"), ("192.0.2.7", "192.0.2.99")),
    (b"PROXY TCP6 2001:db8::7 2001:db8::99 4711 25\r\n", ("2001:db8::7", "2001:db8::99")),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.99 4711 25\r\n", ("192.0.2.7", "192.0.2.99")),
    (block(), ("192.0.2.7", "192.0.2.99")),
    (block(kind=0x21, body=V6), ("2001:db8::7", "2001:db8::99")),
    (block(kind=0x21, body=MAPPED), ("192.0.2.7", "192.0.2.99")),
    (block(body=V4 + b"\x03\x00\x04abcd"), ("192.0.2.7", "192.0.2.99")),
]


@pytest.mark.parametrize(("header", "addresses"), GOOD)
def test_addresses(header: bytes, addresses: tuple[str, str]) -> None:
    found = parse_header(header + b"EHLO x\r\n")
    assert found == Header(len(header), addresses[0], "4711", addresses[1], "25")


@pytest.mark.parametrize("header", [header for header, _ in GOOD])
def test_cut_at_every_place(header: bytes) -> None:
    for end in range(len(header)):
        assert parse_header(header[:end]) is None
    assert parse_header(header) is not None


@pytest.mark.parametrize("header", [block(0x20, 0, b""), block(0x20)])
def test_proxy_speaks_for_itself(header: bytes) -> None:
    assert parse_header(header) == Header(len(header))


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"PROXY UNKNOWN\r\n", "bad or missing protocol type"),
        (b"PROXY TCP5 192.0.2.7 192.0.2.99 4711 25\r\n", "bad or missing protocol type"),
        (b"PROXY TCP4 192.0.2.777 192.0.2.99 4711 25\r\n", "bad or missing client address"),
        (b"PROXY TCP4 2001:db8::7 2001:db8::99 4711 25\r\n", "bad or missing client address"),
        (b"PROXY TCP4 192.0.2.7 x 4711 25\r\n", "bad or missing server address"),
        (b"PROXY TCP4 192.0.2.7\r\n", "bad or missing server address"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.99 471111 25\r\n", "bad or missing client port"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.99 4711 x\r\n", "bad or missing server port"),
        (b"EHLO x\r\n", "short protocol header"),
        (b"EHLO client.example\r\n", "unrecognized protocol header"),
        (b"PROXY TCP4 " + b"x" * LONGEST, "missing protocol header terminator"),
        (block(kind=0x31, body=bytes(216)), "unsupported network protocol"),
        (block(kind=0x12), "unsupported network protocol"),
        (block(body=b"\x01\x02"), "short address field"),
        (block(0x22), "bad command in proxy header"),
        (block(0x31), "unrecognized protocol version"),
        (block(body=bytes(3000))[:16], "too long version 2 protocol header"),
    ],
)
def test_refused(header: bytes, problem: str) -> None:
    with pytest.raises(ProxyError, match=problem):
        parse_header(header)
