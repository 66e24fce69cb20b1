"""The DNSBL score: weights, filters, who is blamed, how long it counts; lists that are down count nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.dns_server import DnsServer
from tests.talk.stage import logged

from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError
from estafeta.daemons.postscreen.rank import Rank, Ranks
from estafeta.daemons.postscreen.visitor import Visitor
from estafeta.net.dns import Resolver

ZONE: dict[str, Any] = {
    "2.0.0.127.one.example": {"A": ["127.0.0.2"]},
    "2.0.0.127.secret.two.example": {"A": ["127.0.0.4", "127.0.0.9"]},
    "2.0.0.127.good.example": {"A": ["127.0.0.1"]},
    "2.0.0.127.sick.example": {"A": ["127.255.255.254"]},
    "2.0.0.127.down.example": "SERVFAIL",
}


def visitor() -> Visitor:
    made = Visitor(None, lambda: None)  # type: ignore[arg-type]
    made.address = "127.0.0.2"
    return made


def look(sites: str, check: Callable[[Ranks, Rank], Any] | None = None, **settings: str) -> Rank:
    """The score when all lists have answered two clients from one address."""

    async def main() -> Rank:
        with DnsServer(ZONE, ttl=500, negative_ttl=90) as server:
            resolver = Resolver(nameservers=[server.address], timeout=1, attempts=1)
            told: list[Visitor] = []
            both = asyncio.Event()

            def done(who: Visitor) -> None:
                told.append(who)
                if len(told) == 2:
                    both.set()

            ranks = Ranks(Config.for_test(postscreen_dnsbl_sites=sites, **settings), resolver, done)
            first, second = visitor(), visitor()
            rank = ranks.ask(first)
            assert ranks.ask(second) is rank
            await asyncio.wait_for(both.wait(), 10)
            assert told == [first, second]
            assert rank.done
            asked = server.asked
            assert len(asked) == len(set(asked))
            if check is not None:
                found = check(ranks, rank)
                if asyncio.iscoroutine(found):
                    await found
            await resolver.close()
            return rank

    return asyncio.run(main())


def test_weights_are_added_and_the_heaviest_list_is_blamed() -> None:
    with logged() as lines:
        rank = look("one.example, secret.two.example=127.0.0.[3..5]*3, good.example*-2, none.example*9")
    assert (rank.score, rank.blamed) == (2, "secret.two.example")
    assert {line for line in lines if "listed by" in line} == {
        "addr 127.0.0.2 listed by domain one.example as 127.0.0.2",
        "addr 127.0.0.2 listed by domain secret.two.example as 127.0.0.4",
        "addr 127.0.0.2 listed by domain secret.two.example as 127.0.0.9",
        "addr 127.0.0.2 listed by domain good.example as 127.0.0.1",
    }


def test_a_list_may_stand_there_twice_with_different_filters() -> None:
    rank = look("secret.two.example=127.0.0.4*2, secret.two.example=127.0.0.9*5, secret.two.example=127.0.0.1*9")
    assert rank.score == 7


def test_a_list_that_is_down_or_answers_with_an_error_counts_nothing() -> None:
    with logged() as lines:
        rank = look("down.example*5, sick.example*5, one.example")
    assert rank.score == 1
    assert sum("dnsblog_query: lookup error for DNS query 2.0.0.127.down.example" in line for line in lines) == 1
    assert sum("DNS list sick.example answers with the error code 127.255.255.254" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("sites", "least", "most", "expected"),
    [
        ("one.example", "60s", "1h", 500),
        ("one.example none.example", "60s", "1h", 90),
        ("none.example", "120s", "1h", 120),
        ("one.example", "60s", "100s", 100),
        ("down.example", "77s", "1h", 77),
    ],
)
def test_it_counts_for_as_long_as_the_lists_say_within_limits(sites: str, least: str, most: str, expected: int) -> None:
    def check(ranks: Ranks, rank: Rank) -> None:
        assert expected - 1 <= ranks.life(rank) <= expected

    look(sites, check, postscreen_dnsbl_min_ttl=least, postscreen_dnsbl_max_ttl=most)


def test_the_name_of_a_list_may_be_another_one_to_clients() -> None:
    async def mapped(ranks: Ranks, rank: Rank) -> None:
        assert await ranks.shown("secret.two.example") == "two.example"
        assert await ranks.shown("one.example") == "one.example"

    look("one.example", mapped, postscreen_dnsbl_reply_map="inline:{secret.two.example=two.example}")

    async def down(ranks: Ranks, rank: Rank) -> None:
        assert await ranks.shown("secret.two.example") == ""

    look("one.example", down, postscreen_dnsbl_reply_map="fail:x")


def test_a_bad_entry_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match="postscreen_dnsbl_sites: bad weight"):
        Ranks(Config.for_test(postscreen_dnsbl_sites="one.example*x"), Resolver(nameservers=[]), lambda who: None)
