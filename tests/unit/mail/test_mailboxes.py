"""Finding addresses in header text, and replacing them without disturbing what is around them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.mailboxes import Mailbox, addresses, replace, scan


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user@example.com", ["user@example.com"]),
        ("user", ["user"]),
        ("a@b.c, d@e.f", ["a@b.c", "d@e.f"]),
        ("a@b.c,\r\n\td@e.f", ["a@b.c", "d@e.f"]),
        ("Ann <ann@a.b>", ["ann@a.b"]),
        ('"Ann, the first" <ann@a.b>, Bob <bob@b.c>', ["ann@a.b", "bob@b.c"]),
        ("ann@a.b (Ann, at home)", ["ann@a.b"]),
        ("(x) ann (y) @ (z) a.b", ["ann@a.b"]),
        ("team: a@b.c, Dora <d@e.f>;, g@h.i", ["a@b.c", "d@e.f", "g@h.i"]),
        ("undisclosed-recipients:;", []),
        ("<>", [""]),
        ("<@a,@b:c@d>", ["c@d"]),
        ('"a b"@c.d', ["a b@c.d"]),
        ('"a\\"b"@c.d', ['a"b@c.d']),
        ("a\\ b@c.d", ["a b@c.d"]),
        ("user@[192.0.2.1]", ["user@[192.0.2.1]"]),
        ("user@[192.0.2.1", ["user@[192.0.2.1]"]),
        ("Ann Bee", ["Ann", "Bee"]),
        ("<a@b.c", ["a@b.c"]),
        ("a@b.c>", ["a@b.c>"]),
        ('"unterminated', ["unterminated"]),
        ("(unterminated", []),
        ("", []),
        (" , ,", []),
        ("a;b", ["a", "b"]),
        ("x (a(b)c\\)) y@z", ["x", "y@z"]),
        ('foo bar, "Q" z@w, q.r . s@t', ["foo", "bar", "Q", "z@w", "q.r.s@t"]),
        ("Müller <mü@bücher.example>", ["mü@bücher.example"]),
    ],
)
def test_addresses(text: str, expected: list[str]) -> None:
    assert addresses(text) == expected


def test_spans_are_the_address_alone() -> None:
    text = "Ann <ann@a> (home), bob"
    assert scan(text) == [Mailbox("ann@a", 5, 10, False, True), Mailbox("bob", 20, 23, entry=19)]


def test_quoted_is_told() -> None:
    assert scan('"a!b"')[0].quoted
    assert not scan("a!b")[0].quoted


def test_replace_keeps_names_comments_and_folding() -> None:
    text = '"Ann, A." <ann>,\r\n\tbob (Bob),\r\n "a b"@c'
    assert replace(text, lambda box: box.address + "@x.y" if "@" not in box.address else None) == (
        '"Ann, A." <ann@x.y>,\r\n\tbob@x.y (Bob),\r\n "a b"@c'
    )


def test_replaced_addresses_are_quoted_where_they_must_be() -> None:
    assert replace("ann", lambda box: "a b@c") == '"a b"@c'


def test_tokens_are_limited() -> None:
    assert len(scan("a," * 50_000)) <= 5120


@given(st.text(alphabet='ab@<>()",;:\\. \t\r\n[]é'))
def test_scan_never_fails_and_spans_are_in_order(text: str) -> None:
    last = 0
    for box in scan(text):
        assert last <= box.start <= box.end <= len(text)
        last = box.end


def test_a_route_goes_with_the_address_it_leads_to() -> None:
    assert replace("Z <@r,@s:z@w>, y", lambda box: box.address) == "Z <z@w>, y"


def test_the_name_of_a_group_belongs_to_its_first_entry() -> None:
    text = "a@b, Group: c@d, e@f;"
    assert [text[box.entry : box.start] for box in scan(text)] == ["", " Group: ", " "]
