"""What a stream does with peers that do not play along."""

from __future__ import annotations

import asyncio
import socket
from collections import deque

import pytest

from estafeta.net import stream as module
from estafeta.net.stream import LineTooLong, Stream


def test_a_peer_that_never_reads_keeps_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed connection waits for what it still has to say, but not for ever."""
    monkeypatch.setattr(module, "LAST_WORDS", 0.05)

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        made: list[Stream] = []
        closed = asyncio.Event()
        server = await loop.create_server(lambda: Stream(made.append, closed.set), "127.0.0.1", 0)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.setblocking(False)
            await loop.sock_connect(client, server.sockets[0].getsockname())
            while not made:
                await asyncio.sleep(0)
            made[0].write(b"x" * 30_000_000)
            made[0].close()
            await closed.wait()
        server.close()

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_the_rest_of_a_long_line_is_recorded_nowhere() -> None:
    async def scene() -> None:
        stream = Stream()
        stream.record = recorded = deque()
        for piece in (b"AUTH x " + b"a" * 20, b"secret" * 10, b"secret\r\nNOOP\r\n"):
            stream.data_received(piece)
        with pytest.raises(LineTooLong):
            await stream.line(10)
        await stream.skip_line()
        assert await stream.line(10) == b"NOOP\r\n"
        assert list(recorded) == [b"AUTH x aaa", b"NOOP\r\n"]

    asyncio.run(scene())
