"""DNS lists: what is asked, and which answers count."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.support.dns_server import DnsServer

from estafeta.base import log
from estafeta.net.dns import DnsDown, Resolver
from estafeta.net.dnsbl import DnsLists, Reply, ReplyPattern, SiteError, parse_site, reversed_address

ZONE: dict[str, Any] = {
    "2.0.0.127.bl.example": {"A": ["127.0.0.2", "127.0.0.10"], "TXT": ['"see " "https://bl.example"']},
    "9.0.0.127.bl.example": {"A": ["127.255.255.254"]},
    "8.0.0.127.bl.example": "SERVFAIL",
    "bad.example.dbl.example": {"A": ["127.0.1.2"]},
    "bl.example": {"A": ["192.0.2.1"]},
}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def ask(work: Callable[[DnsLists], Awaitable[Any]], clock: Clock | None = None) -> Any:
    async def main() -> Any:
        with DnsServer(ZONE, ttl=300, negative_ttl=60) as server:
            resolver = Resolver(nameservers=[server.address], timeout=1, attempts=1)
            try:
                async with asyncio.timeout(20):
                    return await work(DnsLists(resolver, clock=clock or Clock()))
            finally:
                await resolver.close()

    return asyncio.run(main())


@pytest.fixture
def lines() -> Any:
    kept: list[tuple[int, str]] = []
    before = log.install(lambda level, text, program: kept.append((level, text)))
    yield kept
    log.install(before)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("127.0.0.2", ["127.0.0.2"], ["127.0.0.3", "127.0.1.2", "2001:db8::1", "127.0.0", "127.0.0.2.1"]),
        ("127.0.0.[1..5;7]", ["127.0.0.1", "127.0.0.5", "127.0.0.7"], ["127.0.0.6", "127.0.0.0", "127.0.0.8"]),
        ("127.[0;255].[0..255].4", ["127.0.9.4", "127.255.255.4"], ["127.1.0.4"]),
        ("127.0.0.[3]", ["127.0.0.3"], ["127.0.0.33"]),
    ],
)
def test_a_pattern_matches_numbers_and_ranges(pattern: str, yes: list[str], no: list[str]) -> None:
    compiled = ReplyPattern(pattern)
    assert [one for one in yes + no if compiled.matches(one)] == yes


@pytest.mark.parametrize(
    "text",
    ["", "127.0.0", "127.0.0.256", "127.0.0.[5..2]", "127.0.0.[]", "127.0.0.[1", "127.0.0.1]", "127.0.0.1.2", "a.b.c.d",
     "127.0.0.-1", "127.0.0.[1...3]", "127..0.1", "127.0.0.٣", "127.0.0.1 "],
)  # fmt: skip
def test_a_bad_pattern_is_refused(text: str) -> None:
    with pytest.raises(SiteError):
        ReplyPattern(text)


def test_an_entry_has_domain_pattern_and_weight() -> None:
    site = parse_site("List.Example.=127.0.0.[2..3]*-4", weighted=True)
    assert (site.domain, site.pattern and site.pattern.text, site.weight) == ("list.example", "127.0.0.[2..3]", -4)
    assert parse_site("list.example", weighted=True) == ("list.example", None, 1)
    assert parse_site("list.example*+2", weighted=True).weight == 2


@pytest.mark.parametrize("text", ["a*", "a*x", "a*1*2", "a=*1", "=127.0.0.1", "", "a b", "-a.example", "a*1.5"])
def test_a_bad_entry_is_refused(text: str) -> None:
    with pytest.raises(SiteError):
        parse_site(text, weighted=True)


def test_a_restriction_takes_no_weight() -> None:
    with pytest.raises(SiteError):
        parse_site("list.example*2")


def test_addresses_are_reversed() -> None:
    assert reversed_address("192.0.2.1") == "1.2.0.192"
    # The example of RFC 5782 2.4.
    assert reversed_address("2001:db8:1:2:3:4:567:89ab") == (
        "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2"
    )
    with pytest.raises(ValueError, match="not an IP"):
        reversed_address("host")


def test_a_listing_and_its_reason() -> None:
    async def work(lists: DnsLists) -> Any:
        return (
            await lists.listed("2.0.0.127", parse_site("bl.example")),
            await lists.listed("2.0.0.127", parse_site("bl.example=127.0.0.10")),
            await lists.listed("2.0.0.127", parse_site("bl.example=127.0.0.3")),
            await lists.listed("bad.example", parse_site("dbl.example")),
            await lists.text("2.0.0.127", "bl.example"),
            await lists.text("3.0.0.127", "bl.example"),
        )

    any_record, one, none, domain, text, no_text = ask(work)
    assert any_record == Reply(("127.0.0.2", "127.0.0.10"), 300)
    assert one is not None and one.addresses == any_record.addresses
    assert none is None
    assert domain is not None
    assert (text, no_text) == ("see https://bl.example", "")


def test_not_listed_is_known_for_as_long_as_the_zone_says() -> None:
    async def work(lists: DnsLists) -> Any:
        return await lists.ask("1.2.3.4", "bl.example"), await lists.ask("1.2.3.4", "bl.example")

    assert ask(work) == (Reply((), 60), Reply((), 60))


def test_a_name_that_cannot_be_asked_is_not_listed() -> None:
    async def work(lists: DnsLists) -> Any:
        return await lists.ask("bad domain!", "dbl.example"), await lists.ask("x" * 70, "dbl.example")

    assert ask(work) == (Reply((), -1), Reply((), -1))


def test_no_answer_is_later() -> None:
    async def work(lists: DnsLists) -> Any:
        await lists.listed("8.0.0.127", parse_site("bl.example"))

    with pytest.raises(DnsDown):
        ask(work)


def test_an_error_code_is_no_listing_and_warns_now_and_then(lines: Any) -> None:
    clock = Clock()
    site = parse_site("bl.example")

    async def work(lists: DnsLists) -> Any:
        found = [await lists.listed("9.0.0.127", site), await lists.listed("9.0.0.127", site)]
        clock.now += 301
        return [*found, await lists.listed("9.0.0.127", site)]

    assert ask(work, clock) == [None, None, None]
    assert [level for level, _ in lines] == [log.WARNING] * 2
    assert all("bl.example" in text and "127.255.255.254" in text for _, text in lines)


def test_a_filter_may_ask_for_error_codes(lines: Any) -> None:
    async def work(lists: DnsLists) -> Any:
        return await lists.listed("9.0.0.127", parse_site("bl.example=127.255.255.[250..255]"))

    assert ask(work) == Reply(("127.255.255.254",), 300)
    assert not lines
