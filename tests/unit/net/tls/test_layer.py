"""The layer between transport and stream, against a client in memory: no sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import Pair, make_certificates

from estafeta.net.stream import PeerGone, Stream
from estafeta.net.tls.openssl import TlsError
from estafeta.net.tls.peer import TlsPeer
from estafeta.net.tls.server import ServerSettings, ServerTls

GRADES = {"medium": "HIGH:MEDIUM:@STRENGTH"}


class Wire:
    """The transport below: what the server says goes to the client, whose answers come when `turn` is called."""

    def __init__(self, stream: Stream, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(self._in, self._out, server_hostname="mail.test", session=session)
        self.protocol: Any = stream
        self.paused = self.closed = False
        stream.connection_made(self)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        self._in.write(data)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed = True

    abort = close

    def turn(self) -> None:
        """The client's part of the handshake, and what it has written."""
        try:
            self.client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        data = self._out.read()
        if data:
            self.protocol.data_received(data)

    async def shake(self, server: ServerTls) -> TlsPeer:
        task = asyncio.create_task(self.protocol.start_tls(server, 5))
        while not task.done():
            await asyncio.sleep(0)
            self.turn()
        return await task

    def say(self, data: bytes) -> None:
        self.client.write(data)
        self.protocol.data_received(self._out.read())

    def hear(self) -> bytes:
        return self.client.read(65536)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Pair]]:
    folder = tmp_path_factory.mktemp("keys")
    return folder, make_certificates(folder)


def server_of(folder: Path, **settings: Any) -> ServerTls:
    return ServerTls.open(
        ServerSettings(
            chain_files=[str(folder / "chain.pem")], grades=GRADES, ca_file=str(folder / "ca.pem"), **settings
        )
    )


def context_of(folder: Path, name: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if name:
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(20):
            await scene()

    asyncio.run(in_time())


def test_lines_both_ways(keys: tuple[Path, dict[str, Pair]]) -> None:
    async def scene() -> None:
        stream = Stream()
        wire = Wire(stream, context_of(keys[0]))
        tls = await wire.shake(server_of(keys[0]))
        assert (tls.protocol, tls.certificate, tls.reused) == ("TLSv1.3", False, False)
        assert stream.tls is tls
        wire.say(b"EHLO x\r\nNOOP\r\n")
        assert await stream.line(100) == b"EHLO x\r\n"
        stream.write(b"250 ok\r\n")
        stream.flush()
        assert wire.hear() == b"250 ok\r\n"
        assert await stream.line(100) == b"NOOP\r\n"
        assert len(tls.channel_binding) == 32
        stream.close()
        assert wire.closed

    run(scene)


@pytest.mark.parametrize(("name", "trusted"), [("client", True), ("self", False)])
def test_any_client_certificate_will_do(keys: tuple[Path, dict[str, Pair]], name: str, trusted: bool) -> None:
    async def scene() -> None:
        tls = await Wire(Stream(), context_of(keys[0], name)).shake(server_of(keys[0], ask=True))
        assert (tls.certificate, tls.trusted) == (True, trusted)
        assert tls.subject == f"{name}.example.test"
        assert tls.certificate_fingerprint == keys[1][name].fingerprint()
        assert tls.public_key_fingerprint == keys[1][name].key_fingerprint()

    run(scene)


def test_another_process_resumes_the_session(keys: tuple[Path, dict[str, Pair]]) -> None:
    async def scene() -> None:
        context = context_of(keys[0])
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        first = Wire(Stream(), context)
        assert not (await first.shake(server_of(keys[0]))).reused
        second = Wire(Stream(), context, first.client.session)
        assert (await second.shake(server_of(keys[0]))).reused

    run(scene)


def test_a_session_of_another_service_is_not_resumed(keys: tuple[Path, dict[str, Pair]]) -> None:
    async def scene() -> None:
        context = context_of(keys[0])
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        first = Wire(Stream(), context)
        await first.shake(server_of(keys[0]))
        second = Wire(Stream(), context, first.client.session)
        assert not (await second.shake(server_of(keys[0], context="postscreen"))).reused

    run(scene)


def test_what_cannot_be_a_handshake(keys: tuple[Path, dict[str, Pair]]) -> None:
    async def scene() -> None:
        stream = Stream()
        Wire(stream, context_of(keys[0]))
        stream.data_received(b"MAIL FROM:<a@b.test>\r\n")
        with pytest.raises(TlsError) as raised:
            await stream.start_tls(server_of(keys[0]), 5)
        assert "wrong version number" in raised.value.lines[0]
        assert stream.tls is None

    run(scene)


def test_a_client_that_leaves_in_the_midst(keys: tuple[Path, dict[str, Pair]]) -> None:
    async def scene() -> None:
        stream = Stream()
        wire = Wire(stream, context_of(keys[0]))
        task = asyncio.create_task(stream.start_tls(server_of(keys[0]), 5))
        await asyncio.sleep(0)
        wire.protocol.eof_received()
        with pytest.raises(PeerGone):
            await task

    run(scene)


def test_a_client_that_says_nothing_has_a_deadline(keys: tuple[Path, dict[str, Pair]]) -> None:
    async def scene() -> None:
        stream = Stream()
        Wire(stream, context_of(keys[0]))
        with pytest.raises(TimeoutError):
            await stream.start_tls(server_of(keys[0]), 0)

    run(scene)


def test_a_stream_that_is_full_stops_the_client(keys: tuple[Path, dict[str, Pair]]) -> None:
    async def scene() -> None:
        stream = Stream()
        wire = Wire(stream, context_of(keys[0]))
        await wire.shake(server_of(keys[0]))
        line = b"x" * 9998 + b"\r\n"
        for _ in range(60):
            wire.say(line)
        assert wire.paused
        for _ in range(60):
            assert await stream.line(20000) == line
        assert not wire.paused

    run(scene)


def test_a_record_that_was_tampered_with_ends_the_connection(keys: tuple[Path, dict[str, Pair]]) -> None:
    async def scene() -> None:
        stream = Stream()
        wire = Wire(stream, context_of(keys[0]))
        await wire.shake(server_of(keys[0]))
        wire.protocol.data_received(b"\x17\x03\x03\x00\x20" + b"z" * 32)
        assert wire.closed
        assert not stream.pending

    run(scene)


def test_after_the_end_nothing_of_openssl_is_kept(keys: tuple[Path, dict[str, Pair]]) -> None:
    async def scene() -> None:
        stream = Stream()
        wire = Wire(stream, context_of(keys[0]))
        await wire.shake(server_of(keys[0]))
        layer = stream.transport
        wire.protocol.connection_lost(None)
        assert layer.ssl is None
        stream.write(b"to nobody")
        stream.close()
        stream.abort()
        assert stream.gone

    run(scene)


def test_what_came_before_the_end_is_not_lost(keys: tuple[Path, dict[str, Pair]]) -> None:
    """A client that says all it has and closes its side: more than the stream holds at a time."""

    async def scene() -> None:
        stream = Stream()
        wire = Wire(stream, context_of(keys[0]))
        await wire.shake(server_of(keys[0]))
        line = b"x" * 9998 + b"\r\n"
        wire.say(line * 60)
        wire.protocol.eof_received()
        for _ in range(60):
            assert await stream.line(20000) == line
        with pytest.raises(PeerGone):
            await stream.line(20000)

    run(scene)


def test_byte_by_byte(keys: tuple[Path, dict[str, Pair]]) -> None:
    async def scene() -> None:
        stream = Stream()
        wire = Wire(stream, context_of(keys[0], "client"))
        task = asyncio.create_task(stream.start_tls(server_of(keys[0], ask=True), 5))
        while not task.done():
            await asyncio.sleep(0)
            try:
                wire.client.do_handshake()
                wire.client.write(b"said at once\r\n")
            except ssl.SSLWantReadError:
                pass
            for byte in wire._out.read():
                wire.protocol.data_received(bytes([byte]))
                await asyncio.sleep(0)
        assert (await task).certificate
        assert await stream.line(100) == b"said at once\r\n"

    run(scene)
