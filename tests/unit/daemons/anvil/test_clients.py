"""Counting clients, with a clock that is moved by hand."""

from __future__ import annotations

import time

from tests.unit.conftest import Clock

from estafeta.daemons.anvil.clients import Clients
from estafeta.services.anvil import AUTH, CONNECTION, MESSAGE, NEWTLS, RECIPIENT

ONE, TWO = "smtp:192.0.2.1", "smtp:192.0.2.2"


def test_connections_are_counted_by_client_now_and_in_the_time_unit(clock: Clock) -> None:
    clients = Clients(60, clock)
    assert clients.connect(ONE) == (1, 1)
    assert clients.connect(ONE) == (2, 2)
    assert clients.connect(TWO) == (1, 1)
    clients.disconnect(ONE)
    assert clients.connect(ONE) == (2, 3)


def test_a_time_unit_begins_with_the_first_event_and_ends_for_all_rates_at_once(clock: Clock) -> None:
    clients = Clients(60, clock)
    clients.connect(ONE)
    clock.now += 59
    assert clients.add(ONE, MESSAGE, 1) == (1, 1)
    clock.now += 1
    assert clients.add(ONE, MESSAGE, 1) == (1, 2)
    clock.now += 0.5
    assert clients.add(ONE, MESSAGE, 0) == (1, 0)
    assert clients.add(ONE, RECIPIENT, 1) == (1, 1)
    assert clients.add(ONE, MESSAGE, 1) == (1, 1)
    assert clients.connect(ONE) == (2, 1)


def test_asking_counts_nothing_and_makes_nobody_known(clock: Clock) -> None:
    clients = Clients(60, clock)
    assert clients.add(ONE, NEWTLS, 0) == (0, 0)
    assert len(clients) == 0
    clients.add(ONE, NEWTLS, 1)
    assert clients.add(ONE, NEWTLS, 0) == clients.add(ONE, NEWTLS, 0) == (0, 1)


def test_connections_of_an_earlier_process_are_there_but_do_not_come(clock: Clock) -> None:
    clients = Clients(60, clock)
    clients.hold(ONE, 3)
    assert clients.connect(ONE) == (4, 1)
    clients.disconnect(ONE, 3)
    assert clients.connect(ONE) == (2, 2)


def test_a_client_without_connections_is_forgotten_after_a_time_unit(clock: Clock) -> None:
    clients = Clients(60, clock)
    clients.connect(ONE)
    clients.connect(TWO)
    clients.disconnect(ONE)
    clients.disconnect(ONE)  # one too many does no harm
    clock.now += 61
    clients.forget(clock.now)
    assert len(clients) == 1
    assert clients.connect(TWO) == (2, 1)
    clients.add(ONE, AUTH, 1)  # without a connection
    assert len(clients) == 2
    clock.now += 61
    clients.connect(TWO)
    assert len(clients) == 1


def test_who_has_come_back_is_not_forgotten(clock: Clock) -> None:
    clients = Clients(60, clock)
    clients.connect(ONE)
    clients.disconnect(ONE)
    clock.now += 30
    assert clients.connect(ONE) == (1, 2)
    clock.now += 31
    clients.forget(clock.now)
    assert len(clients) == 1
    clients.disconnect(ONE)
    clock.now += 60
    clients.forget(clock.now)
    assert len(clients) == 0


def test_memory_has_a_limit_and_connections_are_not_forgotten_for_it(clock: Clock) -> None:
    clients = Clients(60, clock, most=3)
    clients.connect(ONE)
    for number in range(10):
        clients.add(f"smtp:198.51.100.{number}", MESSAGE, 1)
    assert len(clients) == 3
    assert clients.connect(ONE) == (2, 2)


def test_statistics_name_the_highest_values_and_begin_anew(clock: Clock) -> None:
    """The lines of Postfix 3.7, as its anvil wrote them."""
    clock.now = time.mktime((2026, 11, 2, 8, 35, 30, 0, 0, -1))
    clients = Clients(60, clock)
    for _ in range(2):
        clients.connect(ONE)
    clients.disconnect(ONE)
    clients.connect(TWO)
    clients.connect("smtp:192.0.2.3")
    for kind in (RECIPIENT, NEWTLS, AUTH, MESSAGE, RECIPIENT):
        clients.add(TWO, kind, 1)
    clock.now += 5
    clients.add(ONE, RECIPIENT, 1)
    clients.add(ONE, RECIPIENT, 1)
    assert clients.statistics() == [
        "statistics: max connection rate 2/60s for (smtp:192.0.2.1) at Nov  2 08:35:30",
        "statistics: max connection count 2 for (smtp:192.0.2.1) at Nov  2 08:35:30",
        "statistics: max message rate 1/60s for (smtp:192.0.2.2) at Nov  2 08:35:30",
        "statistics: max recipient rate 2/60s for (smtp:192.0.2.2) at Nov  2 08:35:30",
        "statistics: max newtls rate 1/60s for (smtp:192.0.2.2) at Nov  2 08:35:30",
        "statistics: max auth rate 1/60s for (smtp:192.0.2.2) at Nov  2 08:35:30",
        "statistics: max cache size 3 at Nov  2 08:35:30",
    ]
    assert clients.statistics() == []


def test_a_survey_finds_who_is_near_a_limit_of_its_service(clock: Clock) -> None:
    clients = Clients(60, clock)
    for _ in range(8):
        clients.connect(ONE)
        clients.connect("smtp:x:192.0.2.1")  # another service, whose name begins with that one
    clients.connect(TWO)
    limits = {"smtp": [0, 10, 0, 0, 0, 0], "smtp:x": [100, 0, 0, 0, 0, 0]}
    found, more = clients.near(limits, 0.8, 10)
    assert [(each.ident, each.rates[CONNECTION]) for each in found] == [(ONE, 8)]
    found, more = clients.near(limits, 0.0001, 2)
    assert (len(found), more) == (2, 1)
    clock.now += 61
    assert clients.near({"smtp": limits["smtp"]}, 0.8, 10) == ([], 0)
