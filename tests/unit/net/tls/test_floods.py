"""What a client of bad intent can do after the handshake, by means that Python's own TLS does not have."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

from cffi import FFI
from tests.support.certificates import make_certificates
from tests.unit.net.tls.test_layer import server_of

from estafeta.net.stream import PeerGone, Stream
from estafeta.net.tls.layer import EMPTY_LIMIT, SLICE
from estafeta.net.tls.openssl import NAMES, TlsError

TLS1_2 = 0x0303
UPDATE_REQUESTED = 1


class Client:
    """A client in memory, and the transport below the server's layer."""

    def __init__(self, stream: Stream, highest: int = 0) -> None:
        self.ffi: Any = FFI()
        self.ffi.cdef("""
            void *TLS_client_method(void); void *SSL_CTX_new(void *); void *SSL_new(void *); void *BIO_s_mem(void);
            void *BIO_new(void *); void SSL_set_bio(void *, void *, void *); void SSL_set_connect_state(void *);
            int SSL_do_handshake(void *); int SSL_key_update(void *, int); int SSL_renegotiate(void *);
            long SSL_CTX_ctrl(void *, int, long, void *); int BIO_read(void *, void *, int);
            int BIO_write(void *, void *, int); size_t BIO_ctrl_pending(void *); void SSL_free(void *);
            void SSL_CTX_free(void *);
        """)
        self.lib: Any = self.ffi.dlopen(NAMES[0])
        lib = self.lib
        self.context = self.ffi.gc(lib.SSL_CTX_new(lib.TLS_client_method()), lib.SSL_CTX_free)
        if highest:
            lib.SSL_CTX_ctrl(self.context, 124, highest, self.ffi.NULL)
        self.ssl = self.ffi.gc(lib.SSL_new(self.context), lib.SSL_free)
        self._in, self._out = lib.BIO_new(lib.BIO_s_mem()), lib.BIO_new(lib.BIO_s_mem())
        lib.SSL_set_bio(self.ssl, self._in, self._out)
        lib.SSL_set_connect_state(self.ssl)
        self.protocol: Any = stream
        self.closed = False
        self.heard = 0
        stream.connection_made(self)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        self.heard += len(data)
        self.lib.BIO_write(self._in, self.ffi.from_buffer(data), len(data))

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    abort = close

    def said(self) -> bytes:
        waiting = self.lib.BIO_ctrl_pending(self._out)
        room = self.ffi.new("char[]", waiting + 1)
        self.lib.BIO_read(self._out, room, waiting)
        return bytes(self.ffi.buffer(room, waiting))

    async def shake(self, folder: Path) -> None:
        task = asyncio.create_task(self.protocol.start_tls(server_of(folder), 5))
        while not task.done():
            await asyncio.sleep(0)
            self.lib.SSL_do_handshake(self.ssl)
            if data := self.said():
                self.protocol.data_received(data)
        await task
        self.heard = 0


def test_key_updates_without_end_end_the_connection(tmp_path: Path) -> None:
    make_certificates(tmp_path)

    async def scene() -> None:
        client = Client(Stream())
        await client.shake(tmp_path)
        data = b""
        for number in range(10_000):
            assert client.lib.SSL_key_update(client.ssl, UPDATE_REQUESTED) == 1
            client.lib.SSL_do_handshake(client.ssl)
            data += client.said()
            if number == 100:
                client.protocol.data_received(data)
                assert not client.closed  # so many may have a reason
                data = b""
        client.protocol.data_received(data)
        assert client.closed
        assert client.heard <= EMPTY_LIMIT + SLICE

    asyncio.run(scene())


def test_a_client_cannot_renegotiate(tmp_path: Path) -> None:
    make_certificates(tmp_path)

    async def scene() -> None:
        client = Client(Stream(), TLS1_2)
        await client.shake(tmp_path)
        assert client.lib.SSL_renegotiate(client.ssl) == 1
        client.lib.SSL_do_handshake(client.ssl)
        client.protocol.data_received(client.said())
        assert 0 < client.heard < 100  # an alert, no handshake

    asyncio.run(scene())


def test_handshakes_leave_nothing_behind(tmp_path: Path) -> None:
    """Neither a good one nor one that fails waits for somebody to collect garbage."""
    make_certificates(tmp_path)
    server = server_of(tmp_path)

    async def good() -> weakref.ref[Any]:
        client = Client(Stream())
        await client.shake(tmp_path)
        layer = weakref.ref(client.protocol)
        client.protocol.connection_lost(None)
        client.protocol = None
        return layer

    async def bad(said: bytes) -> weakref.ref[Any]:
        stream = Stream()
        client = Client(stream)
        task = asyncio.create_task(stream.start_tls(server, 5))
        await asyncio.sleep(0)
        layer = weakref.ref(client.protocol)
        client.protocol.data_received(said)
        client.protocol.connection_lost(None)
        await asyncio.wait([task])
        assert isinstance(task.exception(), TlsError | PeerGone)
        client.protocol = None  # as a transport does
        return layer

    gc.disable()
    try:
        left = [asyncio.run(good()), asyncio.run(bad(b"MAIL FROM:<a@b.test>\r\n")), asyncio.run(bad(b"\x16\x03\x01"))]
        assert [layer() for layer in left] == [None, None, None]
        assert not server.choosing
    finally:
        gc.enable()
