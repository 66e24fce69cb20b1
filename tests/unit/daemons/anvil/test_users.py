"""What users may send, with a clock that is moved by hand, and the file in which it is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.conftest import Clock

from estafeta.daemons.anvil.users import NAME, Users
from estafeta.services.anvil import MESSAGES_OVER, RECIPIENTS_OVER, Sending, Standing

HOUR = 3600


def send(
    users: Users, user: str = "ana", recipients: int = 1, *, most: tuple[int, int], anyway: bool = True
) -> Standing:
    return users.send(Sending(7, user, recipients, *most, anyway))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_messages_and_recipients_are_counted_by_user(clock: Clock) -> None:
    users = Users(HOUR, clock)
    assert send(users, recipients=3, most=(2, 10)) == Standing(7, 1, 3, 0, False, HOUR)
    assert send(users, "bob", most=(2, 10)).messages == 1
    assert send(users, most=(2, 10)).over == 0
    assert send(users, most=(2, 10)) == Standing(7, 3, 5, MESSAGES_OVER, True, HOUR)
    assert send(users, recipients=6, most=(2, 10)) == Standing(7, 4, 11, MESSAGES_OVER | RECIPIENTS_OVER, False, HOUR)


def test_the_first_time_over_a_limit_is_told_once_in_a_time_unit(clock: Clock) -> None:
    users = Users(HOUR, clock)
    assert [send(users, most=(1, 0)).first for _ in range(4)] == [False, True, False, False]
    clock.now += HOUR
    assert [send(users, most=(1, 0)).first for _ in range(3)] == [False, True, False]


def test_what_is_put_off_is_not_counted_so_a_smaller_message_passes(clock: Clock) -> None:
    users = Users(HOUR, clock)
    send(users, recipients=4, most=(0, 5), anyway=False)
    assert send(users, recipients=2, most=(0, 5), anyway=False).over == RECIPIENTS_OVER
    assert send(users, recipients=1, most=(0, 5), anyway=False) == Standing(7, 2, 5, 0, False, HOUR)


def test_no_limit_is_never_passed(clock: Clock) -> None:
    users = Users(HOUR, clock)
    assert not any(send(users, recipients=1000, most=(0, 0)).over for _ in range(100))


def test_a_clock_that_is_set_back_begins_a_new_time_unit(clock: Clock) -> None:
    users = Users(HOUR, clock)
    send(users, most=(1, 0))
    clock.now -= 10 * HOUR
    assert send(users, most=(1, 0)).over == 0


def test_counts_survive_in_the_file(clock: Clock, folder: int) -> None:
    users = Users(HOUR, clock)
    for _ in range(3):
        send(users, most=(2, 0))
    assert users.changed
    users.save(folder)
    assert not users.changed
    clock.now += HOUR - 1
    later = Users(HOUR, clock)
    later.load(folder)
    assert send(later, most=(2, 0)) == Standing(7, 4, 4, MESSAGES_OVER, False, HOUR)
    clock.now += 1
    another = Users(HOUR, clock)
    another.load(folder)
    assert send(another, most=(2, 0)).messages == 1


def test_without_a_file_and_with_a_damaged_one_counts_begin_anew(
    clock: Clock, folder: int, tmp_path: Path, lines: list[str]
) -> None:
    users = Users(HOUR, clock)
    users.load(folder)
    assert lines == []
    (tmp_path / NAME).write_bytes(b"\xc1 nonsense")
    users.load(folder)
    assert send(users, most=(2, 0)).messages == 1
    assert len(lines) == 1 and "counts of users begin anew" in lines[0]


def test_memory_has_a_limit(clock: Clock) -> None:
    users = Users(HOUR, clock, most=2)
    for user in ("ana", "bob", "eve"):
        send(users, user, most=(1, 0))
    assert send(users, "eve", most=(1, 0)).messages == 2
    assert send(users, "ana", most=(1, 0)).messages == 1


def test_a_survey_finds_who_is_near_a_limit(clock: Clock) -> None:
    users = Users(HOUR, clock)
    for _ in range(8):
        send(users, most=(10, 0))
    send(users, "bob", 79, most=(0, 100))
    send(users, "eve", 80, most=(0, 100))
    clock.now += 600
    assert [(each.user, each.messages, each.recipients, each.left) for each in users.near(0.8)] == [
        ("ana", 8, 8, 3000),
        ("eve", 1, 80, 3000),
    ]
    clock.now += HOUR
    assert users.near(0.8) == []
