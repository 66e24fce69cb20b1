"""Mail over QMQP: real intake, and qmqpd(8)'s answers, which are those of Postfix's."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.support.site import Site

from estafeta.wire.netstring import pack

SERVICES = "127.0.0.1:{qmqp} inet n - n - - qmqpd"
LETTER = b"Subject: over QMQP\n\nbody\n.\nlast"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def packet(content: bytes, sender: bytes, *recipients: bytes) -> bytes:
    return pack(b"".join(map(pack, (content, sender, *recipients))))


def ask(port: int, data: bytes, *, hang_up: bool = False, source: str = "127.0.0.1") -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10, (source, 0)) as link:
        link.sendall(data)
        if hang_up:
            link.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := link.recv(4096):
            answer += piece
        return answer


@pytest.mark.timeout(60)
def test_mail_over_qmqp(tmp_path: Path) -> None:
    port = free_port()
    main = {
        "qmqpd_authorized_clients": "127.0.0.1",
        "qmqpd_error_delay": "0s",
        "qmqpd_client_port_logging": "yes",
        "message_size_limit": "3000000",
    }
    with Site(tmp_path, main, services=[SERVICES.replace("{qmqp}", str(port))]) as site:
        assert b":KOk: queued as " in ask(port, packet(LETTER, b"a@b.test", b"ann@example.test"))
        (mail,) = site.wait_for_mail("ann@example.test")
        assert b"with QMQP id " in mail and b"for <ann@example.test>;" in mail
        assert mail.endswith(b"\nbody\n.\nlast\n")
        site.wait_for(r"qmqpd\[\d+\]: connect from [\w.]+\[127.0.0.1\]:\d+")

        large = b"Subject: large\n\n" + b"0123456789abcdef\n" * 100_000
        assert b"KOk" in ask(port, packet(large, b"", b"big@example.test", b"bob@example.test"))
        (mail,) = site.wait_for_mail("big@example.test")
        assert mail.count(b"0123456789abcdef\n") == 100_000 and b"with QMQP\n\tid " in mail

        assert b"KOk" in ask(port, packet(LETTER, b"list-@example.test-@[]", b"verp@example.test"))
        site.wait_for(r"from=<list@example.test>")

        refusals = {
            packet(LETTER, b"a@b.test"): b"DError: no recipients specified",
            b"3000100:3000001:": b"Dnetstring length exceeds storage limit while receiving message content",
            packet(LETTER, b"listx@b.test-@[]", b"x@example.test"): (
                b'DError: Invalid VERP delimiters: "x=". Need two characters from "-=+"'
            ),
            packet(LETTER, b"a\xff@b.test", b"x@example.test"): b"DError: address is not valid UTF-8",
            b"GET / HTTP/1.0\r\n": b"Dnetstring format error while receiving QMQP packet header",
            b"5:abcde,": b"Dnetstring format error while receiving message content",
            pack(pack(LETTER)): b"Dnetstring format error while receiving sender address",
            pack(pack(LETTER) + pack(b"a@b") + b"abc"): (b"Dnetstring format error while receiving recipient address"),
        }
        for data, text in refusals.items():
            assert ask(port, data) == pack(text)
        assert ask(port, b"1000:5:abc", hang_up=True) == b""
        site.wait_for(r"lost connection while receiving message content")
        stranger = ask(port, packet(LETTER, b"a@b.test", b"x@example.test"), source="127.0.0.2")
        assert b"is not authorized to use this service," in stranger
        assert site.mail("x@example.test") == []
