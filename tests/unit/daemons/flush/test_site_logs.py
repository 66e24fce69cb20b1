from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.conftest import Clock

from estafeta.base import log
from estafeta.daemons.flush.site_logs import SiteLogs


@pytest.fixture
def logs(tmp_path: Path, clock: Clock) -> SiteLogs:
    return SiteLogs(str(tmp_path), largest=100, clock=clock)


def test_each_message_is_told_once_and_the_account_is_empty_then(logs: SiteLogs) -> None:
    account = logs.account("Relay.Example")
    assert account == logs.account("relay.example")
    logs.add(account, ["A1", "B2"])
    logs.add(account, ["A1"])
    assert logs.take(account) == ["A1", "B2"]
    assert logs.take(account) == []
    assert logs.take(logs.account("nowhere.example")) == []


@pytest.mark.parametrize("site", ["../../etc/passwd", "a/b", "é.example", "x" * 255, "[127.0.0.1]", "."])
def test_no_site_leads_out_of_the_folder(logs: SiteLogs, tmp_path: Path, site: str) -> None:
    logs.add(logs.account(site), ["A1"])
    (made,) = tmp_path.iterdir()
    assert made.suffix == ".ids" and len(made.name) < 256
    assert logs.take(logs.account(site)) == ["A1"]


def test_an_account_that_says_things_twice_is_shortened_before_anything_is_left_out(logs: SiteLogs) -> None:
    account = logs.account("relay.example")
    for _ in range(40):
        logs.add(account, ["ABCDEF", "012345"])
    assert os.path.getsize(account) <= 100
    assert logs.take(account) == ["ABCDEF", "012345"]


def test_an_account_does_not_grow_without_limit(logs: SiteLogs) -> None:
    said: list[str] = []
    before = log.install(lambda level, text, program: said.append(text))
    account = logs.account("relay.example")
    for number in range(1000):
        logs.add(account, [f"{number:06}"])
    log.install(before)
    assert os.path.getsize(account) <= 100
    assert said == [f"{account}: too much mail waits for this site: some of it is not noted"]
    assert "000000" in logs.take(account)


def test_what_nobody_asks_for_is_found_after_a_while(logs: SiteLogs, clock: Clock) -> None:
    asked, other = logs.account("asked.example"), logs.account("other.example")
    logs.add(asked, ["A1"])
    logs.add(other, ["B2"])
    clock.now += 50
    logs.take(asked)
    logs.add(asked, ["A2"])
    clock.now += 51
    assert logs.neglected(100.0) == [other]
    assert sorted(logs.neglected(10.0)) == [asked, other]


def test_only_accounts_that_are_long_empty_are_removed(logs: SiteLogs, clock: Clock) -> None:
    empty, full = logs.account("empty.example"), logs.account("full.example")
    for account in (empty, full):
        logs.add(account, ["A1"])
    logs.take(empty)
    logs.purge(100.0)
    assert os.path.exists(empty)
    clock.now += 101
    logs.purge(100.0)
    assert not os.path.exists(empty) and os.path.exists(full)


def test_foreign_files_are_left_alone(logs: SiteLogs, tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "relay_example").write_text("of Postfix\n")
    clock.now += 10**9
    logs.purge(1.0)
    assert logs.neglected(1.0) == []
    assert (tmp_path / "relay_example").exists()
