"""soft_bounce and footers."""

from __future__ import annotations

import asyncio

import pytest
from tests.talk.stage import logged

from estafeta.config.instance import Config
from estafeta.daemons.postscreen.replies import Dressing, softened
from estafeta.daemons.postscreen.visitor import Visitor


def visitor() -> Visitor:
    made = Visitor(None, lambda: None)  # type: ignore[arg-type]
    made.address, made.port = "192.0.2.1", "4711"
    return made


def dressed(reply: str, **settings: str) -> str:
    return asyncio.run(Dressing(Config.for_test(**settings)).dressed(reply, visitor()))


@pytest.mark.parametrize(
    ("hard", "soft"),
    [
        ("550 5.7.1 no 550 5.7.1", "450 4.7.1 no 550 5.7.1"),
        ("501 Syntax", "401 Syntax"),
        ("521 5.3.2 away", "421 4.3.2 away"),
        ("250 2.1.0 Ok", "250 2.1.0 Ok"),
    ],
)
def test_soft_bounce_makes_refusals_temporary(hard: str, soft: str) -> None:
    assert softened(hard) == soft
    assert dressed(hard, soft_bounce="yes") == soft
    assert dressed(hard) == hard


def test_a_footer_is_added_to_refusals_only() -> None:
    footer = {"postscreen_reject_footer": "see $server_name\\nfor $client_address:$client_port"}
    assert dressed("550 5.7.1 no", **footer) == (
        "550-5.7.1 no\r\n550-5.7.1 see host.example.com\r\n550 5.7.1 for 192.0.2.1:4711"
    )
    assert dressed("250 2.1.0 Ok", **footer) == "250 2.1.0 Ok"


def test_it_follows_smtpds_until_it_is_set() -> None:
    assert dressed("450 4.3.2 later", smtpd_reject_footer="\\c!") == "450 4.3.2 later!"


def test_a_table_may_have_another_footer_and_a_broken_one_has_none() -> None:
    maps = {"postscreen_reject_footer": "usual", "postscreen_reject_footer_maps": "inline:{{550 5.7.1 no=\\c special}}"}
    assert dressed("550 5.7.1 no", **maps) == "550 5.7.1 no special"
    assert dressed("550 5.7.1 yes", **maps) == "550-5.7.1 yes\r\n550 5.7.1 usual"
    with logged() as lines:
        assert dressed("550 5.7.1 no", postscreen_reject_footer_maps="fail:x") == "550 5.7.1 no"
    assert 'fail:x lookup error for "550 5.7.1 no"' in lines[-1]


def test_values_are_made_harmless() -> None:
    only = {"postscreen_reject_footer": "\\c $client_address", "postscreen_expansion_filter": "19"}
    assert dressed("550 5.7.1 no", **only) == "550 5.7.1 no 19______1"
