"""Filters of DNS replies: postconf(5), smtp_dns_reply_filter."""

from __future__ import annotations

import asyncio

import pytest

from estafeta.net.dns import Answer, DnsDown, Dropped
from estafeta.tables.dns_filter import DnsReplyFilter

MX = Answer("a.test", "b.test", "MX", ("10 one.test", "20 two.test"), 300)
A = Answer("a.test", "a.test", "A", ("192.0.2.1",), 60)


def filtered(table: str, answer: Answer) -> Answer:
    found = DnsReplyFilter.open([table], name="x_dns_reply_filter")
    assert found is not None
    return asyncio.run(found(answer))


def test_without_tables_there_is_none() -> None:
    assert DnsReplyFilter.open((), name="x") is None


def test_a_record_is_dropped_by_its_whole_text(said: list[str]) -> None:
    assert filtered("inline:{{b.test. 300 in mx 10 one.test. = ignore}}", MX).records == ("20 two.test",)
    assert said == ["ignoring DNS RR: b.test. 300 IN MX 10 one.test."]


def test_addresses_have_no_dot() -> None:
    with pytest.raises(Dropped, match="type=A: DNS reply filter drops all results"):
        filtered("inline:{{a.test. 60 in a 192.0.2.1 = IGNORE}}", A)


def test_what_matches_nothing_is_untouched(said: list[str]) -> None:
    assert filtered("inline:{{x=IGNORE}}", MX) is MX
    assert said == []


@pytest.mark.parametrize("table", ["static:drop", "fail:x"])
def test_an_unknown_action_and_a_failing_table_mean_later(said: list[str], table: str) -> None:
    with pytest.raises(DnsDown) as caught:
        filtered(table, A)
    assert not isinstance(caught.value, Dropped)
    assert len(said) == 1
