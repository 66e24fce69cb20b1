"""How clients come in: one door for each style of service.

A door opens on the listening sockets that master made and this process inherited, hands every client to the service,
and closes when the places are used up or the process is to end. Closing loses nobody: master keeps the socket open,
and who has not been accepted waits in the kernel for the next process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from estafeta.base import log
from estafeta.services import passed
from estafeta.services.passed import Origin

from .service import Service
from .slots import Slots

BACKLOG = 1024
PACKET_LIMIT = 64 * 1024
TRIGGER_LIMIT = 4096
PACKETS_A_TURN = 64
ACCEPTS_A_TURN = 64


class Door:
    """What the doors have in common. `served` is called after each client, `changed` when the process becomes busy or
    free."""

    def __init__(
        self, service: Service, slots: Slots, served: Callable[[], None], changed: Callable[[bool], None]
    ) -> None:
        self.service = service
        self.slots = slots
        self.loop = asyncio.get_running_loop()
        self.served = served
        self.changed = changed
        self.closed = False

    @property
    def idle(self) -> bool:
        return self.slots.clients == 0

    async def open(self) -> None:
        """Let clients in."""

    def close(self) -> None:
        """Let nobody in any more. Clients that are in stay."""
        self.closed = True


class StreamDoor(Door):
    """Connections, each a protocol of its own."""

    def __init__(self, *arguments: Any, sockets: list[socket.socket], last_resort: float | None = None) -> None:
        super().__init__(*arguments)
        self.last_resort = last_resort
        """Seconds after which a client of a local socket that no process has taken is let in beyond the limit."""
        self.protocol_of: Callable[[Callable[[], None]], asyncio.BaseProtocol] = self.service.client
        self._sockets = sockets
        self._servers: list[asyncio.AbstractServer | _Reader] = []
        self._waiting: list[_Waiting] = []
        self._opening = False
        self._watching_pot = False

    async def open(self) -> None:
        self._opening = False
        if self.closed or self._servers or not self._watches:
            return
        for listening in self._sockets:
            if listening.family == socket.AF_UNIX and self.slots.limit:
                # Other processes share this socket: take one client at a time and none that we cannot serve.
                self._servers.append(_Reader(self.loop, listening.fileno(), partial(self._take_one, listening)))
                continue
            own = listening.dup()
            if own.family == socket.AF_UNIX:
                keep: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
                server = await self.loop.create_unix_server(self._arrived, sock=own, backlog=BACKLOG, **keep)
            else:
                server = await self.loop.create_server(self._arrived, sock=own, backlog=BACKLOG)
            self._servers.append(server)

    def close(self) -> None:
        super().close()
        # At once: who is accepted from now on would be forgotten, as the process may end in the next turn of the loop.
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        self._unwatch_pot()
        for listening in self._sockets:
            # While master lives, it holds them too. If it has died, the next one wants to have the port.
            self.loop.call_soon(listening.close)
        self.loop.call_soon(self._serve_who_waits)  # some may be on their way to the line

    def _serve_who_waits(self) -> None:
        """They have not heard a word from us; another process would not hear of them."""
        while self._waiting:
            self.slots.clients += 1
            last = self._waiting.pop()
            last.admit(self._protocol(self._leave_extra, last.origin))

    def _arrived(self, origin: Origin | None = None) -> asyncio.BaseProtocol:
        if self.closed:  # it was passed on before
            self.slots.clients += 1
            return self._protocol(self._leave_extra, origin)
        if not self.slots.take():
            self._shut()
            self._watch_pot()
            return _Waiting(self._waiting, origin)
        if self.slots.full:
            self._shut()
            self.changed(True)
        return self._protocol(self._leave, origin)

    def _protocol(self, release: Callable[[], None], origin: Origin | None = None) -> asyncio.BaseProtocol:
        try:
            return self.protocol_of(release) if origin is None else self.service.passed(release, origin)
        except Exception as reason:
            log.error(f"cannot serve a client: {describe(reason)}")
            release()
            return _Refused()

    def _leave(self) -> None:
        was_full = self.slots.full
        self.slots.give()
        self.served()
        if self.closed:
            return
        if was_full and not self.slots.full:
            self.changed(False)
        self._admit()

    def _leave_extra(self) -> None:
        """A client leaves that was let in without a place in the pot."""
        self.slots.clients -= 1
        self.served()

    def _admit(self) -> None:
        """Let in who waits, and open again when nobody waits."""
        while self._waiting:
            if not self.slots.take():
                self._watch_pot()
                return
            first = self._waiting.pop(0)
            first.admit(self._protocol(self._leave, first.origin))
        self._unwatch_pot()
        if not self._servers and not self._opening and self._watches:
            self._opening = True
            self.loop.create_task(self.open())

    @property
    def _watches(self) -> bool:
        """Whether it matters here that a client comes."""
        return not self.slots.full or self.last_resort is not None

    def _take_one(self, listening: socket.socket) -> None:
        if self.slots.full:
            if self.last_resort is not None:
                self._shut()
                self.loop.call_later(self.last_resort, self._take_extra)
            return
        client = _accepted(listening)
        if client is None:
            return
        if not self.slots.take():
            client.close()
            return
        if self.slots.full:
            if self.last_resort is None:
                self._shut()
            self.changed(True)
        self.loop.create_task(self._connect(client, self._protocol(self._leave)))

    def _take_extra(self) -> None:
        """Let in the clients that are still there. There is no pot: a local socket has none."""
        if self.closed:
            return
        for listening in self._sockets:
            while (client := _accepted(listening)) is not None:
                was_full = self.slots.full
                self.slots.clients += 1
                if self.slots.full and not was_full:
                    self.changed(True)
                self.loop.create_task(self._connect(client, self._protocol(self._leave)))
        self._admit()

    async def _connect(self, client: socket.socket, protocol: asyncio.BaseProtocol) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: protocol, client)
        except OSError as reason:
            log.warning(f"take over connection: {reason}")
            client.close()

    def _shut(self) -> None:
        servers, self._servers = self._servers, []
        for server in servers:
            if isinstance(server, _Reader):
                server.close()
            else:
                # Not at once: this may run inside the arrival of a client, and uvloop is not done with the server then.
                self.loop.call_soon(server.close)

    def _watch_pot(self) -> None:
        pot = self.slots.pot
        if pot is not None and not self._watching_pot and not self.slots.full:
            self._watching_pot = True
            self.loop.add_reader(pot.fileno(), self._admit)

    def _unwatch_pot(self) -> None:
        if self._watching_pot and self.slots.pot is not None:
            self._watching_pot = False
            self.loop.remove_reader(self.slots.pot.fileno())


def _accepted(listening: socket.socket) -> socket.socket | None:
    """The next client; None when another process was faster, or the client went away."""
    try:
        client, _ = listening.accept()
    except OSError:
        return None
    client.setblocking(False)
    return client


class _Waiting(asyncio.Protocol):
    """A client that was accepted when the last place had just gone. It is not read from until there is one."""

    def __init__(self, line: list[_Waiting], origin: Origin | None) -> None:
        self._line = line
        self.origin = origin
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.pause_reading()
        self._line.append(self)

    def connection_lost(self, reason: Exception | None) -> None:
        if self in self._line:
            self._line.remove(self)

    def admit(self, protocol: asyncio.BaseProtocol) -> None:
        transport = self._transport
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if not transport.is_closing():
            transport.resume_reading()


class _Refused(asyncio.Protocol):
    """Hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class PassDoor(StreamDoor):
    """Connections that another process accepted: each arrives as an open descriptor over a local socket."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._links = 0
        """How many were accepted over which nothing has come yet: who is behind them waits for us alone."""

    @property
    def idle(self) -> bool:
        return super().idle and not self._links

    async def open(self) -> None:
        self._opening = False
        if self.closed or self._servers or self.slots.full:
            return
        for listening in self._sockets:
            self._servers.append(_Reader(self.loop, listening.fileno(), partial(self._handover, listening)))

    def _handover(self, listening: socket.socket) -> None:
        try:
            link, _ = listening.accept()
        except OSError:
            return  # another process was faster, or the sender went away
        link.setblocking(False)
        self._links += 1
        self.loop.add_reader(link.fileno(), self._receive, link)

    def _receive(self, link: socket.socket) -> None:
        self.loop.remove_reader(link.fileno())
        self._links -= 1
        try:
            self._take_in(link)
        finally:
            if self.closed and self.idle:
                self.served()

    def _take_in(self, link: socket.socket) -> None:
        try:
            with link:
                payload, descriptors, _, _ = socket.recv_fds(link, passed.LONGEST, 8)
        except OSError as reason:
            log.warning(f"receive passed connection: {reason}")
            return
        try:
            origin = passed.decode(payload)
        except msgspec.MsgspecError as reason:
            log.warning(f"malformed hand-over of a connection: {reason}; run: postfix reload")
            for descriptor in descriptors:
                os.close(descriptor)
            return
        for descriptor in descriptors:
            client = socket.socket(fileno=descriptor)
            client.setblocking(False)
            self.loop.create_task(self._connect(client, self._arrived(origin)))


class SocketDoor(Door):
    """Connections as they are, for a service that looks at them before it spends anything on them."""

    def __init__(self, *arguments: Any, sockets: list[socket.socket]) -> None:
        super().__init__(*arguments)
        self._sockets = sockets
        self._readers: list[_Reader] = []

    async def open(self) -> None:
        for listening in self._sockets:
            listening.setblocking(False)
            self._readers.append(_Reader(self.loop, listening.fileno(), partial(self._take, listening)))

    def close(self) -> None:
        super().close()
        for reader in self._readers:
            reader.close()
        for listening in self._sockets:
            self.loop.call_soon(listening.close)  # as StreamDoor does

    def _take(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                client, _ = listening.accept()
            except OSError:
                return  # nobody, or somebody who is gone already
            client.setblocking(False)
            self.slots.take()
            self.service.accepted(client, self._leave)

    def _leave(self) -> None:
        self.slots.give()
        self.served()


class _Reader:
    """A watched descriptor that can be closed like a server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._descriptor = descriptor
        loop.add_reader(descriptor, callback)

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)


class TriggerDoor(Door):
    """Requests of one byte each, from a wakeup of master or from a command. Those that arrive while the service works
    on others are handed over together when it is done."""

    def __init__(self, *arguments: Any, sockets: list[socket.socket], fifo: int | None) -> None:
        super().__init__(*arguments)
        self._stream = StreamDoor(*arguments, sockets=sockets) if sockets else None
        if self._stream is not None:
            self._stream.protocol_of = self._connection
        self._fifo = fifo
        self._requests = bytearray()
        self._task: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        return self._task is None and self.slots.clients == 0

    async def open(self) -> None:
        if self._stream is not None:
            await self._stream.open()
        if self._fifo is not None:
            self.loop.add_reader(self._fifo, self._readable)

    def close(self) -> None:
        super().close()
        if self._stream is not None:
            self._stream.close()
        if self._fifo is not None:
            self.loop.remove_reader(self._fifo)

    def requested(self, requests: bytes) -> None:
        self._requests += requests
        if self._task is None and self._requests:
            self._task = self.loop.create_task(self._work())

    def _connection(self, release: Callable[[], None]) -> asyncio.BaseProtocol:
        return _TriggerConnection(self.requested, release)

    def _readable(self) -> None:
        assert self._fifo is not None
        with contextlib.suppress(BlockingIOError):
            self.requested(os.read(self._fifo, TRIGGER_LIMIT))

    async def _work(self) -> None:
        while self._requests:
            requests = bytes(self._requests)
            self._requests.clear()
            try:
                await self.service.triggered(requests)
            except Exception as reason:
                log.error(f"request failed: {describe(reason)}")
        self._task = None
        self.served()


class _TriggerConnection(asyncio.Protocol):
    """One connection with trigger requests; closed after the first batch, as the sender expects no answer."""

    TIMEOUT = 10.0

    def __init__(self, requested: Callable[[bytes], None], release: Callable[[], None]) -> None:
        self._requested = requested
        self._release = release
        self._timer: asyncio.TimerHandle | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(self.TIMEOUT, transport.close)

    def data_received(self, data: bytes) -> None:
        self._requested(data[:TRIGGER_LIMIT])
        self._transport.close()

    def connection_lost(self, reason: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._release()


class DatagramDoor(Door):
    """Packets."""

    def __init__(self, *arguments: Any, sockets: list[socket.socket]) -> None:
        super().__init__(*arguments)
        self._sockets = sockets

    async def open(self) -> None:
        for listening in self._sockets:
            listening.setblocking(False)
            self.loop.add_reader(listening.fileno(), self._readable, listening)

    def close(self) -> None:
        super().close()
        for listening in self._sockets:
            self.loop.remove_reader(listening.fileno())
            self._readable(listening)  # what has been sent is not to wait for the next process

    def _readable(self, listening: socket.socket) -> None:
        for _ in range(PACKETS_A_TURN):
            try:
                packet = listening.recv(PACKET_LIMIT)
            except (BlockingIOError, InterruptedError):
                break
            try:
                self.service.datagram(packet)
            except Exception as reason:
                log.error(f"packet lost: {describe(reason)}")
        self.served()


def explain(reason: Exception) -> str:
    """An error for the administrator: what failed and why, without the number of the error."""
    if isinstance(reason, OSError) and reason.strerror:
        return f"{reason.filename}: {reason.strerror}" if reason.filename else reason.strerror
    return str(reason)


def describe(reason: BaseException) -> str:
    """An exception in one line: what, and where in the program."""
    where = ""
    trace = reason.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is not None:
        where = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
    return f"{type(reason).__name__}: {reason}{where}" if str(reason) else f"{type(reason).__name__}{where}"
