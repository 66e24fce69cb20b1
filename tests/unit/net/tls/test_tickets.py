"""Keys for session tickets: the same in every process, and new ones with time."""

from __future__ import annotations

from estafeta.net.tls.tickets import Chain


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_copies_agree_whenever_they_are_asked() -> None:
    clock = Clock()
    one, other = Chain(100, b"seed" * 8, clock), Chain(100, b"seed" * 8, clock)
    for clock.now in (1000.0, 1150.0, 1950.0):
        one.wind()
    assert one.current() == other.current()


def test_a_key_opens_for_one_more_period() -> None:
    clock = Clock()
    chain = Chain(100, b"s" * 32, clock)
    first = chain.current()
    clock.now += 100
    assert chain.current() != first
    assert chain.named(first.name) == first
    clock.now += 100
    assert chain.named(first.name) is None


def test_a_clock_set_back_changes_nothing() -> None:
    clock = Clock()
    chain = Chain(100, b"s" * 32, clock)
    key = chain.current()
    clock.now = 10.0
    assert chain.current() == key


def test_a_foreign_ticket_is_unknown() -> None:
    assert Chain(100, b"s" * 32, Clock()).named(b"x" * 16) is None
