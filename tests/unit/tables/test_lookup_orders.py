"""Under which keys domains and addresses are looked up."""

from __future__ import annotations

import asyncio

import pytest

from estafeta.mail.address import split_extension
from estafeta.tables.address_lookup import Found, find_address
from estafeta.tables.domain_lookup import find_domain, parents
from estafeta.tables.maps import Maps


class Asked(Maps):
    """Maps that remember what they were asked, and know only what they are told to."""

    __slots__ = ("asked", "known")

    def __init__(self, **known: str) -> None:
        super().__init__([], "test_maps")
        self.asked: list[str] = []
        self.known = known

    async def find(self, key: str, *, partial: bool = False) -> str | None:
        self.asked.append(f"{key}?" if partial else key)
        return self.known.get(key)


async def is_local(domain: str) -> bool:
    return domain == "local.example"


def find(maps: Maps, address: str, delimiters: str = "+", quoted: str | None = None) -> Found | None:
    return asyncio.run(find_address(maps, address, delimiters=delimiters, is_local=is_local, quoted=quoted))


def test_order_for_a_local_address() -> None:
    maps = Asked()
    assert find(maps, "user+ext@local.example") is None
    assert maps.asked == [
        "user+ext@local.example",
        "user@local.example?",
        "user+ext?",
        "user?",
        "@local.example?",
    ]


def test_order_for_an_address_elsewhere_without_extension() -> None:
    maps = Asked()
    assert find(maps, "user@far.example") is None
    assert maps.asked == ["user@far.example", "@far.example?"]


def test_quoted_form_goes_first() -> None:
    maps = Asked()
    assert find(maps, "a b@far.example", quoted='"a b"@far.example') is None
    assert maps.asked[:2] == ['"a b"@far.example', "a b@far.example"]


def test_extension_is_told_where_it_was_left_off() -> None:
    assert find(Asked(**{"user@far.example": "x"}), "user+ext@far.example") == Found("x", "+ext")
    assert find(Asked(user="x"), "user+ext@local.example") == Found("x", "+ext")
    assert find(Asked(**{"user+ext": "x"}), "user+ext@local.example") == Found("x", "")
    assert find(Asked(**{"@far.example": "x"}), "user+ext@far.example") == Found("x", "")


def test_address_without_domain_is_looked_up_as_it_is() -> None:
    maps = Asked()
    assert find(maps, "user") is None
    assert maps.asked == ["user"]


@pytest.mark.parametrize(
    ("localpart", "delimiters", "expected"),
    [
        ("user+ext", "+", ("user", "+ext")),
        ("user+a-b", "+-", ("user", "+a-b")),
        ("user-a+b", "+-", ("user", "-a+b")),
        ("+ext", "+", ("+ext", "")),
        ("user", "+", ("user", "")),
        ("user+", "+", ("user", "+")),
        ("user+ext", "", ("user+ext", "")),
        ("owner-list", "-", ("owner-list", "")),
        ("List-Request", "-", ("List-Request", "")),
        ("MAILER-DAEMON", "-", ("MAILER-DAEMON", "")),
        ("double-bounce", "-", ("double-bounce", "")),
    ],
)
def test_where_the_extension_begins(localpart: str, delimiters: str, expected: tuple[str, str]) -> None:
    assert split_extension(localpart, delimiters) == expected


def test_owner_and_request_are_split_where_they_are_not_special() -> None:
    assert split_extension("owner-list", "-", owner_special=False) == ("owner", "-list")


def test_parents_of_a_domain() -> None:
    assert list(parents("a.b.example", parent_matches_subdomains=True)) == ["b.example", "example"]
    assert list(parents("a.b.example", parent_matches_subdomains=False)) == [".b.example", ".example"]
    assert list(parents("example", parent_matches_subdomains=False)) == []
    assert len(list(parents("a." * 10000, parent_matches_subdomains=True))) == 128


def test_domain_is_asked_before_its_parents_and_a_literal_has_none() -> None:
    maps = Asked()
    assert asyncio.run(find_domain(maps, "a.b.example", parent_matches_subdomains=False)) is None
    assert maps.asked == ["a.b.example", ".b.example?", ".example?"]
    maps = Asked()
    assert asyncio.run(find_domain(maps, "[1.2.3.4]", parent_matches_subdomains=True)) is None
    assert maps.asked == ["[1.2.3.4]"]
