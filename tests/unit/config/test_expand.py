"""The expression language of main.cf."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.config.expand import NESTING_LIMIT, ExpandError, compare, expand, level, names

VALUES = {"a": "one", "empty": "", "ref": "<$a>", "dangling": "$empty", "self": "$self", "dollar": "$$x"}


def expanded(text: str) -> str:
    return expand(text, VALUES.get)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("$a ${a} $(a)", "one one one"),
        ("$a.b$a-", "one.bone-"),
        ("$ref", "<one>"),
        ("$nosuch|", "|"),
        ("$$a$$", "$a$"),
        ("$dollar", "$x"),
        ("${a?x y}|${empty?x}|", "x y||"),
        ("${a:x}|${empty: x }|", "| x |"),
        ("${a ? { p q } : { r } }|", " p q |"),
        ("${empty?{p}:{r$a}}", "rone"),
        ("${empty?{p}: q }|", " q |"),
        ("${a?x:y}", "x:y"),
        ("${a:x?y}", ""),
        ("${a?{b}:}", "b"),
        ("$(a?{x}:{y})", "x"),
        ("${ a }", "one"),
        ("${a?${ref?b}}", "b"),
        ("${a?{{p}{q}}}", "{p}{q}"),
        ("${dangling?{set}:{unset}}", "set"),
        ("${{$a} == {one} ? {yes} : {no}}", "yes"),
        ("${{a}=={a}}|${{a}!={a}}|", "true||"),
        ("${{ a } == {a} ? {t}:{f}}", "f"),
        ("${{1}<{2}: no }|", "|"),
        ("${{9} < {10}}${{b} < {a}}", "true"),
        ("${{3.6} <level {3.10} ? {lt}:{ge}}", "lt"),
        ("${{1}>=level{1.0.0}}", "true"),
        ("${domain_to_ascii{bücher.example}}", "xn--bcher-kva.example"),
        ("${domain_to_ascii{$empty}?{x}:{y}}", "y"),
    ],
)
def test_expands(text: str, result: str) -> None:
    assert expanded(text) == result


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("${", "truncated macro reference"),
        ("$(a}", "truncated macro reference"),
        ("${}", "empty macro name"),
        ("end$", "write \\$\\$"),
        ("$ x", "empty macro name"),
        ("${a-b}", "attribute name syntax error"),
        ("${a?{x}{y}}", '":" expected'),
        ("${a?{x}:{y}z}", "unexpected input"),
        ("${{a} === {b}}", "expected at"),
        ("${{a} == b}", "expression"),
        ("${{1}<{2}x}", '"\\?" or ":" expected'),
        ("${{1} <levels {2}}", "bad operator suffix"),
        ("${{x} <level {2}}", "malformed compatibility level"),
        ("$self", "refer to itself"),
    ],
)
def test_bad_syntax_is_named(text: str, complaint: str) -> None:
    with pytest.raises(ExpandError, match=complaint):
        expanded(text)


def test_a_branch_that_is_not_taken_is_not_read() -> None:
    assert expanded("${a?{fine}:{$ broken}}") == "fine"


def test_values_may_nest_up_to_the_limit() -> None:
    chain = {f"p{n}": f"$p{n + 1}" for n in range(1, NESTING_LIMIT)} | {f"p{NESTING_LIMIT}": "end"}
    assert expand("$p1", chain.get) == "end"
    chain |= {f"p{NESTING_LIMIT}": f"$p{NESTING_LIMIT + 1}", f"p{NESTING_LIMIT + 1}": "end"}
    with pytest.raises(ExpandError):
        expand("$p1", chain.get)


def test_not_recursive_leaves_dollars_in_values_alone() -> None:
    assert expand("$a and ${b}", {"a": "$b", "b": "$(rm)"}.get, recursive=False) == "$b and $(rm)"


def test_names_are_found_everywhere() -> None:
    assert list(names("$a ${b?{$c}:{$d}} ${{$e} == {$f} ? {$g}} $$h ${domain_to_ascii{$i}}")) == list("abcdefgi")


def test_digits_compare_as_numbers_and_all_else_as_text() -> None:
    assert compare("9", "<", "10")
    assert compare("9a", ">", "10")
    assert compare("-1", "<", "3")
    assert compare("007", "==", "7")


def test_levels_compare_part_by_part() -> None:
    assert level("3.10") > level("3.6") > level("3") == level("3.0.0")
    for bad in ("", "3.", "x", "3.6-2", "1.2.3.4", " 3"):
        with pytest.raises(ExpandError):
            level(bad)


@given(st.text(alphabet="$(){}?:= ab<>!", max_size=40))
def test_any_text_gives_text_or_an_expand_error(text: str) -> None:
    try:
        assert isinstance(expanded(text), str)
    except ExpandError as reason:
        assert str(reason)
