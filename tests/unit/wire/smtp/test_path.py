"""The address in MAIL, RCPT and VRFY. The tables are what Postfix 3.7.11 takes and refuses."""

from __future__ import annotations

import pytest

from estafeta.wire.smtp.path import LONGEST_PATH, PathError, Unfinished, parse_path, plain_path

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
    "a:b:c@d;": "c@d",
    "g@h:a@b;": "a@b",
    "group:a@b": "group:a@b",
    "g:;": "",
    "(open": "",
    "<a(@b>": "a",
    "<a)b]@c>": "a)b]@c",
    "<,a@b,>": "a@b",
    "c d<a@b>": "a@b",
    "c<a b@c>": "ab@c",
    "c<@x:a@b>": "@x:a@b",
    "<@x:@y:a@b>": "@y:a@b",
    "<a@[192.0.2.1>": "a@[192.0.2.1]",
    '<a@"b">': "a@b",
    "<a@b\\.c>": "a@b.c",
    "<a%[192.0.2.1]>": "a%[192.0.2.1]",
    "<a@@b>": "a@@b",
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
    "<a@b,c@d>",
    '<"a b@c>',
    "<a(x)b@c>",
    '<"a"b@c>',
    "<a[b]c@d>",
    "<<a@b>",
    "<<a@b> c>",
    "<a@b><c@d>",
    '<a@b>"',
    "<" + "a" * LONGEST_PATH + " @b>",
    "<a\udcff@b>",
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


@pytest.mark.parametrize(
    "path",
    ["a@b", "<a@b>(hi)", "(hi)<a@b>", "<a@b>>x", "<a (x)@b>", "<@b>", "<a@b,>", "<g:a@b;>", "<c<a@b>>", "<@x:@y:a@b>"],
)
def test_strict_refuses(path: str) -> None:
    with pytest.raises(PathError):
        parse_path(path, strict=True)


@pytest.mark.parametrize("path", ["<a@b>", '<"a b"@c>', "<@x:a@b>", "<user>", "<>"])
def test_strict_takes(path: str) -> None:
    assert parse_path(path, strict=True) == TAKEN[path]


def test_domain_in_utf8_needs_smtputf8() -> None:
    with pytest.raises(PathError):
        parse_path("<a@bücher.example>")


PLAIN = ["<a@b>", "<>", "<user>", "<a.b+c=d@mail.example.com>"]
NOT_PLAIN = [
    "a@b",
    "<a@b-c>",
    "<a@b..c>",
    "<a@1.2.3.4>",
    "<a%b@c>",
    "<a!b>",
    "<-a@b>",
    '<"a"@b>',
    "<a@[192.0.2.1]>",
    "<a@>",
    "<@>",
]


@pytest.mark.parametrize("path", PLAIN)
def test_plain_paths_are_read_at_a_glance(path: str) -> None:
    assert plain_path(path) == parse_path(path) == path[1:-1]


@pytest.mark.parametrize("path", [*NOT_PLAIN, "<a@" + "b" * 64 + ">"])
def test_what_routing_may_find_fault_with_is_not_plain(path: str) -> None:
    assert plain_path(path) is None


@pytest.mark.parametrize("path", ["<a@b", "<<a@b>", "<a\\>", '"a@b'])
def test_what_has_no_end(path: str) -> None:
    with pytest.raises(Unfinished):
        parse_path(path)
