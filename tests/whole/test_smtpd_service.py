"""smtpd as a service, over real sockets, with the real intake and spool: what got 250 is there to be read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.talk.dialogue import BASE
from tests.talk.stage import logged

from estafeta.config.instance import Config
from estafeta.config.master_cf import parse_rows, service_entry
from estafeta.daemons.smtpd.service import SmtpdService
from estafeta.skeleton.service import Context

SMTPD = "smtp inet n - n - - smtpd\n"


class Server:
    """A service on a loopback port, in a queue directory of its own."""

    def __init__(self, **settings: str) -> None:
        self.conf = Config.for_test(**BASE | {"mynetworks": "127.0.0.0/8"} | settings)

    async def __aenter__(self) -> Server:
        entry = service_entry(parse_rows(SMTPD, "/test/master.cf").rows[0], self.conf)
        self.service = SmtpdService(Context(self.conf, entry, entries=(entry,)))
        await self.service.open()
        await self.service.start()
        self.open = 0
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self._client, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def _client(self) -> asyncio.BaseProtocol:
        self.open += 1
        return self.service.client(self._release)

    def _release(self) -> None:
        self.open -= 1

    async def __aexit__(self, *problem: object) -> None:
        self.server.close()
        async with asyncio.timeout(5):
            while self.open:
                await asyncio.sleep(0.01)
        await self.service.stop()


class Peer:
    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> Peer:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        assert (await self.reply()).startswith("220 ")
        return self

    async def __aexit__(self, *problem: object) -> None:
        self.writer.close()

    async def reply(self) -> str:
        lines = []
        async with asyncio.timeout(10):
            while True:
                line = (await self.reader.readline()).decode()
                lines.append(line)
                if line[3:4] != "-":
                    return "".join(lines)

    async def say(self, text: str) -> str:
        self.writer.write(text.encode() + b"\r\n")
        return await self.reply()

    async def envelope(self) -> None:
        assert (await self.say("EHLO client.example")).startswith("250-")
        assert await self.say("MAIL FROM:<a@b.example>") == "250 2.1.0 Ok\r\n"
        assert await self.say("RCPT TO:<user@example.com>") == "250 2.1.5 Ok\r\n"


Scene = Callable[[Server], Awaitable[None]]


def served(scene: Scene, where: Path, monkeypatch: pytest.MonkeyPatch, **settings: str) -> list[str]:
    monkeypatch.chdir(where)
    for folder in ("incoming", "active", "deferred", "hold", "corrupt", "maildrop", "pid", "private", "public"):
        (where / folder).mkdir()

    async def run() -> None:
        async with asyncio.timeout(30), Server(**settings) as server:
            await scene(server)

    with logged() as lines:
        asyncio.run(run())
    return lines


def stored(where: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(where.rglob("*")) if path.is_file())


def test_what_got_250_is_in_the_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(server: Server) -> None:
        async with Peer(server.port) as peer:
            await peer.envelope()
            assert (await peer.say("DATA")).startswith("354 ")
            reply = await peer.say("Subject: hello\r\n\r\n..dot\r\n.")
            assert reply.startswith("250 2.0.0 Ok: queued as ")
            queue_id = reply.split()[-1]
            content = stored(tmp_path)
            assert b"\r\nSubject: hello\r\n" in content
            assert b"\r\n\r\n.dot\r\n" in content
            assert f"with ESMTP id {queue_id}\r\n\tfor <user@example.com>; ".encode() in content
            assert await peer.say("QUIT") == "221 2.0.0 Bye\r\n"

    lines = served(scene, tmp_path, monkeypatch)
    assert lines[0].startswith("connect from ")
    assert any("message-id=<" in line for line in lines)
    assert lines[-1].endswith(" ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5")


def test_a_large_message_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = b"0123456789" * 7 + b"\r\n"

    async def scene(server: Server) -> None:
        async with Peer(server.port) as peer:
            await peer.envelope()
            chunk = b"Subject: big\r\n\r\n" + line * 20_000
            peer.writer.write(b"BDAT %d\r\n" % len(chunk) + chunk)
            assert await peer.reply() == f"250 2.0.0 Ok: {len(chunk)} bytes\r\n"
            peer.writer.write(b"BDAT %d LAST\r\n" % len(line) + line)
            assert (await peer.reply()).startswith(f"250 2.0.0 Ok: {len(chunk) + len(line)} bytes queued as ")
            assert stored(tmp_path).count(line) == 20_001

    served(scene, tmp_path, monkeypatch, estafeta_large_message="100000")


def test_too_many_hops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(server: Server) -> None:
        async with Peer(server.port) as peer:
            await peer.envelope()
            await peer.say("DATA")
            assert await peer.say("Received: x\r\n" * 60 + "\r\n.") == "554 5.4.0 Error: too many hops\r\n"
            assert await peer.say("NOOP") == "250 2.0.0 Ok\r\n"

    served(scene, tmp_path, monkeypatch)


def test_a_client_that_never_reads_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is owed does not pile up: the session waits for it to read, and its time limit ends that."""

    async def scene(server: Server) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with pytest.raises((TimeoutError, ConnectionError)):
            async with asyncio.timeout(4):
                while True:
                    writer.write(b"EHLO x\r\n" * 10_000)
                    await writer.drain()
        async with asyncio.timeout(10):
            while server.open:
                await asyncio.sleep(0.05)
        writer.close()

    lines = served(
        scene,
        tmp_path,
        monkeypatch,
        smtpd_timeout="1s",
        smtpd_forbid_unauth_pipelining="no",
        smtpd_junk_command_limit="10000000",
    )
    assert any(line.startswith(("timeout after EHLO", "lost connection after EHLO")) for line in lines)


def test_a_slow_client_meets_the_deadline_of_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """smtpd_per_request_deadline: a byte now and then is not enough."""

    async def scene(server: Server) -> None:
        async with Peer(server.port) as peer:
            reply = asyncio.create_task(peer.reply())
            while not reply.done():
                peer.writer.write(b"N")
                await asyncio.wait([reply], timeout=0.1)
            assert await reply == "421 4.4.2 mx.example.com Error: timeout exceeded\r\n"

    lines = served(scene, tmp_path, monkeypatch, smtpd_timeout="1s", smtpd_per_request_deadline="yes")
    assert "timeout after CONNECT from localhost[127.0.0.1]" in lines
