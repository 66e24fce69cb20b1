"""Idle connections: who gets them, and when they are let go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from estafeta.daemons.smtp.connection import Connection, Manner
from estafeta.daemons.smtp.mx import Server
from estafeta.daemons.smtp.pool import Pool
from estafeta.net.stream import Stream

HOST = Server("mx.example", "192.0.2.1", 25)
OTHER = Server("other.example", "192.0.2.2", 25)


class FakeStream:
    def __init__(self) -> None:
        self.gone = False
        self.pending = False
        self.timeout = 0.0
        self.sent = b""

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.gone = True

    abort = close


def connection(server: Server = HOST, *, uses: int = 1, age: float = 0.0) -> Connection:
    opened = asyncio.get_running_loop().time() - age
    made = Connection(cast(Stream, FakeStream()), server, opened)
    made.uses = uses
    return made


def with_pool(scene: Callable[[Pool], Awaitable[None]], **limits: Any) -> None:
    async def run() -> None:
        manner = Manner(lmtp=False, helo_name="h", myhostname="h")
        pool = Pool(manner, **({"idle": 60, "age": 300, "uses": 0} | limits))
        await scene(pool)
        await pool.close()
        assert len(pool) == 0

    asyncio.run(run())


def test_by_next_hop_and_by_server() -> None:
    async def scene(pool: Pool) -> None:
        first, second = connection(), connection(OTHER)
        assert pool.give(first, "a.example") and pool.give(second, "b.example")
        assert pool.take("c.example") is None
        assert pool.take("a.example") is first
        assert pool.take("a.example") is None
        assert pool.take_for(HOST) is None
        assert pool.take_for(OTHER) is second
        assert pool.take("b.example") is None

    with_pool(scene)


def test_the_freshest_first() -> None:
    async def scene(pool: Pool) -> None:
        old, new = connection(), connection()
        pool.give(old, "a.example")
        pool.give(new, "a.example")
        assert pool.take("a.example") is new

    with_pool(scene)


def test_limits_of_age_and_use() -> None:
    async def scene(pool: Pool) -> None:
        assert not pool.give(connection(age=11), "a.example")
        assert not pool.give(connection(uses=4), "a.example")
        assert pool.give(connection(uses=3, age=9), "a.example")  # used again twice

    with_pool(scene, age=10, uses=3)


def test_dead_ones_are_passed_over() -> None:
    async def scene(pool: Pool) -> None:
        alive, closed, talking = connection(), connection(), connection()
        for each in (alive, closed, talking):
            pool.give(each, "a.example")
        cast(FakeStream, closed.stream).gone = True
        cast(FakeStream, talking.stream).pending = True  # a 421, most likely
        assert pool.take("a.example") is alive
        assert talking.stream.gone

    with_pool(scene)


def test_unsound_is_not_kept() -> None:
    async def scene(pool: Pool) -> None:
        broken = connection()
        broken.sound = False
        assert not pool.give(broken, "a.example")

    with_pool(scene)


def test_closing_says_goodbye() -> None:
    kept: list[Connection] = []

    async def scene(pool: Pool) -> None:
        kept.append(connection())
        pool.give(kept[0], "a.example")

    with_pool(scene)
    assert cast(FakeStream, kept[0].stream).sent == b"QUIT\r\n"
    assert kept[0].stream.gone
