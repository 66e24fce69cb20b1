"""When the log tells of a former default, and when it has nothing to tell."""

from __future__ import annotations

import pytest

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.daemons.smtpd.former_defaults import FormerDefaults
from estafeta.routing.rewrite import Rewriter

USING = "using backwards-compatible default setting append_dot_mydomain=yes to rewrite"

PLEASE = 'please add "localhost" to mydestination or other address class'


def test_a_new_level_costs_nothing() -> None:
    assert FormerDefaults.of(Config.for_test(compatibility_level="3.6")) is None


def test_what_is_set_is_no_default() -> None:
    settings = {
        "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "smtpd_relay_before_recipient_restrictions": "no",
        "smtputf8_enable": "no",
        "relay_domains": "",
        "mynetworks": "127.0.0.1",
    }
    assert FormerDefaults.of(Config.for_test(compatibility_level="0", **settings)) is None
    former = FormerDefaults.of(Config.for_test(compatibility_level="0"))
    assert former is not None
    in_force = {name for name, legacy in vars(former).items() if legacy}
    assert in_force == {"relay", "order", "utf8", "relay_domains", "flush"}  # the test configuration sets mynetworks
    newer = FormerDefaults(Config.for_test(compatibility_level="2"))
    assert {name for name, legacy in vars(newer).items() if legacy} == {"order"}


@pytest.mark.parametrize(
    ("settings", "address", "told"),
    [
        ({}, "a@host", [f'{USING} "host" to "host.example.com"']),
        ({}, "a@host.example", []),
        ({}, "a", []),
        ({"mydestination": "localhost"}, "a@localhost", []),
        (
            {"mydestination": "here.example"},
            "a@localhost",
            [f'{USING} "localhost" to "localhost.example.com"; {PLEASE}'],
        ),
        ({"append_dot_mydomain": "yes"}, "a@host", []),
        ({"compatibility_level": "3.6"}, "a@host", []),
    ],
)  # fmt: skip
def test_completing_a_domain(settings: dict[str, str], address: str, told: list[str]) -> None:
    lines: list[str] = []
    rewriter = Rewriter(Config.for_test(**{"compatibility_level": "0", "mydomain": "example.com", **settings}))
    before = log.install(lambda level, text, program: lines.append(text))
    try:
        rewriter.rewrite(address)
    finally:
        log.install(before)
    assert lines == told
