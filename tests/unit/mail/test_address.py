"""Addresses in both forms, their parts, and what a domain may look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail import address, xtext


@pytest.mark.parametrize(
    ("internal", "external"),
    [
        ("user@example.com", "user@example.com"),
        ("a b@c", '"a b"@c'),
        ("a@b@c", '"a@b"@c'),
        ('say "hi"@c', '"say \\"hi\\""@c'),
        (".dot@c", '".dot"@c'),
        ("dot.@c", '"dot."@c'),
        ("two..dots@c", '"two..dots"@c'),
        ("@c", '""@c'),
        ("back\\slash@c", '"back\\\\slash"@c'),
        ("user", "user"),
        ("a b", '"a b"'),
        ("", ""),
        ("pelé@example.com", "pelé@example.com"),
    ],
)
def test_quote_and_unquote(internal: str, external: str) -> None:
    assert address.quote(internal) == external
    assert address.unquote(external) == internal


@given(st.text(min_size=1), st.sampled_from(["example.com", "c", "[192.0.2.1]"]))
def test_quoting_is_reversible(local: str, domain: str) -> None:
    internal = f"{local}@{domain}"
    assert address.unquote(address.quote(internal)) == internal


@given(st.text())
def test_unquote_never_fails(text: str) -> None:
    address.unquote(text)


def test_unquote_takes_unterminated_quotes() -> None:
    assert address.unquote('"abc@d') == "abc@d"
    assert address.unquote('"a"b@d') == "ab@d"


def test_split_is_at_the_last_at() -> None:
    assert address.split("a@b@c") == ("a@b", "c")
    assert address.split("user") == ("user", "")


@pytest.mark.parametrize(
    ("local", "delimiters", "expected"),
    [
        ("user+ext", "+", ("user", "+ext")),
        ("user+a+b", "+", ("user", "+a+b")),
        ("user-a+b", "+-", ("user", "-a+b")),
        ("user", "+", ("user", "")),
        ("user+ext", "", ("user+ext", "")),
        ("+user", "+", ("+user", "")),
        ("owner-list", "-", ("owner-list", "")),
        ("list-request", "-", ("list-request", "")),
        ("MAILER-DAEMON", "-", ("MAILER-DAEMON", "")),
        ("double-bounce", "-", ("double-bounce", "")),
    ],
)
def test_split_extension(local: str, delimiters: str, expected: tuple[str, str]) -> None:
    assert address.split_extension(local, delimiters) == expected


def test_owner_and_request_may_be_split() -> None:
    assert address.split_extension("owner-list", "-", owner_special=False) == ("owner", "-list")


@pytest.mark.parametrize("name", ["example.com", "a", "a_b.c", "xn--n3h.example", "münchen.example", "1a.2b", "a-b.c"])
def test_good_host_names(name: str) -> None:
    assert address.valid_hostname(name)


@pytest.mark.parametrize(
    "name", ["", ".", "a..b", ".a", "a.", "-a.b", "a-.b", "a b", "1.2.3.4", "a" * 64 + ".b", "a." * 128 + "b", "a@b"]
)
def test_bad_host_names(name: str) -> None:
    assert not address.valid_hostname(name)


def test_literals() -> None:
    assert address.literal_address("[192.0.2.1]") == "192.0.2.1"
    assert address.literal_address("[IPv6:::1]") == "::1"
    assert address.literal_address("[ipv6:2001:db8::1]") == "2001:db8::1"
    for bad in ("[192.0.2]", "[::1]", "[IPv6:x]", "192.0.2.1", "[192.0.2.1", "[]"):
        assert address.literal_address(bad) is None
    assert address.valid_domain("[192.0.2.1]")
    assert not address.valid_domain("192.0.2.1")


def test_same_ignores_letter_case() -> None:
    assert address.same("User@Example.COM", "user@example.com")
    assert not address.same("a@b", "a@c")


def test_xtext() -> None:
    assert xtext.decode("a+2Bb+3Dc") == "a+b=c"
    assert xtext.encode("a+b=c d") == "a+2Bb+3Dc+20d"
    for bad in ("a+2bb", "a+", "a b", "a+G0"):
        with pytest.raises(xtext.XtextError):
            xtext.decode(bad)


@given(st.text())
def test_xtext_round_trip(text: str) -> None:
    assert xtext.decode(xtext.encode(text)) == text
