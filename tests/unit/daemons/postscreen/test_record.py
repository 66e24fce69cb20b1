"""What is remembered of a client: the entry's form, which tests it still needs, and when it is forgotten."""

from __future__ import annotations

import asyncio

import pytest
from tests.talk.stage import logged

from estafeta.config.instance import Config
from estafeta.daemons.postscreen import record
from estafeta.tables.cache_cleanup import CLEANED, Cleanup
from estafeta.tables.cache_store import MemoryStore

ALL = {
    "postscreen_dnsbl_sites": "bl.example",
    "postscreen_pipelining_enable": "yes",
    "postscreen_non_smtp_command_enable": "yes",
    "postscreen_bare_newline_enable": "yes",
}


def test_an_entry_is_five_numbers_as_in_postfix() -> None:
    times = record.parse("1795335052;1;1795248712;1797840652;0")
    assert times == (1795335052, 1, 1795248712, 1797840652, 0)
    assert record.packed(times) == "1795335052;1;1795248712;1797840652;0"
    assert record.parse("5;6;7") == (5, 6, 7, 0, 0)


@pytest.mark.parametrize("line", [None, "", "1", "1;2;3;4;5;6", "1;x;3", "-1;2;3", f"{'9' * 30};1", "١;1"])
def test_what_is_no_entry_is_a_new_client(line: str | None) -> None:
    assert record.parse(line) is None


def test_only_tests_that_are_turned_on_and_have_run_out_are_made() -> None:
    everything = record.Rules(Config.for_test(**ALL))
    assert everything.todo(record.NOTHING, 1000) == frozenset(range(5))
    assert everything.todo((1001, 1000, 1001, 1, 0), 1000) == {record.DNSBL, record.NON_SMTP, record.BARE_NEWLINE}
    default = record.Rules(Config.for_test())
    assert default.todo(record.NOTHING, 1000) == {record.PREGREET}
    assert record.Rules(Config.for_test(postscreen_greet_banner="")).todo(record.NOTHING, 1000) == frozenset()


def test_what_is_turned_off_is_noted_as_such() -> None:
    rules = record.Rules(Config.for_test(postscreen_pipelining_enable="yes"))
    assert rules.settled((5, 0, 0, 7, 0)) == (5, 1, 0, 7, 1)


def test_a_failure_that_is_ignored_counts_for_the_shortest_of_times() -> None:
    rules = record.Rules(Config.for_test(postscreen_greet_ttl="200s", postscreen_dnsbl_min_ttl="300s"))
    assert rules.ignored_for == 200


def test_old_entries_are_forgotten_and_the_log_says_how_many() -> None:
    store = MemoryStore("internal:x")
    store.put("192.0.2.1", "100;1;1;1;1")
    store.put("192.0.2.2", "1;500;1;1;1")
    store.put("192.0.2.3", "nonsense")
    cleanup = Cleanup(store, 50, record.long_gone(100), lambda: 600.0)
    assert cleanup.pause() == 0
    with logged() as lines:
        asyncio.run(cleanup.clean())
    assert [key for key, _ in store.items()] == ["192.0.2.2", CLEANED]
    assert lines[-1].endswith("cache internal:x full cleanup: retained=1 dropped=2 entries")
    assert cleanup.pause() == 50
