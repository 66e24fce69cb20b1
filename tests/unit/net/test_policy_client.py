"""Connections to a policy server: who gets which, and what is done when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.policy_server import PolicyServer, parse_rules

from estafeta.net.dns import Resolver
from estafeta.net.policy_client import PolicyClient, PolicyDown, PolicyService

SETTINGS: dict[str, Any] = {
    "host": "",
    "port": 0,
    "timeout": 5.0,
    "max_idle": 300.0,
    "max_ttl": 1000.0,
    "request_limit": 0,
    "try_limit": 2,
    "retry_delay": 0.0,
    "default_action": "DEFER",
    "policy_context": "",
}


class Letter:
    """Something that requests are about."""


def with_server(
    tmp_path: Path, rules: list[str], work: Callable[[PolicyClient, PolicyServer], Awaitable[None]], **settings: Any
) -> None:
    async def whole() -> None:
        path = str(tmp_path / "policy")
        server = PolicyServer(parse_rules(rules))
        listening = await asyncio.start_unix_server(server.serve, path)
        client = PolicyClient(PolicyService(f"unix:{path}", path, **SETTINGS | settings), Resolver())
        try:
            await work(client, server)
        finally:
            client.close()
            listening.close()

    asyncio.run(asyncio.wait_for(whole(), 30))


def request(name: str = "x") -> bytes:
    return f"request=smtpd_access_policy\nsender={name}\n\n".encode()


def test_requests_about_one_letter_share_a_connection(tmp_path: Path) -> None:
    async def work(client: PolicyClient, server: PolicyServer) -> None:
        first, second = Letter(), Letter()
        for letter in (first, second, first, second, first):
            assert await client.ask(request(), letter) == "DUNNO"
        assert server.connections == 2
        del first, letter
        await client.ask(request(), Letter())
        assert server.connections == 2  # that of the letter that is gone

    with_server(tmp_path, [], work)


def test_many_at_once(tmp_path: Path) -> None:
    async def work(client: PolicyClient, server: PolicyServer) -> None:
        letters = [Letter() for _ in range(300)]
        answers = await asyncio.gather(*(client.ask(request(str(n)), letter) for n, letter in enumerate(letters)))
        assert set(answers) == {"DUNNO"}
        assert sorted(int(asked["sender"]) for asked in server.requests) == list(range(300))
        assert server.connections <= 300

    with_server(tmp_path, [], work)


def test_a_connection_serves_no_more_than_its_limit(tmp_path: Path) -> None:
    async def work(client: PolicyClient, server: PolicyServer) -> None:
        letter = Letter()
        for _ in range(4):
            await client.ask(request(), letter)
        assert server.connections == 2

    with_server(tmp_path, [], work, request_limit=2)


@pytest.mark.parametrize("limit", ["max_idle", "max_ttl"])
def test_an_old_connection_is_replaced(tmp_path: Path, limit: str) -> None:
    async def work(client: PolicyClient, server: PolicyServer) -> None:
        letter = Letter()
        for _ in range(2):
            await client.ask(request(), letter)
        assert server.connections == 2

    with_server(tmp_path, [], work, **{limit: 0.0})


def test_a_server_that_hangs_up_is_asked_again(tmp_path: Path) -> None:
    async def work(client: PolicyClient, server: PolicyServer) -> None:
        assert await client.ask(request(), Letter()) == "OK"

    with_server(tmp_path, ["*:DROP|OK"], work)


@pytest.mark.parametrize(
    "reply", ["DROP", "STALL", "GARBAGE=hello\\n\\n", "GARBAGE=" + "x" * 30000, "GARBAGE=a=b\\n" * 99]
)
def test_a_server_that_makes_no_sense_is_down(tmp_path: Path, reply: str) -> None:
    async def work(client: PolicyClient, server: PolicyServer) -> None:
        with pytest.raises(PolicyDown):
            await client.ask(request(), Letter())

    with_server(tmp_path, [f"*:{reply}"], work, timeout=0.2)


def test_no_server_at_all(tmp_path: Path) -> None:
    async def whole() -> None:
        client = PolicyClient(PolicyService("unix:x", str(tmp_path / "nothing"), **SETTINGS), Resolver())
        with pytest.raises(PolicyDown, match="No such file"):
            await client.ask(request(), Letter())

    asyncio.run(whole())


def test_every_address_of_the_host_is_tried() -> None:
    async def whole() -> None:
        server = PolicyServer(parse_rules([]))
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        service = PolicyService(f"inet:policy.test:{port}", "", **SETTINGS | {"host": "policy.test", "port": port})
        client = PolicyClient(service, Hosts(), family=4)
        assert await client.ask(request(), Letter()) == "DUNNO"
        client.close()
        listening.close()

    asyncio.run(asyncio.wait_for(whole(), 30))


class Hosts(Resolver):
    """Knows one host, whose first address has no policy server."""

    async def native(self, host: str, *, family: int = 0) -> list[str]:
        assert (host, family) == ("policy.test", 4)
        return ["127.0.0.3", "127.0.0.1"]


def test_many_requests_leave_one_timer(tmp_path: Path) -> None:
    """A request that left a timer for five minutes would be hundreds of thousands on a busy server."""

    async def work(client: PolicyClient, server: PolicyServer) -> None:
        loop = asyncio.get_running_loop()
        letter = Letter()
        for _ in range(50):
            await client.ask(request(), letter)
        waiting = [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        assert sum("PolicyClient" in repr(timer) for timer in waiting) == 1

    with_server(tmp_path, [], work)


def test_thousands_wait_for_a_server_that_never_answers(tmp_path: Path) -> None:
    """They have so many connections between them, each has its deadline, and nothing is left over."""

    async def work(client: PolicyClient, server: PolicyServer) -> None:
        letters = [Letter() for _ in range(2000)]
        asked = [asyncio.create_task(client.ask(request(), letter)) for letter in letters]
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(each) for each in done} == {PolicyDown}
        assert server.connections < len(letters) // 2  # who comes to a place late has no time left
        assert not client._places.locked()
        assert not client._idle

    with_server(tmp_path, ["*:STALL"], work, timeout=1.0, try_limit=1)
