"""postscreen_access_list."""

from __future__ import annotations

import asyncio

import pytest
from tests.talk.stage import logged

from estafeta.config.instance import Config
from estafeta.daemons.postscreen.access import AccessList


def verdict(words: str, address: str) -> str:
    return asyncio.run(access(words).verdict(address))


def access(words: str) -> AccessList:
    return AccessList(Config.for_test(postscreen_access_list=words, mynetworks="192.0.2.0/24"))


@pytest.mark.parametrize(
    ("words", "address", "expected"),
    [
        ("permit_mynetworks", "192.0.2.9", "permit"),
        ("permit_mynetworks", "198.51.100.1", "dunno"),
        ("permit_mynetworks, reject", "198.51.100.1", "reject"),
        ("dunno, reject", "198.51.100.1", "dunno"),
        ("inline:{192.0.2.9=reject}, permit", "192.0.2.9", "reject"),
        ("inline:{192.0.2.9=reject}, permit", "192.0.2.8", "permit"),
        ("inline:{192.0.2.9=dunno}, permit", "192.0.2.9", "permit"),
        ("inline:{{192.0.2.9=permit_mynetworks reject}}", "192.0.2.9", "permit"),
        ("inline:{{198.51.100.1=permit_mynetworks reject}}", "198.51.100.1", "reject"),
        ("static:PERMIT", "2001:db8::1", "permit"),
    ],
)
def test_the_first_verdict_counts(words: str, address: str, expected: str) -> None:
    assert verdict(words, address) == expected


@pytest.mark.parametrize("words", ["nonsense, reject", "inline:{192.0.2.9=nonsense}, dunno"])
def test_an_unknown_word_ends_the_list_with_a_warning(words: str) -> None:
    with logged() as lines:
        assert verdict(words, "192.0.2.9") == "dunno"
    assert "unknown command: nonsense -- ignoring the remainder of this access list" in lines[-1]


def test_a_table_that_is_down_judges_nobody() -> None:
    with logged() as lines:
        assert verdict("fail:x, reject", "192.0.2.9") == "dunno"
    assert "[192.0.2.9] is tested instead" in lines[-1]


def test_a_table_on_the_network_is_known_to_take_time() -> None:
    assert access("permit_mynetworks cidr:/dev/null static:dunno").quick
    assert not access("socketmap:unix:/nowhere:x").quick
