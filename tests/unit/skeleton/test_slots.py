"""maxproc as a number of clients: one limit for all processes of a service, and nothing lost with a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from estafeta.skeleton.slots import Pot, Slots, share


@pytest.fixture
def pot() -> Iterator[Pot]:
    made = Pot(3, 4)
    yield made
    made.close()


def test_processes_share_one_limit(pot: Pot) -> None:
    one, two = Slots(0, pot, 0), Slots(0, pot, 1)
    assert [one.take(), two.take(), one.take(), two.take(), one.take()] == [True, True, True, False, False]
    one.give()
    assert two.take()
    assert (one.clients, two.clients) == (1, 2)


def test_what_a_killed_process_held_is_put_back(pot: Pot) -> None:
    one, two = Slots(0, pot, 0), Slots(0, pot, 1)
    assert one.take() and one.take() and two.take() and not two.take()
    assert pot.recover(0) == 2
    assert two.take() and two.take() and not two.take()
    assert pot.recover(0) == 0


def test_a_process_has_a_limit_of_its_own() -> None:
    slots = Slots(2)
    assert slots.take() and not slots.full and slots.take() and slots.full and not slots.take()
    slots.give()
    assert not slots.full and slots.take()


def test_no_limit() -> None:
    slots = Slots()
    assert all(slots.take() for _ in range(1000))
    assert not slots.full


@pytest.mark.parametrize(("limit", "workers"), [(1, 1), (5, 2), (100, 4), (3, 3), (7, 4)])
def test_shares_add_up_to_the_limit(limit: int, workers: int) -> None:
    shares = [share(limit, workers, worker) for worker in range(workers)]
    assert sum(shares) == limit
    assert max(shares) - min(shares) <= 1


def test_the_share_of_no_limit_is_no_limit() -> None:
    assert share(0, 4, 1) == 0


def test_a_large_pot_holds_what_it_promises() -> None:
    pot = Pot(5000, 1)
    try:
        slots = Slots(0, pot, 0)
        assert sum(slots.take() for _ in range(6000)) == 5000
    finally:
        pot.close()


def test_who_takes_the_last_place_crowds(pot: Pot) -> None:
    crowded: list[str] = []
    one, two = Slots(0, pot, 0), Slots(0, pot, 1)
    one.crowded = lambda: crowded.append("one")
    two.crowded = lambda: crowded.append("two")
    assert one.take() and one.take()
    assert not crowded
    assert two.take()
    assert crowded == ["two"]
    assert not one.take()
    assert crowded == ["two", "one"]
    one.give()
    assert not pot.empty and one.take() and crowded == ["two", "one", "one"]


def test_a_process_on_its_own_is_crowded_when_it_is_full() -> None:
    crowded: list[int] = []
    slots = Slots(2)
    slots.crowded = lambda: crowded.append(slots.clients)
    assert slots.take() and slots.take()
    assert crowded == [2]
