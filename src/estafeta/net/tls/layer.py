"""TLS between a connection and its line stream.

To the socket's transport it is the protocol, to the stream it is the transport. OpenSSL works on memory only: what
comes in is handed to it and what it has to say is sent, so nothing here blocks. The stream's own path stays as it was,
and costs nothing where there is no TLS.

A peer that sends and does not read is not read from (KeyUpdate wants answers), what is decrypted is never more than
the stream wants to hold, and a handshake has one deadline for all of it.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Protocol

from estafeta.net.tls import openssl
from estafeta.net.tls.facts import peer_of
from estafeta.net.tls.openssl import TlsError
from estafeta.net.tls.peer import TlsPeer
from estafeta.net.tls.server import BREAK_OFF, GO_ON, SUSPEND, ServerTls

RECORD = 16384
"""Most bytes of content in one record. RFC 8446 5.1"""
HANDSHAKE_LIMIT = 256 * 1024
"""Bytes that a client may send in a handshake; a chain of certificates fits."""

SLICE = 64 * 1024
"""Bytes that OpenSSL works on in one go."""
EMPTY_LIMIT = 64 * 1024
"""Bytes that a client may send without content in them; key updates cost us a hundred times what they cost it."""
OVERHEAD = 32
"""Bytes on the wire for a byte of content that are borne beyond that: a record with one byte has 23."""


class Above(Protocol):
    """What the layer needs of the stream."""

    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, reason: Exception | None) -> None: ...


class Tracer(Protocol):
    """Who wants to see what happens (trace.py)."""

    def watch(self, ssl: Any) -> None: ...
    def established(self) -> None: ...
    def dump(self, direction: str, data: bytes) -> None: ...


class HandshakeLost(ConnectionError):
    """The peer went away in the midst of the handshake."""


class TlsLayer(asyncio.Protocol):
    """One connection's TLS, as the server of it. `handshake` first, then it works by itself."""

    _room: ClassVar[Any] = None
    """Where OpenSSL puts what it has decrypted. One for all: it is copied at once, and thousands may be connected."""

    def __init__(self, server: ServerTls, above: Above, transport: Any) -> None:
        self._server = server
        self._above: Any = above
        self._below = transport
        self._loop = asyncio.get_running_loop()
        ffi, lib = server.library.ffi, server.library.lib
        self._lib = lib
        self._ffi = ffi
        self.ssl: Any = ffi.gc(lib.SSL_new(server.context), lib.SSL_free)
        self._in: Any = lib.BIO_new(lib.BIO_s_mem())
        self._out: Any = lib.BIO_new(lib.BIO_s_mem())
        lib.SSL_set_bio(self.ssl, self._in, self._out)  # they are its own now, and freed with it
        lib.SSL_set_accept_state(self.ssl)
        if TlsLayer._room is None:
            TlsLayer._room = ffi.new("char[]", RECORD)
        self._established = False
        self._ended = False
        self._lost: Exception | None = None
        self._gone = False
        self._received = 0
        self._content = 0
        self._stopped = False
        """The stream does not want more now."""
        self._choked = False
        """The peer does not read."""
        self._trace: Tracer | None = None
        self._changed: asyncio.Event = asyncio.Event()

    # --- the handshake

    async def handshake(self, first: bytes, timeout: float, trace: Tracer | None = None) -> TlsPeer:
        """Agree with the client. `first`: what it has sent already. Raises TlsError, HandshakeLost, TimeoutError."""
        key = self._server.address(self.ssl)
        self._server.choosing[key] = GO_ON if self._server.sni is None else SUSPEND
        if trace is not None:
            self._trace = trace
            trace.watch(self.ssl)
        self._below.set_protocol(self)
        self._below.resume_reading()
        try:
            async with asyncio.timeout(timeout):
                name = await self._agree(first, key)
        finally:
            self._server.choosing.pop(key, None)
        peer = peer_of(self._server, self.ssl, name)
        self._established = True
        self._received = 0
        if trace is not None:
            trace.established()
        return peer

    def begin(self) -> None:
        """The handshake is done and the stream has taken note: what came with it is the first input."""
        self._decrypt()

    async def _agree(self, first: bytes, key: int) -> str:
        lib = self._lib
        name: str | None = ""
        if first:
            self.data_received(first)
        while True:
            self._changed.clear()
            if self._gone:
                raise HandshakeLost("lost connection")
            lib.ERR_clear_error()
            result = lib.SSL_do_handshake(self.ssl)
            problem = lib.SSL_get_error(self.ssl, result) if result != 1 else 0
            lines = self._server.library.errors() if problem not in (0, openssl.ERROR_WANT_READ) else []
            self._send()
            if result == 1:
                return name or ""
            if problem == openssl.ERROR_WANT_X509_LOOKUP:
                name = await self._server.choose(self.ssl, self._server.asked_name(self.ssl))
                self._server.choosing[key] = BREAK_OFF if name is None else GO_ON
            elif problem == openssl.ERROR_WANT_READ:
                if self._ended:
                    raise HandshakeLost("lost connection")
                if self._received > HANDSHAKE_LIMIT:
                    raise TlsError("the client sends too much for a handshake")
                await self._changed.wait()
            else:
                raise TlsError("handshake failed", lines)

    # --- the transport's side

    def data_received(self, data: bytes) -> None:
        if self._gone:
            return
        if self._trace is not None:
            self._trace.dump("read from", data)
        if self._established:
            for start in range(0, len(data), SLICE):
                part = data if len(data) <= SLICE else data[start : start + SLICE]
                self._received += len(part)
                self._lib.BIO_write(self._in, self._ffi.from_buffer(part), len(part))
                self._decrypt()
                if self._gone:
                    break
        else:
            self._lib.BIO_write(self._in, self._ffi.from_buffer(data), len(data))
            self._received += len(data)
            if self._received > HANDSHAKE_LIMIT:
                self._below.pause_reading()
            self._changed.set()

    def eof_received(self) -> bool:
        self._ended = True
        self._changed.set()
        if self._established:
            self._decrypt()
        return True

    def pause_writing(self) -> None:
        self._choked = True
        self._below.pause_reading()
        self._above.pause_writing()

    def resume_writing(self) -> None:
        self._choked = False
        if not self._stopped and not self._gone:
            self._below.resume_reading()
        self._above.resume_writing()

    def connection_lost(self, reason: Exception | None) -> None:
        self._gone = self._ended = True
        self._changed.set()
        above = self._above
        if self._established:
            # OpenSSL holds tens of kilobytes for a connection; they are not to wait until somebody collects garbage.
            self.ssl = self._in = self._out = self._above = self._below = self._trace = None
        above.connection_lost(reason)

    def _decrypt(self) -> None:
        """Hand the stream all that is here, as long as it wants it."""
        ffi, lib, ssl, room = self._ffi, self._lib, self.ssl, self._room
        while not self._stopped and not self._gone:
            lib.ERR_clear_error()
            count = lib.SSL_read(ssl, room, RECORD)
            if count <= 0:
                self._read_nothing(count)
                break
            self._content += count
            self._above.data_received(bytes(ffi.buffer(room, count)))
        self._send()

    def _read_nothing(self, result: int) -> None:
        problem = self._lib.SSL_get_error(self.ssl, result)
        if problem == openssl.ERROR_ZERO_RETURN:  # its farewell
            self._ended = True
        elif problem != openssl.ERROR_WANT_READ or self._received > EMPTY_LIMIT + OVERHEAD * self._content:
            self._broken()
            return
        if self._ended:
            # Not before the stream has all that came before the end, which it may not have wanted yet.
            self._above.eof_received()

    def _broken(self) -> None:
        """A record that was tampered with, or an alert, or too much of nothing: no more can be trusted."""
        self._server.library.errors()
        self._send()
        self._gone = True
        self._below.abort()

    def _send(self) -> None:
        if self._out is None:
            return
        ffi, lib = self._ffi, self._lib
        waiting = lib.BIO_ctrl_pending(self._out)
        if not waiting:
            return
        room = ffi.new("char[]", waiting)
        count = lib.BIO_read(self._out, room, waiting)
        data = bytes(ffi.buffer(room, count))
        if self._trace is not None:
            self._trace.dump("write to", data)
        if not self._below.is_closing():
            self._below.write(data)

    # --- the stream's side: a transport

    def write(self, data: bytes) -> None:
        if self._gone or not data:
            return
        self._lib.ERR_clear_error()
        if self._lib.SSL_write(self.ssl, self._ffi.from_buffer(data), len(data)) <= 0:
            self._server.library.errors()
            self._gone = True
            self._below.abort()
            return
        self._send()

    def pause_reading(self) -> None:
        self._stopped = True
        if not self._gone:
            self._below.pause_reading()

    def resume_reading(self) -> None:
        self._stopped = False
        if self._gone:
            return
        if not self._choked:
            self._below.resume_reading()
        # What OpenSSL holds already does not come from below again.
        self._loop.call_soon(self._decrypt)

    def close(self) -> None:
        if not self.is_closing():
            if self._established and not self._gone:
                self._lib.ERR_clear_error()
                self._lib.SSL_shutdown(self.ssl)
                self._send()
            self._below.close()

    def abort(self) -> None:
        if self._below is not None:
            self._below.abort()

    def is_closing(self) -> bool:
        return self._below is None or bool(self._below.is_closing())

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default if self._below is None else self._below.get_extra_info(name, default)
