"""A process asks anvil: who is counted when either of them goes, and what happens when it cannot be asked."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.anvil import Anvil

from estafeta.config.instance import Config
from estafeta.services.anvil import CONNECTION, MESSAGE, AnvilClient, Rates

ONE = "smtp:192.0.2.1"


def talk(tmp_path: Path, work: Callable[[Anvil], Awaitable[Any]], **settings: str) -> None:
    async def run() -> None:
        anvil = Anvil(Config.for_test(data_directory=str(tmp_path), **settings))
        await anvil.service.open()
        await anvil.service.start()
        await work(anvil)
        await anvil.service.stop()

    asyncio.run(run())


async def arrive(client: AnvilClient, ident: str = ONE) -> tuple[int, int] | None:
    return pair(await client.rates(client.arrive(ident)))


async def event(client: AnvilClient, ident: str, kind: int, amount: int = 1) -> tuple[int, int] | None:
    return pair(await client.event(ident, kind, amount))


def pair(known: Rates | None) -> tuple[int, int] | None:
    """(connections, rate)"""
    return None if known is None else (known.count, known.rate)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_processes_share_the_counts(tmp_path: Path) -> None:
    async def work(anvil: Anvil) -> None:
        here, there = AnvilClient(connect=anvil.connect), AnvilClient(connect=anvil.connect)
        assert await arrive(here) == (1, 1)
        assert await arrive(there) == (2, 2)
        assert await event(here, ONE, MESSAGE) == (2, 1)
        assert await event(there, ONE, MESSAGE, 2) == (2, 3)

    talk(tmp_path, work)


def test_a_process_that_dies_gives_its_connections_back(tmp_path: Path) -> None:
    async def work(anvil: Anvil) -> None:
        here, there = AnvilClient(connect=anvil.connect), AnvilClient(connect=anvil.connect)
        for _ in range(3):
            await arrive(here)
        assert await arrive(there) == (4, 4)
        here.close()  # nobody said that its clients left
        await settle()
        assert await arrive(there) == (2, 5)

    talk(tmp_path, work)


def test_who_leaves_is_not_counted_any_more_and_leaving_asks_for_no_answer(tmp_path: Path) -> None:
    async def work(anvil: Anvil) -> None:
        client = AnvilClient(connect=anvil.connect)
        visit = client.arrive(ONE)
        await client.rates(visit)
        client.leave(visit)
        client.leave(visit)
        await settle()
        assert await arrive(client) == (1, 2)

    talk(tmp_path, work)


def test_who_leaves_before_the_answer_is_not_counted_either(tmp_path: Path) -> None:
    async def work(anvil: Anvil) -> None:
        client = AnvilClient(connect=anvil.connect)
        client.leave(client.arrive(ONE))  # not even connected yet
        await settle()
        assert await arrive(client) == (1, 1)
        client.leave(client.arrive(ONE))  # said, and taken back
        await settle()
        assert await arrive(client) == (2, 3)

    talk(tmp_path, work)


def test_a_new_anvil_is_told_which_connections_there_are(tmp_path: Path) -> None:
    async def work(anvil: Anvil) -> None:
        client = AnvilClient(connect=anvil.connect)
        visits = [client.arrive(ONE) for _ in range(3)]
        for visit in visits:
            await client.rates(visit)
        anvil.hang_up()
        await settle()
        client.leave(visits[0])  # while nobody is there
        assert await event(client, ONE, MESSAGE) == (2, 1)
        client.leave(visits[1])
        await settle()
        assert await arrive(client) == (2, 4)

    talk(tmp_path, work)


def test_it_is_told_though_nobody_comes_any_more(tmp_path: Path) -> None:
    async def work(anvil: Anvil) -> None:
        leaving, another = AnvilClient(connect=anvil.connect), AnvilClient(connect=anvil.connect)
        await arrive(leaving)
        anvil.hang_up()
        await settle()
        assert await arrive(another) == (2, 2)

    talk(tmp_path, work)


def test_a_question_that_is_under_way_when_anvil_goes_is_asked_again(tmp_path: Path) -> None:
    async def work(anvil: Anvil) -> None:
        client = AnvilClient(connect=anvil.connect)
        await client.event(ONE, MESSAGE)
        anvil.deaf = True
        visit = client.arrive(ONE)
        await settle()
        anvil.deaf = False
        anvil.hang_up()
        assert pair(await client.rates(visit)) == (1, 1)
        assert await event(client, ONE, CONNECTION, 0) == (1, 1)

    talk(tmp_path, work)


def test_one_error_and_then_a_pause_in_which_nobody_waits(tmp_path: Path) -> None:
    async def work(anvil: Anvil) -> None:
        client = AnvilClient(connect=anvil.connect)
        anvil.down = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        with pytest.raises(ConnectionRefusedError) as error:
            await arrive(client)
        assert error.value.filename == "private/anvil"
        anvil.down = None
        assert await arrive(client) is None
        assert await client.event(ONE, MESSAGE) is None
        assert anvil.asked == 0

    talk(tmp_path, work)


def test_an_anvil_that_does_not_answer_is_hung_up_on(tmp_path: Path) -> None:
    async def work(anvil: Anvil) -> None:
        client = AnvilClient(timeout=0.01, connect=anvil.connect)
        assert await arrive(client) == (1, 1)
        anvil.deaf = True
        with pytest.raises(TimeoutError) as error:
            await arrive(client)
        assert (error.value.filename, error.value.errno) == ("private/anvil", errno.ETIMEDOUT)
        await settle()
        assert anvil.links[0].closed

    talk(tmp_path, work)


def test_users_are_counted_for_all_processes(tmp_path: Path) -> None:
    async def work(anvil: Anvil) -> None:
        here, there = AnvilClient(connect=anvil.connect), AnvilClient(connect=anvil.connect)
        await here.sending("ana", 2, 1, 0, anyway=True)
        known = await there.sending("ana", 3, 1, 0, anyway=True)
        assert known is not None
        assert (known.messages, known.recipients, known.first, known.unit) == (2, 5, True, 3600)

    talk(tmp_path, work)
