from __future__ import annotations

import pytest

from estafeta.wire.smtp.reply import multiline, split_enhanced, to_wire
from estafeta.wire.smtp.server import parse_notify, parse_orcpt, parse_xtext, split_command, split_path_command, words


@pytest.mark.parametrize(
    "line, verb, arguments",
    [
        ("QUIT", "QUIT", ""),
        ("quit ", "QUIT", ""),
        ("mail from:<a@b>", "MAIL", "from:<a@b>"),
        ("  MAIL  FROM:<a@b> ", "MAIL", "FROM:<a@b>"),
        ("MAIL\tFROM:<a@b>", "MAIL", "FROM:<a@b>"),
        ("", "", ""),
        ("   ", "", ""),
    ],
)
def test_split_command(line: str, verb: str, arguments: str) -> None:
    assert split_command(line) == (verb, arguments)


@pytest.mark.parametrize(
    "arguments, found",
    [
        ("a b", ["a", "b"]),
        ("<a b@c> x", ["<a b@c>", "x"]),
        ('<"a b> c"@d> x', ['<"a b> c"@d>', "x"]),
        ('"a b"@c d', ['"a b"@c', "d"]),
        ("<a\\ b@c> d", ["<a\\ b@c>", "d"]),
        ("<a b", ["<a b"]),
        ('"open x', ['"open x']),
        ("a\\", ["a\\"]),
        ("<<a@b> c> d", ["<<a@b> c>", "d"]),
        ("<a@b>SIZE=3", ["<a@b>SIZE=3"]),
        ("", []),
    ],
)
def test_words(arguments: str, found: list[str]) -> None:
    assert words(arguments) == found


@pytest.mark.parametrize(
    "arguments, found",
    [
        ("FROM:<a@b>", ("<a@b>", [])),
        ("from: <a@b>", ("<a@b>", [])),
        ("FROM:<a@b> SIZE=1  BODY=7BIT", ("<a@b>", ["SIZE=1", "BODY=7BIT"])),
        ("FROM:<a@b> <c@d>", ("<a@b>", ["<c@d>"])),
        ("FROM:a@b X", ("a@b", ["X"])),
        ("FROM:<a b@c> X", ("<a b@c>", ["X"])),
        ("FROM:", None),
        ("FROM", None),
        ("FROM :<a@b>", None),
        ("TO:<a@b>", None),
    ],
)
def test_split_path_command(arguments: str, found: tuple[str, list[str]] | None) -> None:
    assert split_path_command(arguments, "FROM") == found


@pytest.mark.parametrize(
    "value, bits",
    [
        ("NEVER", 1),
        ("success", 2),
        ("SUCCESS,FAILURE,DELAY", 14),
        ("", None),
        ("NEVER,DELAY", None),
        ("DELAY,DELAY", 8),
    ],
)
def test_notify(value: str, bits: int | None) -> None:
    assert parse_notify(value) == bits


@pytest.mark.parametrize(
    "value, decoded",
    [
        ("rfc822;x+2By@z", "rfc822;x+y@z"),
        ("rfc822;", "rfc822;"),
        (";x", None),
        ("x", None),
        ("rfc822;+0D", "rfc822;?"),
        ("utf-8;aé@b", "utf-8;aé@b"),
        ("rfc822;+FF", None),
        ("rfc822;" + "x" * 600, None),
    ],
)
def test_orcpt(value: str, decoded: str | None) -> None:
    assert parse_orcpt(value) == decoded


def test_xtext() -> None:
    assert parse_xtext("a+20b") == "a b"
    assert parse_xtext("a+2") is None
    assert parse_xtext("") is None


def test_replies() -> None:
    assert multiline(250, ["a", "b", "c"]) == "250-a\r\n250-b\r\n250 c"
    assert to_wire("250 é") == b"250 \xc3\xa9\r\n"
    assert split_enhanced("5.7.1 no way") == ("5.7.1", "no way")
    assert split_enhanced("5.7.1") == ("5.7.1", "")
    assert split_enhanced("5.7 no") == ("", "5.7 no")
