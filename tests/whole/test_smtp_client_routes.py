"""The SMTP client finds its servers by DNS, and takes its work from qmgr's socket."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest
from tests.support.dns_server import DnsServer
from tests.support.smtp_client import Client
from tests.support.smtp_sink import SmtpSink, unused_port

from estafeta.base.networks import number_of
from estafeta.daemons.smtp.mx import Directory
from estafeta.daemons.smtp.service import directory_settings
from estafeta.mail.outcome import Bounced, Sent
from estafeta.net import frames
from estafeta.net.dns import Resolver
from estafeta.services.delivery import FromAgent, Ready, Report, decode_from_agent, encode

ZONE = {
    "b.example": {"MX": ["10 one.b.example.", "20 two.b.example."]},
    "one.b.example": {"A": ["127.0.0.2"]},
    "two.b.example": {"A": ["127.0.0.3"]},
    "self.example": {"A": ["127.0.0.9"]},
    "null.example": {"MX": ["0 ."]},
    "plain.example": {"A": ["127.0.0.3"]},
}


def use(client: Client, server: DnsServer, own: str = "192.0.2.1") -> None:
    """Let the client ask this name server."""
    number = number_of(own)
    assert number is not None
    resolver = Resolver(nameservers=[server.address], timeout=1, attempts=1)
    settings = directory_settings(client.service.conf, client.service.client_conf, frozenset({number}))
    client.service.office.directory = Directory(resolver, settings, random.Random(1))


def test_second_exchanger_takes_what_the_first_does_not(tmp_path: Path) -> None:
    async def run() -> None:
        port = unused_port()
        with DnsServer(ZONE) as server:
            async with asyncio.timeout(20), SmtpSink() as sink, Client(tmp_path) as client:
                use(client, server)
                await sink.close()
                await sink.listen("127.0.0.3", port)
                for domain, host in (("b.example", "two.b.example"), ("plain.example", "plain.example")):
                    answer = await client.deliver(f"{domain}:{port}", f"a@{domain}")
                    assert isinstance(answer.outcomes[0], Sent)
                    assert f"relay={host}[127.0.0.3]:{port}, delay=" in client.lines[-1]
                assert client.lines[0] == f"connect to one.b.example[127.0.0.2]:{port}: Connection refused"

    asyncio.run(run())


@pytest.mark.parametrize(("refusal", "second"), [({"CONNECT": "421 busy"}, True), ({"MAIL": "450 no"}, False)])
def test_only_servers_that_hear_of_the_mail_count_for_the_session_limit(
    tmp_path: Path, refusal: dict[str, str], second: bool
) -> None:
    async def run() -> None:
        with DnsServer(ZONE) as server:
            first = await SmtpSink(refusal).listen("127.0.0.2")
            async with asyncio.timeout(20), first, Client(tmp_path, smtp_mx_session_limit="1") as client:
                use(client, server)
                other = await SmtpSink().listen("127.0.0.3", first.port)
                async with other:
                    answer = await client.deliver(f"b.example:{first.port}", "a@b.example")
                assert isinstance(answer.outcomes[0], Sent) == second
                assert len(other.talks) == second

    asyncio.run(run())


def test_hosts_and_ports_from_srv_records(tmp_path: Path) -> None:
    async def run() -> None:
        sink = await SmtpSink().listen("127.0.0.3")
        zone = ZONE | {"_submission._tcp.b.example": {"SRV": [f"10 0 {sink.port} two.b.example."]}}
        with DnsServer(zone) as server:
            async with asyncio.timeout(20), sink, Client(tmp_path, use_srv_lookup="submission") as client:
                use(client, server)
                answer = await client.deliver("b.example:submission", "a@b.example")
                assert isinstance(answer.outcomes[0], Sent)
                assert f"relay=two.b.example[127.0.0.3]:{sink.port}, " in client.lines[-1]

    asyncio.run(run())


def test_null_mx(tmp_path: Path) -> None:
    async def run() -> None:
        with DnsServer(ZONE) as server:
            async with asyncio.timeout(20), Client(tmp_path) as client:
                use(client, server)
                answer = await client.deliver("null.example", "a@null.example")
                assert isinstance(answer.outcomes[0], Bounced)
                assert answer.dead is None
                assert client.lines[0].endswith(
                    "dsn=5.1.0, status=bounced (Domain null.example does not accept mail (nullMX))"
                )

    asyncio.run(run())


@pytest.mark.parametrize(("domain", "kind"), [("self.example", Bounced), ("null.example", Sent), ("no.example", Sent)])
def test_fallback_relay_takes_what_has_no_server_but_not_what_loops(tmp_path: Path, domain: str, kind: type) -> None:
    async def run() -> None:
        with DnsServer(ZONE) as server:
            async with (
                asyncio.timeout(20),
                SmtpSink() as sink,
                Client(tmp_path, smtp_fallback_relay=f"[127.0.0.1]:{sink.port}") as client,
            ):
                use(client, server, own="127.0.0.9")
                answer = await client.deliver(domain, f"a@{domain}")
                assert isinstance(answer.outcomes[0], kind)
                assert len(sink.messages) == (kind is Sent)

    asyncio.run(run())


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on loopback")
def test_ipv6(tmp_path: Path) -> None:
    async def run() -> None:
        async with asyncio.timeout(20), Client(tmp_path, inet_protocols="all") as client:
            sink = await SmtpSink().listen("::1")
            async with sink:
                answer = await client.deliver(f"[::1]:{sink.port}", "a@b.example")
                assert isinstance(answer.outcomes[0], Sent)
                assert f"relay=::1[::1]:{sink.port}, " in client.lines[0]

    asyncio.run(run())


def test_many_deliveries_over_qmgrs_connection(tmp_path: Path) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        said: FromAgent = []
        heard = asyncio.Event()
        released = asyncio.Event()

        def received(payload: bytes) -> None:
            said.extend(decode_from_agent(payload))
            if len(said) == 51:
                heard.set()

        async with asyncio.timeout(20), SmtpSink() as sink, Client(tmp_path) as client:
            path = str(tmp_path / "smtp")
            server = await loop.create_unix_server(lambda: client.service.client(released.set), path)
            qmgr = await frames.connect(path, received)
            deliveries = []
            for number in range(50):
                delivery = client.delivery(f"[127.0.0.1]:{sink.port}", "a@b.example")
                delivery.number = number
                deliveries.append(delivery)
            qmgr.send(encode(deliveries))
            await heard.wait()
            assert isinstance(said[0], Ready)
            reports = [word for word in said[1:] if isinstance(word, Report)]
            assert sorted(report.number for report in reports) == list(range(50))
            assert {report.results[0].status for report in reports} == {"sent"}
            assert len(sink.messages) == 50
            qmgr.close()
            await released.wait()
            server.close()

    asyncio.run(run())
