"""The address in MAIL, RCPT and VRFY. The tables are what Postfix 3.7.11 takes and refuses."""

from __future__ import annotations

import pytest

from estafeta.wire.smtp.path import LONGEST_PATH, PathError, parse_path

TAKEN = {
    "<a@b>": "a@b",
    "a@b": "a@b",
    "a@b>": "a@b",
    "<a@b>>": "a@b",
    "<<a@b>>": "a@b",
    "<>": "",
    "<>,": "",
    '<"">': "",
    "<user>": "user",
    "<@x:a@b>": "a@b",
    "<@x,@y:a@b>": "a@b",
    "(hi)<a@b>": "a@b",
    "<a@b>(hi)": "a@b",
    "<a@b>(h(i)\\))": "a@b",
    "a@b,": "a@b",
    "group:a@b;": "a@b",
    '<"a b"@c>': "a b@c",
    "<a\\ b@c>": "a b@c",
    '"a b"@c': "a b@c",
    '<"a\\"b"@c>': 'a"b@c',
    '<"a@b"@c>': "a@b@c",
    "<a@b@c>": "a@b@c",
    "<a@[192.0.2.1]>": "a@[192.0.2.1]",
    "<a@[IPv6:::1]>": "a@[IPv6:::1]",
    "<@b>": "@b",
    '<""@c>': "@c",
    "<a..b@c>": "a..b@c",
    "<.a@c>": ".a@c",
    "< a@b >": "a@b",
    "<a @b>": "a@b",
    "<a:b@c>": "a:b@c",
    "<a%b@c>": "a%b@c",
    "<b!a>": "b!a",
    "<a@B.COM>": "a@B.COM",
    "<a@b.>": "a@b.",
    "<a@b_c>": "a@b_c",
    "<é@b>": "é@b",
    "<a@bücher.example>": "a@bücher.example",
    '<"user@far">': "user@far",
}
REFUSED = [
    "<a@b",
    "<a b@c>",
    "<a@b>SIZE=3",
    "(comment)x y",
    "(open",
    "<a@b,c@d>",
    '<"a b@c>',
    "<a@[x]>",
    "<@>",
    "<a@>",
    "<a@b..c>",
    "<a@-b>",
    "<a@b-.c>",
    "<a@1.2.3.4>",
    "<a(x)b@c>",
    "<a@" + "b" * 300 + ">",
    "<a@" + "b" * 64 + ">",
    "<" + "a" * LONGEST_PATH + " @b>",
    "<a\udcff@b>",
    '<a@"b">',
    "<a\0@b>",
    '<"a\x01b"@c>',
    "<a@b\x7f>",
]


@pytest.mark.parametrize("path", TAKEN)
def test_taken(path: str) -> None:
    assert parse_path(path, utf8=True) == TAKEN[path]


@pytest.mark.parametrize("path", REFUSED)
def test_refused(path: str) -> None:
    with pytest.raises(PathError):
        parse_path(path)


@pytest.mark.parametrize("path", ["a@b", "<a@b>(hi)", "(hi)<a@b>", "<a@b>>x", "<a (x)@b>"])
def test_strict_refuses(path: str) -> None:
    with pytest.raises(PathError):
        parse_path(path, strict=True)


@pytest.mark.parametrize("path", ["<a@b>", '<"a b"@c>', "<@x:a@b>", "<user>", "<>"])
def test_strict_takes(path: str) -> None:
    assert parse_path(path, strict=True) == TAKEN[path]


def test_domain_in_utf8_needs_smtputf8() -> None:
    with pytest.raises(PathError):
        parse_path("<a@bücher.example>")


def test_address_within_an_address_without_domain() -> None:
    assert parse_path("<a@b.example@>") == "a@b.example@"
    with pytest.raises(PathError):
        parse_path("<a@@b.example>")
