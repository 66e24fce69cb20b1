"""A process that ends lets nobody fall: who is not served by it still waits for the next one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from estafeta.services import passed
from estafeta.skeleton.accept import PassDoor, StreamDoor
from estafeta.skeleton.slots import Pot, Slots


class Served(asyncio.Protocol):
    """Greets, and is a client until it is gone."""

    def __init__(self, release: Callable[[], None]) -> None:
        self.release = release

    def connection_made(self, transport: Any) -> None:
        transport.write(b"220\r\n")

    def connection_lost(self, reason: Exception | None) -> None:
        self.release()


SERVICE: Any = SimpleNamespace(client=Served, passed=lambda release, origin: Served(release))


def run(work: Coroutine[Any, Any, None]) -> None:
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(asyncio.wait_for(work, 20))
    finally:
        loop.close()


@pytest.fixture
def listening() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


async def several_turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_comes_as_a_process_ends_is_left_to_the_next_one(listening: socket.socket) -> None:
    """Its socket is with master, too: whom it accepts after it has looked whether it is idle, nobody would serve."""

    async def work() -> None:
        slots = Slots()
        door = StreamDoor(SERVICE, slots, lambda: None, lambda busy: None, sockets=[listening.dup()])
        await door.open()
        door.close()
        with socket.create_connection(listening.getsockname()):
            await several_turns()
            assert door.idle
            listening.setblocking(False)
            listening.accept()[0].close()  # still there

    run(work())


def test_who_was_let_in_beyond_all_places_just_before_is_served(listening: socket.socket) -> None:
    async def work() -> None:
        pot = Pot(1, 2)
        other = Slots(0, pot, 1)
        assert other.take()  # a sibling has the only place
        slots = Slots(0, pot, 0)
        door = StreamDoor(SERVICE, slots, lambda: None, lambda busy: None, sockets=[listening.dup()])
        made = _closing_on_arrival(door)
        await door.open()
        with socket.create_connection(listening.getsockname(), timeout=10) as client:
            await made.wait()
            await asyncio.sleep(0)
            assert not door.idle
            assert await asyncio.to_thread(client.recv, 10) == b"220\r\n"
        pot.close()

    run(work())


def _closing_on_arrival(door: StreamDoor) -> asyncio.Event:
    """Have the door close in the turn in which somebody is accepted; set once it has."""
    arrived, done = door._arrived, asyncio.Event()

    def closing(origin: Any = None) -> asyncio.BaseProtocol:
        protocol = arrived(origin)

        def close() -> None:
            door.close()
            done.set()

        door.loop.call_soon(close)
        return protocol

    door._arrived = closing  # type: ignore[method-assign]
    return done


def test_who_is_being_passed_on_as_a_process_ends_is_served(tmp_path: Any) -> None:
    """The link is accepted, the connection has not come over it yet."""
    path = str(tmp_path / "pass")
    held = socket.socket(socket.AF_UNIX)
    held.bind(path)
    held.listen()
    held.setblocking(False)

    async def work() -> None:
        slots, freed = Slots(), asyncio.Event()
        door = PassDoor(SERVICE, slots, freed.set, lambda busy: None, sockets=[held.dup()])
        await door.open()
        here, there = socket.socketpair()
        with socket.socket(socket.AF_UNIX) as link, here:
            link.connect(path)
            await several_turns()
            door.close()
            assert not door.idle
            _pass(link, there)
            assert await asyncio.to_thread(here.recv, 10) == b"220\r\n"
            assert not door.idle
        await freed.wait()
        assert door.idle

    run(work())
    held.close()


def _pass(link: socket.socket, connection: socket.socket) -> None:
    with connection:
        passed.send(link, connection.fileno(), passed.Origin("192.0.2.1", "1"))
