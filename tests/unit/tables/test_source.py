"""Inline rules and alias-like sources; the forms themselves are in the recorded cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.tables.source import alias_entries, inline_rules, looks_like_aliases, map_entries
from estafeta.tables.table import TableError


def test_inline_rules() -> None:
    assert inline_rules("cidr", "/etc/x") is None
    assert inline_rules("cidr", "{ { /a{2}/ b }, {c d} }") == ["/a{2}/ b", "c d"]
    for wrong in ("{{a b}", "{a b}", "{{a}}}", "{{a} b}"):
        with pytest.raises(TableError):
            inline_rules("cidr", wrong)


def test_alias_like() -> None:
    assert looks_like_aliases(["# c", "root: x", " more", '"a b" : y'])
    assert not looks_like_aliases(["user@example.com other"])
    assert not looks_like_aliases(["[smtp.example.com]:587 user:password"])
    assert not looks_like_aliases(["2001:db8::1 OK"])
    assert not looks_like_aliases([])


@given(st.lists(st.text(max_size=40), max_size=8))
def test_any_source_is_read(lines: list[str]) -> None:
    for entry in (*map_entries(lines, "f"), *alias_entries(lines, "f")):
        assert entry.value
