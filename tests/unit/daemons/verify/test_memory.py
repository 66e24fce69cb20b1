"""What verify(8) remembers, for how long, and when it asks anew."""

from __future__ import annotations

import asyncio

import pytest

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.daemons.verify.memory import IN_PROGRESS, PROBE_LIFE, Entry, Memory
from estafeta.services.verify import BOUNCE, DEFER, OK, TODO
from estafeta.tables.cache_cleanup import CLEANED, Cleanup
from estafeta.tables.cache_store import MemoryStore

DAY, HOUR = 86400, 3600
KNOWN = "a@b.example"


class Desk:
    """A memory with a clock that is moved by hand."""

    def __init__(self, **settings: str) -> None:
        self.now = 1_000_000_000.0
        self.store = MemoryStore("internal:test")
        conf = Config.for_test(**settings)
        self.memory = Memory(conf, self.store, lambda: self.now)
        interval = conf.address_verify_cache_cleanup_interval
        self.cleanup = Cleanup(self.store, interval, self.memory.is_stale, lambda: self.now)

    def look(self) -> tuple[int, str, bool]:
        return self.memory.look(KNOWN)


def test_an_unknown_address_is_probed_once() -> None:
    desk = Desk()
    assert desk.look() == (TODO, IN_PROGRESS, True)
    assert desk.look() == (TODO, IN_PROGRESS, False)
    desk.now += PROBE_LIFE
    assert desk.look()[2] is False
    desk.now += 1  # the probe counts as lost
    assert desk.look() == (TODO, IN_PROGRESS, True)


@pytest.mark.parametrize(
    ("status", "refresh", "expire"), [(OK, 7 * DAY, 31 * DAY), (DEFER, 3 * HOUR, 3 * DAY), (BOUNCE, 3 * HOUR, 3 * DAY)]
)
def test_an_answer_counts_until_it_expires_and_is_asked_for_anew_in_time(
    status: int, refresh: int, expire: int
) -> None:
    desk = Desk()
    desk.look()
    desk.memory.learn(KNOWN, status, "said: so")
    desk.now += refresh
    assert desk.look() == (status, "said: so", False)
    desk.now += 1
    assert desk.look() == (status, "said: so", True)
    assert desk.look() == (status, "said: so", False)
    desk.now += expire - refresh
    assert desk.look() == (TODO, IN_PROGRESS, True)


def test_settings_decide_about_the_times() -> None:
    desk = Desk(address_verify_positive_refresh_time="10s", address_verify_positive_expire_time="5000s")
    desk.memory.learn(KNOWN, OK, "ok")
    desk.now += 11
    assert desk.look() == (OK, "ok", True)
    desk.now += 5000
    assert desk.look()[0] == TODO


@pytest.mark.parametrize("status", [DEFER, BOUNCE])
def test_a_failed_probe_does_not_spoil_a_good_address(status: int) -> None:
    desk = Desk()
    desk.memory.learn(KNOWN, OK, "ok")
    desk.memory.learn(KNOWN, status, "no")
    assert desk.look()[:2] == (OK, "ok")


def test_a_good_answer_replaces_a_bad_one() -> None:
    desk = Desk()
    desk.memory.learn(KNOWN, BOUNCE, "no")
    desk.memory.learn(KNOWN, OK, "ok")
    assert desk.look()[:2] == (OK, "ok")


def test_without_negative_cache_every_question_makes_a_probe() -> None:
    desk = Desk(address_verify_negative_cache="no")
    assert desk.look()[2] is True
    desk.memory.learn(KNOWN, BOUNCE, "no")
    assert desk.look() == (TODO, IN_PROGRESS, True)
    assert desk.store.get(KNOWN) is None
    desk.memory.learn(KNOWN, OK, "ok")
    assert desk.look() == (OK, "ok", False)


def test_what_could_not_be_sent_is_tried_with_the_next_question() -> None:
    desk = Desk()
    desk.look()
    desk.memory.not_sent(KNOWN)
    assert desk.look()[2] is True
    desk.memory.learn(KNOWN, OK, "ok")
    desk.now += 8 * DAY
    assert desk.look() == (OK, "ok", True)
    desk.memory.not_sent(KNOWN)
    assert desk.look() == (OK, "ok", True)


def test_entries_are_lines_that_postfix_writes_too() -> None:
    entry = Entry.parse("0:0:1090513500:250 2.1.5 Ok: as said")
    assert entry is not None
    assert (entry.status, entry.probed, entry.updated, entry.text) == (OK, 0, 1090513500, "250 2.1.5 Ok: as said")
    assert entry.packed() == "0:0:1090513500:250 2.1.5 Ok: as said"


@pytest.mark.parametrize("line", ["", "0:0:0", "9:0:0:x", "x:0:0:y", "-1:0:0:x", "0:1e3:0:x"])
def test_a_damaged_entry_is_asked_for_anew(line: str) -> None:
    desk = Desk()
    desk.store.put(KNOWN, line)
    assert desk.look() == (TODO, IN_PROGRESS, True)


def test_what_has_expired_is_cleaned_out() -> None:
    desk = Desk()
    lines: list[str] = []
    before = log.install(lambda level, text, program: lines.append(text))
    try:
        assert desk.cleanup.pause() == 0
        desk.memory.learn("old@x", BOUNCE, "no")
        desk.now += 4 * DAY
        desk.memory.learn("new@x", BOUNCE, "no")
        desk.memory.look("pending@x")
        desk.store.put("junk", "junk")
        asyncio.run(desk.cleanup.clean())
    finally:
        log.install(before)
    assert lines == ["cache internal:test full cleanup: retained=2 dropped=2 entries"]
    assert {key for key, _ in desk.store.items()} == {"new@x", "pending@x", CLEANED}
    assert desk.cleanup.pause() == 12 * HOUR
    desk.now -= DAY  # the clock was set back
    assert desk.cleanup.pause() == 12 * HOUR


def test_an_interval_of_0_never_cleans() -> None:
    assert Desk(address_verify_cache_cleanup_interval="0").cleanup.pause() is None
