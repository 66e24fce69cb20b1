"""The PROXY protocol of HAProxy: a first line, or a first block of bytes, in which a proxy says whom it speaks for.

Version 1 is a line, `PROXY TCP4 192.0.2.7 192.0.2.99 4711 25`; version 2 is binary. Only TCP over IPv4 or IPv6 makes
sense here; version 2's LOCAL says that the proxy speaks for itself (a health check).
https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from estafeta.mail.address import valid_ipv4, valid_ipv6

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LEAD = len(SIGNATURE) + 4
LONGEST = 536
"""Bytes of a header, as Postfix has it: a line has up to 107, a block its addresses and a few additions."""

_PROXY, _LOCAL = 1, 0
_TCP4, _TCP6 = 0x11, 0x21
_SIZES = {_TCP4: 4, _TCP6: 16}
_FAMILIES = {"TCP4": valid_ipv4, "TCP6": valid_ipv6}
HIGHEST_PORT = 65535


class ProxyError(ValueError):
    """What is wrong with the header; it is for the log."""


@dataclass(slots=True, frozen=True)
class Header:
    """What the proxy said. `length`: bytes that belong to it. Empty texts if it speaks for itself."""

    length: int
    client: str = ""
    client_port: str = ""
    server: str = ""
    server_port: str = ""


def parse_header(held: bytes, *, ipv6: bool = True) -> Header | None:
    """The header at the beginning of what has arrived; None if more is needed. Raises ProxyError.

    `ipv6`: whether such addresses are any use here (inet_protocols).
    """
    if held.startswith((SIGNATURE, SIGNATURE[: len(held)])):
        return _block(held, ipv6) if len(held) >= LEAD else None
    end = held.find(b"\n", 0, LONGEST)
    if end < 0:
        if len(held) >= LONGEST:
            raise ProxyError("missing protocol header terminator")
        return None
    if end + 1 < len(SIGNATURE):
        raise ProxyError("short protocol header")
    return _line(held[: end + 1], ipv6)


def _line(line: bytes, ipv6: bool) -> Header:
    words = line.decode("ascii", "replace").split()
    words += [""] * (6 - len(words))
    if words[0] != "PROXY":
        raise ProxyError("unrecognized protocol header")
    valid = _FAMILIES.get(words[1])
    if valid is None or (valid is valid_ipv6 and not ipv6):
        raise ProxyError("bad or missing protocol type")
    for place, what in ((2, "client"), (3, "server")):
        if not valid(words[place]):
            raise ProxyError(f"bad or missing {what} address")
    for place, what in ((4, "client"), (5, "server")):
        port = words[place]
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= HIGHEST_PORT):
            raise ProxyError(f"bad or missing {what} port")
    return Header(len(line), _plain(words[2]), words[4], _plain(words[3]), words[5])


def _block(held: bytes, ipv6: bool) -> Header | None:
    version, command, kind = held[12] >> 4, held[12] & 15, held[13]
    size = int.from_bytes(held[14:16], "big")
    if version != 2:
        raise ProxyError("unrecognized protocol version")
    if LEAD + size > LONGEST:
        raise ProxyError("too long version 2 protocol header")
    if len(held) < LEAD + size:
        return None
    if command == _LOCAL:
        return Header(LEAD + size)
    if command != _PROXY:
        raise ProxyError("bad command in proxy header")
    width = _SIZES.get(kind)
    if width is None or (kind == _TCP6 and not ipv6):
        raise ProxyError("unsupported network protocol")
    if size < 2 * width + 4:
        raise ProxyError("short address field")
    at = LEAD + 2 * width
    return Header(
        LEAD + size,
        _plain(ipaddress.ip_address(held[LEAD : LEAD + width])),
        str(int.from_bytes(held[at : at + 2], "big")),
        _plain(ipaddress.ip_address(held[LEAD + width : at])),
        str(int.from_bytes(held[at + 2 : at + 4], "big")),
    )


def _plain(address: str | ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Short form; an IPv4 address that is written as IPv6 becomes IPv4."""
    found = ipaddress.ip_address(address)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
