"""A small authoritative name server on loopback for tests, in threads of the test's own process.

    zone = {
        "example.com": {"MX": ["10 mx.example.com."], "TXT": ['"v=spf1 -all"']},
        "mx.example.com": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
        "www.example.com": {"CNAME": ["mx.example.com."]},
        "broken.example": "SERVFAIL",           # or REFUSED, NXDOMAIN, FORMERR; TIMEOUT: no answer at all
        "half.example": {"A": "SERVFAIL", "AAAA": ["2001:db8::2"]},
        "big.example": {"TXT": ['"..."'], "flags": "TC"},     # cut over UDP, whole over TCP
    }
    with DnsServer(zone) as server:
        resolver = Resolver(nameservers=[server.address], timeout=0.5, attempts=1)

Names that are not there are NXDOMAIN unless something lies below them; types that are not there are NODATA.
The zone may be changed while the server runs. `asked` is the list of (name, type) that came, in order.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

SOA_NAME = "."
Zone = dict[str, Any]


class DnsServer:
    """`address` (host, port) is where it listens, over UDP and TCP. `ttl` and `negative_ttl` in seconds.

    `delay` holds every answer back by that many seconds.
    """

    def __init__(
        self,
        zone: Zone,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ttl: int = 300,
        negative_ttl: int = 60,
        delay: float = 0.0,
        secure: bool = False,
    ) -> None:
        self.zone = zone
        self.ttl = ttl
        self.negative_ttl = negative_ttl
        self.delay = delay
        self.secure = secure
        self.asked: list[tuple[str, str]] = []
        self.asked_by_tcp: list[tuple[str, str]] = []
        self._udp, self._tcp = _bind(host, port)
        self.address: tuple[str, int] = self._udp.getsockname()[:2]
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._serve_udp, daemon=True),
            threading.Thread(target=self._serve_tcp, daemon=True),
        ]

    def __enter__(self) -> DnsServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping = True
        for sock, kind in ((self._udp, socket.SOCK_DGRAM), (self._tcp, socket.SOCK_STREAM)):
            with contextlib.suppress(OSError), socket.socket(sock.family, kind) as waker:  # ends the blocking call
                waker.connect(self.address)
                waker.send(b"")
        for thread in self._threads:
            thread.join(timeout=5)
        self._udp.close()
        self._tcp.close()

    def _serve_udp(self) -> None:
        while True:
            packet, peer = self._udp.recvfrom(0xFFFF)
            if self._stopping:
                return
            answer = self._answer(packet, tcp=False)
            if answer is None:
                continue
            if self.delay:
                threading.Thread(target=self._later, args=(answer, peer), daemon=True).start()
            else:
                self._udp.sendto(answer, peer)

    def _later(self, answer: bytes, peer: Any) -> None:
        time.sleep(self.delay)
        with contextlib.suppress(OSError):
            self._udp.sendto(answer, peer)

    def _serve_tcp(self) -> None:
        while True:
            connection, _ = self._tcp.accept()
            with connection, contextlib.suppress(OSError, struct.error):
                if self._stopping:
                    return
                connection.settimeout(5)
                (size,) = struct.unpack("!H", connection.recv(2))
                answer = self._answer(connection.recv(size), tcp=True)
                if answer is not None:
                    connection.sendall(struct.pack("!H", len(answer)) + answer)

    def _answer(self, packet: bytes, *, tcp: bool) -> bytes | None:
        try:
            query = dns.message.from_wire(packet)
        except Exception:
            return None
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        rrtype = dns.rdatatype.to_text(question.rdtype)
        (self.asked_by_tcp if tcp else self.asked).append((name, rrtype))
        reply = dns.message.make_response(query, recursion_available=True)
        if self.secure:
            reply.flags |= dns.flags.AD
        node = self._fill(reply, name, rrtype)
        if node == "TIMEOUT":
            return None
        if isinstance(node, dict) and "TC" in node.get("flags", "") and not tcp:
            reply.flags |= dns.flags.TC
            reply.answer.clear()
        return reply.to_wire(max_size=0xFFFF, want_shuffle=False)

    def _fill(self, reply: dns.message.Message, name: str, rrtype: str) -> Any:
        first: Any = None
        for _ in range(16):
            node = self.zone.get(name)
            what = node.get(rrtype) if isinstance(node, dict) else node
            first = node if first is None and isinstance(node, dict) else first
            if isinstance(what, str):
                if what == "TIMEOUT":
                    return "TIMEOUT"
                reply.set_rcode(dns.rcode.from_text(what))
                break
            if what:
                reply.answer.append(dns.rrset.from_text(f"{name}.", self.ttl, "IN", rrtype, *what))
                return first
            alias = node.get("CNAME") if isinstance(node, dict) else None
            if alias:
                reply.answer.append(dns.rrset.from_text(f"{name}.", self.ttl, "IN", "CNAME", *alias))
                name = alias[0].removesuffix(".").lower()
                if node.get("flags") == "ALIAS_ONLY":  # leave the chase to the asker
                    return first
                continue
            if node is None and not any(other.endswith(f".{name}") for other in self.zone):
                reply.set_rcode(dns.rcode.NXDOMAIN)
            break
        soa = f"ns.invalid. root.invalid. 1 3600 600 86400 {self.negative_ttl}"
        if reply.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            reply.authority.append(dns.rrset.from_text(SOA_NAME, self.negative_ttl, "IN", "SOA", soa))
        return first


def _bind(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on one port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(50):
        udp = socket.socket(family, socket.SOCK_DGRAM)
        tcp = socket.socket(family, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            udp.bind((host, port))
            tcp.bind((host, udp.getsockname()[1]))
            tcp.listen(64)
        except OSError:
            udp.close()
            tcp.close()
            if port:
                raise
            continue
        return udp, tcp
    raise OSError("no free port for UDP and TCP")
