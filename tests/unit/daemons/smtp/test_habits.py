"""What is looked up about single servers, and what the log says of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from estafeta.config.instance import Config
from estafeta.daemons.smtp.errors import NoTable
from estafeta.daemons.smtp.habits import Habits
from estafeta.daemons.smtp.mx import Server

HERE = "192.0.2.1"


def habits(*, lmtp: bool = False, verbose: bool = False, **settings: Any) -> Habits:
    conf = Config.for_test(**settings)
    return Habits(conf, conf.client("lmtp" if lmtp else "smtp"), lmtp=lmtp, verbose=verbose)


def discards(found: Habits) -> frozenset[str]:
    return asyncio.run(found.discards(HERE, "Q1"))


def workarounds(found: Habits, age: float = 10_000) -> frozenset[str]:
    import time

    return asyncio.run(found.workarounds(HERE, "Q1", time.time() - age))


def test_keywords_are_named_in_one_order(said: list[str]) -> None:
    assert discards(habits(smtp_discard_ehlo_keywords="dsn, Size x-own")) == {"DSN", "SIZE", "X-OWN"}
    assert said == ["discarding EHLO keywords: SIZE DSN"]


def test_silent_discard_and_nothing_to_discard_are_silent(said: list[str]) -> None:
    discards(habits(smtp_discard_ehlo_keywords="dsn, silent-discard"))
    discards(habits())
    discards(habits(smtp_discard_ehlo_keywords="x-own"))
    assert said == []


def test_the_servers_own_entry_counts() -> None:
    settings = {
        "lmtp_discard_lhlo_keywords": "dsn",
        "lmtp_discard_lhlo_keyword_address_maps": f"inline:{{{HERE}=size}}",
    }
    assert discards(habits(lmtp=True, **settings)) == {"SIZE"}


def test_a_table_that_fails_stops_the_conversation(said: list[str]) -> None:
    with pytest.raises(NoTable):
        discards(habits(smtp_discard_ehlo_keyword_address_maps="fail:x"))
    assert said[-1] == f"Q1: smtp_discard_ehlo_keyword_address_maps map lookup error for {HERE}"
    with pytest.raises(NoTable):
        workarounds(habits(smtp_pix_workaround_maps="fail:x"))


def test_workarounds() -> None:
    assert workarounds(habits()) == {"disable_esmtp", "delay_dotcrlf"}
    assert workarounds(habits(), age=10) == {"disable_esmtp"}
    assert workarounds(habits(smtp_pix_workarounds="")) == set()
    assert workarounds(habits(smtp_pix_workaround_maps="static:DELAY_dotcrlf, odd")) == {"delay_dotcrlf"}


def test_a_workaround_that_is_none_is_told(said: list[str]) -> None:
    assert workarounds(habits(smtp_pix_workarounds="delay_dotcrlf, bogus")) == {"delay_dotcrlf"}
    assert len(said) == 1
    assert "smtp_pix_workarounds: unknown word 'bogus', it has no effect" in said[0]


def test_replies_are_left_alone_without_a_filter() -> None:
    assert habits().rewriting("mx[1]:25") is None


def test_a_filter_says_what_it_does(said: list[str]) -> None:
    rewrite = habits(smtp_reply_filter="inline:{{250 a = 250 b}}").rewriting("mx[1]:25")
    assert rewrite is not None
    assert rewrite("250 x") is None
    assert said == []


@pytest.mark.parametrize(
    ("listed", "watched"),
    [("", False), ("mx.example", True), ("192.0.2.0/24", True), ("example", False), (".example", True)],
)
def test_who_is_watched(listed: str, watched: bool) -> None:
    server = Server("mx.example", HERE, 25)
    settings = {"debug_peer_list": listed, "parent_domain_matches_subdomains": ""}
    assert asyncio.run(habits(**settings).watched(server)) == watched


def test_all_are_watched_by_a_verbose_service() -> None:
    assert asyncio.run(habits(verbose=True).watched(Server("mx.example", HERE, 25)))


def test_a_list_that_fails_watches_nobody(said: list[str]) -> None:
    assert not asyncio.run(habits(debug_peer_list="fail:x").watched(Server("mx.example", HERE, 25)))
    assert said
