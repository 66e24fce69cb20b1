"""postscreen in front of smtpd: who is kept out, who comes through, and what a reload does to those who wait."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.certificates import make_certificates
from tests.support.site import MESSAGE, Site

SERVICES = [
    "smtpd pass - - n - - smtpd",
    "dnsblog unix - - n - 0 dnsblog",
    "tlsproxy unix - - n - 0 tlsproxy",
]
SCREEN = "127.0.0.1:{port} inet n - n - 1 postscreen"
MAIN = {
    "postscreen_access_list": "",
    "postscreen_greet_wait": "1s",
    "postscreen_greet_action": "enforce",
    "mynetworks": "127.0.0.77",
}


class Talk:
    """A client at an address of its own."""

    def __init__(self, port: int, source: str = "127.0.0.2", *, early: bytes = b"") -> None:
        self.link = socket.create_connection(("127.0.0.1", port), 20, (source, 0))
        if early:
            self.link.sendall(early)
        self.file = self.link.makefile("rb")

    def reply(self) -> str:
        lines = []
        while True:
            line = self.file.readline().decode()
            lines.append(line)
            if line[3:4] != "-":
                return "".join(lines)

    def say(self, line: str) -> str:
        self.link.sendall(line.encode() + b"\r\n")
        return self.reply()

    def deliver(self) -> str:
        """One message; the last reply."""
        for line in ("EHLO client.example", "MAIL FROM:<bob@example.com>", "RCPT TO:<ann@example.test>", "DATA"):
            answer = self.say(line)
            if answer[0] not in "23":
                return answer
        return self.say(f"{MESSAGE}.")

    def close(self) -> None:
        self.file.close()
        self.link.close()


@contextmanager
def site(tmp_path: Path, **main: str) -> Iterator[Site]:
    with Site(tmp_path, main=MAIN | main, services=[SCREEN, *SERVICES]) as running:
        yield running


def test_a_zombie_is_refused_and_a_good_client_comes_through(tmp_path: Path) -> None:
    with site(tmp_path) as running:
        zombie = Talk(running.port, early=b"EHLO zombie.example\r\n")
        assert zombie.reply().startswith("220-mail.example.test")
        assert zombie.say("MAIL FROM:<x@y.example>").startswith("250 ")
        assert zombie.say("RCPT TO:<ann@example.test>") == "550 5.5.1 Protocol error\r\n"
        zombie.close()
        running.wait_for(r"PREGREET 21 after \S+ from \[127.0.0.2\]:\d+: EHLO zombie.example\\r\\n")
        running.wait_for(
            r"NOQUEUE: reject: RCPT from \[127.0.0.2\]:\d+: 550 5.5.1 Protocol error; "
            r"from=<x@y.example>, to=<ann@example.test>, proto=ESMTP, helo=<zombie.example>"
        )

        good = Talk(running.port, "127.0.0.3")
        assert good.reply().splitlines()[-1].startswith("220 ")
        assert "queued as" in good.deliver()
        good.close()
        running.wait_for(r"PASS NEW \[127.0.0.3\]")
        assert len(running.wait_for_mail("ann@example.test")) == 1

        again = Talk(running.port, "127.0.0.3")
        assert again.reply() == "220 mail.example.test ESMTP Estafeta\r\n"  # no teaser: nothing to wait for
        again.close()
        running.wait_for(r"PASS OLD \[127.0.0.3\]")
        assert len(running.pids("postscreen")) == 1


def test_who_waits_stays_when_the_configuration_is_read_anew(tmp_path: Path) -> None:
    with site(tmp_path, postscreen_greet_wait="2s") as running:
        first = Talk(running.port, "127.0.0.4")
        first.link.recv(4, socket.MSG_PEEK)  # the teaser: it is in the lobby
        running.write_main(MAIN | {"postscreen_greet_wait": "1s", "smtpd_banner": "$myhostname anew"})
        running.reload()
        second = Talk(running.port, "127.0.0.5")
        assert second.reply().endswith("220 mail.example.test anew\r\n")
        assert first.reply().startswith("220-mail.example.test ESMTP")
        assert "queued as" in first.deliver()
        first.close()
        second.close()
        running.wait_for_mail("ann@example.test")
        running.wait_for(r"PASS NEW \[127.0.0.4\]")


def test_what_was_passed_is_remembered_by_the_next_process(tmp_path: Path) -> None:
    with site(tmp_path) as running:
        first = Talk(running.port, "127.0.0.6")
        assert first.reply().splitlines()[-1].startswith("220 ")
        first.close()
        running.wait_for(r"PASS NEW \[127.0.0.6\]")
        running.stop()
        running.start()
        second = Talk(running.port, "127.0.0.6")
        assert second.reply().startswith("220 ")
        second.close()
        running.wait_for(r"PASS OLD \[127.0.0.6\]")


def test_the_client_behind_a_proxy_is_the_one_that_smtpd_sees(tmp_path: Path) -> None:
    with site(tmp_path, postscreen_upstream_proxy_protocol="haproxy", postscreen_greet_banner="") as running:
        client = Talk(running.port, early=b"PROXY TCP4 192.0.2.7 192.0.2.99 4711 25\r\n")
        assert client.reply().startswith("220 ")
        assert "queued as" in client.deliver()
        client.close()
        running.wait_for(r"postscreen\[\d+\]: CONNECT from \[192.0.2.7\]:4711 to \[192.0.2.99\]:25")
        running.wait_for(r"smtpd\[\d+\]: connect from unknown\[192.0.2.7\]")
        assert b"unknown [192.0.2.7]" in running.wait_for_mail("ann@example.test")[0]


def test_smtpd_that_is_not_there_is_try_again_later(tmp_path: Path) -> None:
    with site(tmp_path, postscreen_greet_banner="", smtpd_service_name="nobody") as running:
        client = Talk(running.port)
        assert client.reply() == "421 4.3.2 All server ports are busy\r\n"
        client.close()
        running.wait_for(r"warning: cannot connect to service private/nobody: No such file or directory")


def test_clients_have_a_limited_number_of_connections(tmp_path: Path) -> None:
    with site(tmp_path, postscreen_client_connection_count_limit="2", postscreen_pre_queue_limit="10") as running:
        held = [Talk(running.port) for _ in range(2)]
        third = Talk(running.port)
        assert third.reply() == "421 4.7.0 Error: too many connections\r\n"
        others = [Talk(running.port, f"127.0.0.{number}") for number in range(10, 18)]
        assert others[-1].reply() == "421 4.3.2 All screening ports are busy\r\n"
        assert held[0].reply().splitlines()[-1].startswith("220 ")
        for talk in (*held, third, *others):
            talk.close()
        running.wait_for(r"NOQUEUE: reject: CONNECT from \[127.0.0.2\]:\d+: too many connections")
        running.wait_for(r"entering STRESS mode with 9 connections")
        running.wait_for(r"reject: connect from \[127.0.0.17\]:\d+: all screening ports busy")
        running.wait_for(r"leaving STRESS mode with 7 connections")


def test_its_own_session_speaks_tls(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    chain = Path(f"/tmp/{tmp_path.name}-{tmp_path.parent.name}.pem")
    chain.write_bytes((tmp_path / "chain.pem").read_bytes())
    main = {
        "postscreen_tls_security_level": "may",
        "postscreen_tls_chain_files": str(chain),
        "postscreen_tls_loglevel": "1",
        "postscreen_greet_banner": "",
        "postscreen_access_list": "static:reject",
        "postscreen_denylist_action": "enforce",
    }
    try:
        with site(tmp_path, **main) as running:
            client = Talk(running.port)
            assert client.reply().startswith("220 ")
            assert "250-STARTTLS\r\n" in client.say("EHLO client.example")
            assert client.say("STARTTLS") == "220 2.0.0 Ready to start TLS\r\n"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client.file.close()
            client.link = context.wrap_socket(client.link)
            client.file = client.link.makefile("rb")
            assert "STARTTLS" not in client.say("EHLO client.example")
            assert client.say("STARTTLS") == "554 5.5.1 Error: TLS already active\r\n"
            assert client.say("MAIL FROM:<x@y.example>").startswith("250 ")
            assert client.say("RCPT TO:<ann@example.test>") == "550 5.3.2 Service currently unavailable\r\n"
            client.close()
            running.wait_for(r"Anonymous TLS connection established from \[127.0.0.2\]:\d+: TLSv1.3 with cipher")
            running.wait_for(r"NOQUEUE: reject: RCPT from \[127.0.0.2\]:\d+: 550 5.3.2")
    finally:
        chain.unlink()
