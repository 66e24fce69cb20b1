"""Carry one DNS question to the name servers and bring the answer back (RFC 1035 4.2, RFC 7766).

Every question has a socket of its own, connected to its server: the system then picks a fresh random port and
drops packets from elsewhere, so that a forger must guess port and number (RFC 5452 9). A truncated answer is
asked for again over TCP.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections.abc import Sequence

import dns.rcode

from estafeta.net import dns_message
from estafeta.net.dns_message import Malformed, Reply
from estafeta.net.resolv_conf import Settings

Server = tuple[str, int]

SETTLED = (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
NOT_EDNS = (dns.rcode.FORMERR, dns.rcode.NOTIMP)


class Unanswered(Exception):
    """No server gave an answer that settles the question; the text says what the last one did."""


async def ask(name: str, rrtype: str, servers: Sequence[Server], settings: Settings) -> Reply:
    """Ask the servers in order, as often as the settings say. Raises Unanswered."""
    last = "no name server is set: write one into /etc/resolv.conf"
    for attempt in range(settings.attempts):
        # As the C library: each round waits twice as long, shared out among the servers.
        timeout = (
            settings.timeout
            if attempt == 0
            else max(min(1.0, settings.timeout), settings.timeout * 2**attempt / len(servers))
        )
        for server in servers:
            try:
                async with asyncio.timeout(timeout):
                    reply = await _ask_one(name, rrtype, server, settings)
            except TimeoutError:
                last = f"no answer from {server[0]}"
            except (OSError, EOFError) as error:  # IncompleteReadError is an EOFError
                last = f"{server[0]}: {error}"
            except Malformed as error:
                last = f"malformed answer from {server[0]}: {error}"
            else:
                if reply.rcode in SETTLED:
                    return reply
                last = f"{dns.rcode.to_text(dns.rcode.Rcode(reply.rcode))} from {server[0]}"
    raise Unanswered(last)


async def _ask_one(name: str, rrtype: str, server: Server, settings: Settings) -> Reply:
    reply = await _exchange(name, rrtype, server, edns=settings.edns, tcp=settings.use_tcp)
    if settings.edns and reply.rcode in NOT_EDNS:
        reply = await _exchange(name, rrtype, server, edns=False, tcp=settings.use_tcp)
    return reply


async def _exchange(name: str, rrtype: str, server: Server, *, edns: bool, tcp: bool) -> Reply:
    query = dns_message.question(secrets.randbelow(0x10000), name, rrtype, edns=edns)
    if not tcp:
        packet = await _by_udp(query, server)
        reply = dns_message.plain(packet, query, name, rrtype) or dns_message.read(packet, name, rrtype)
        if not reply.truncated:
            return reply
    reply = dns_message.read(await _by_tcp(query, server), name, rrtype)
    if reply.truncated:
        raise Malformed("truncated over TCP")
    return reply


async def _by_udp(query: bytes, server: Server) -> bytes:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(server)
        sock.send(query)
        while True:
            packet = await loop.sock_recv(sock, 0xFFFF)
            if dns_message.is_for(packet, query):
                return packet


async def _by_tcp(query: bytes, server: Server) -> bytes:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, server)
        await loop.sock_sendall(sock, struct.pack("!H", len(query)) + query)
        (size,) = struct.unpack("!H", await _exactly(loop, sock, 2))
        packet = await _exactly(loop, sock, size)
    if not dns_message.is_for(packet, query):
        raise Malformed("answer to another question")
    return packet


async def _exactly(loop: asyncio.AbstractEventLoop, sock: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = await loop.sock_recv(sock, size)
        if not part:
            raise EOFError("connection closed in the middle of an answer")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
