"""regexp and pcre: what a hostile text or a careless pattern cannot do, and how POSIX patterns are read."""

from __future__ import annotations

import asyncio
import time

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from estafeta.tables.index import open_table
from estafeta.tables.posix_regex import PosixError, translate
from estafeta.tables.table import Flags, Table, TableDown


def get(table: Table, key: str) -> str | None:
    return asyncio.run(table.get(key))


@pytest.mark.parametrize("kind", ["regexp", "pcre"])
def test_catastrophic_pattern_is_stopped_and_means_later(kind: str, lines: list[str]) -> None:
    table = open_table(f"{kind}:{{{{/^(a|aa)+$/ $1}}, {{/x/ y}}}}")
    begun = time.monotonic()
    with pytest.raises(TableDown, match="line 1: backtracking limit exceeded"):
        get(table, "a" * 200 + "!")
    assert time.monotonic() - begun < 20, "it must end"
    assert "write a pattern that needs less trying" in lines[0]
    assert get(table, "x") == "y"


@pytest.mark.parametrize("kind", ["regexp", "pcre"])
def test_no_part_of_the_key_goes_into_a_result_that_decides_about_rights(kind: str, lines: list[str]) -> None:
    table = open_table(f"{kind}:{{{{/(.*)/ |$1}}}}", Flags(substitute=False))
    assert get(table, "x") is None
    assert "substitution is not allowed" in lines[0]


@pytest.mark.parametrize("kind", ["regexp", "pcre"])
def test_keys_that_are_not_utf8(kind: str) -> None:
    spec = f"{kind}:{{{{/^(.*)$/ <$1>}}}}"
    assert get(open_table(spec), "\udcff") is None
    assert get(open_table(spec, Flags(utf8=False)), "\udcff") == "<\udcff>"


def test_nested_conditions() -> None:
    table = open_table("regexp:{{if /a/},{if !/b/},{/./ a-not-b},{endif},{/c/ a-b-c},{endif},{/z/ z}}")
    assert [get(table, key) for key in ("a", "ab", "abc", "z", "b")] == ["a-not-b", None, "a-b-c", "z", None]


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a|ab", "ab", "ab"),
        ("x*", "xxx", "xxx"),
        ("(a|ab)(c|bcd)", "abcd", "abcd"),
        ("[]a]+", "]a]", "]a]"),
        ("[^]a]", "]ab", "b"),
        ("[[:digit:][:alpha:]-]+", "!a-1!", "a-1"),
        ("[a\\]+", "a\\", "a\\"),
        ("\\.", "a.", "."),
        ("a{2}", "aaa", "aa"),
        ("a{,2}b", "aaab", "aab"),
        ("a**", "aa", "aa"),
        ("x*?", "xx", "xx"),
        ("a)", "a)", "a)"),
        ("()x", "x", "x"),
        ("\\d", "d", "d"),
        ("(b)\\1", "abb", "bb"),
        ("\\<b", "ab b", "b"),
        ("a$", "a\n", None),
        ("^b", "a\nb", None),
        ("a.b", "a\nb", "a\nb"),
    ],
)
def test_extended_expressions(pattern: str, text: str, expected: str | None) -> None:
    found = regex.search(translate(pattern, extended=True, newline=False), text, regex.POSIX | regex.V0)
    assert (found[0] if found else None) == expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a+", "aa+", "a+"),
        ("a\\+", "aa", "aa"),
        ("*a", "x*a", "*a"),
        ("^*a", "*a", "*a"),
        ("\\(a\\)\\1", "aa", "aa"),
        ("a\\|b", "b", "b"),
        ("a\\{2\\}", "aaa", "aa"),
        ("a^b$c", "a^b$c", "a^b$c"),
        ("(a)", "(a)", "(a)"),
    ],
)
def test_basic_expressions(pattern: str, text: str, expected: str) -> None:
    found = regex.search(translate(pattern, extended=False, newline=False), text, regex.POSIX | regex.V0)
    assert found is not None
    assert found[0] == expected


def test_line_ends_count_where_they_are_asked_for() -> None:
    assert regex.search(translate("^b$", extended=True, newline=True), "a\nb\nc")
    assert not regex.search(translate("a.b", extended=True, newline=True), "a\nb")
    assert not regex.search(translate("a[^x]b", extended=True, newline=True), "a\nb")


@given(st.text(alphabet="ab()[]{}*+?|^$.\\1,-:=]x<", max_size=12), st.booleans(), st.booleans())
def test_any_pattern_is_translated_or_refused(pattern: str, extended: bool, newline: bool) -> None:
    try:
        translated = translate(pattern, extended=extended, newline=newline)
    except PosixError:
        return
    regex.compile(translated, regex.V0)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(PosixError, match="too big"):
        translate("(" * 100_000, extended=True, newline=False)
