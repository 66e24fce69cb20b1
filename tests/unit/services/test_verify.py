"""The sender of probes."""

from __future__ import annotations

import pytest

from estafeta.config.instance import Config
from estafeta.services.verify import ProbeSender

NOW = 1795234769.0


def sender(**settings: str) -> ProbeSender:
    return ProbeSender(Config.for_test(**settings))


def test_the_default_is_the_double_bounce_address_at_home() -> None:
    assert sender().address(NOW) == "double-bounce@host.example.com"


@pytest.mark.parametrize("value", ["", "<>"])
def test_the_null_sender_matches_nothing(value: str) -> None:
    probes = sender(address_verify_sender=value)
    assert probes.address(NOW) == ""
    assert not probes.resembles("")
    assert not probes.matches("", NOW)
    assert not probes.matches("a@b.example", NOW)


def test_a_changing_sender_carries_the_period_in_letters() -> None:
    probes = sender(address_verify_sender_ttl="10000s")
    # As Postfix wrote it at that moment.
    assert probes.address(NOW) == "double-bounce60T2@host.example.com"
    assert probes.address(NOW + 10000) == "double-bounce60T3@host.example.com"


def test_the_periods_before_and_after_are_good_too() -> None:
    probes = sender(address_verify_sender_ttl="10000s")
    for text, good in (("60T0", False), ("60T1", True), ("60T2", True), ("60T3", True), ("60T4", False), ("", False)):
        assert probes.matches(f"Double-Bounce{text}@HOST.example.com", NOW) is good


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("double-bounce@host.example.com", True),
        ("DOUBLE-bounce@Host.Example.COM", True),
        ("double-bounce", False),
        ("double-bounce@example.com", False),
        ("double-bouncex@host.example.com", False),
        ("x@host.example.com", False),
    ],
)
def test_only_the_whole_address_matches(address: str, good: bool) -> None:
    assert sender().matches(address, NOW) is good
