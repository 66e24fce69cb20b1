"""What a status filter may change, and what it may not: postconf(5), default_delivery_status_filter."""

from __future__ import annotations

from pathlib import Path

import pytest

from estafeta.mail.outcome import Bounced, Deferred, Outcome, Sent
from estafeta.skeleton.status_filter import StatusFilter

RULES = r"""
/^4\.7\.1 (.*)/   5.7.9 $1
/^5\.1\.1 /       4.1.1 wait
/^2\.0\.0 a/      2.1.0   thanks
/^2\.0\.0 b/      5.0.0 no
/^5\.0\.1 /       2.0.0 never mind
/^5\.0\.2 /       nonsense
/^5\.0\.3 /       5.9.9
/^5\.0\.4 /       5.1 half
"""


@pytest.fixture
def change(tmp_path: Path) -> StatusFilter:
    (tmp_path / "rules").write_text(RULES)
    found = StatusFilter.open([f"regexp:{tmp_path}/rules"], name="x_delivery_status_filter")
    assert found is not None
    return found


def test_without_tables_there_is_none() -> None:
    assert StatusFilter.open((), name="x") is None


def test_later_and_never_change_places(change: StatusFilter) -> None:
    before = Deferred("4.7.1", "grey", "mx[1]:25", "mx", "450 4.7.1 grey")
    assert change(before) == Bounced("5.7.9", "grey", "mx[1]:25", "mx", "450 4.7.1 grey")
    assert change(Bounced("5.1.1", "who", "mx[1]:25")) == Deferred("4.1.1", "wait", "mx[1]:25")


def test_success_gets_another_text(change: StatusFilter) -> None:
    assert change(Sent("2.0.0", "a", "r", action="delivered")) == Sent("2.1.0", "thanks", "r", action="delivered")


def test_a_status_without_text_leaves_the_text(change: StatusFilter) -> None:
    assert change(Bounced("5.0.3", "as it was")) == Bounced("5.9.9", "as it was")


@pytest.mark.parametrize(
    "outcome", [Sent("2.0.0", "b"), Bounced("5.0.1", "x"), Bounced("5.0.2", "x"), Bounced("5.0.4", "x")]
)
def test_what_makes_no_sense_changes_nothing(change: StatusFilter, said: list[str], outcome: Outcome) -> None:
    assert change(outcome) is outcome
    assert said[0].startswith("x_delivery_status_filter: bad status code: ")


def test_what_matches_nothing_stays(change: StatusFilter, said: list[str]) -> None:
    outcome = Bounced("5.5.5", "x")
    assert change(outcome) is outcome
    assert said == []


def test_a_table_that_fails_changes_nothing(said: list[str]) -> None:
    found = StatusFilter.open(["fail:x"], name="x")
    assert found is not None
    outcome = Bounced("5.5.5", "x")
    assert found(outcome) is outcome
    assert len(said) == 1
