"""The kinds of parameter: what each accepts, what it makes of it, and what it says when it refuses."""

from __future__ import annotations

from typing import Any, cast

import pytest

from estafeta.config import kinds
from estafeta.config.kinds import Parameter, choice, code, flag, mirror, number, raw, seconds, text, words

TEXT = "What it does."


def parse(declaration: object, value: str) -> Any:
    return cast(Parameter, declaration).parse(value)


def limits(declaration: object) -> str:
    return cast(Parameter, declaration).limits


@pytest.mark.parametrize(("value", "result"), [("yes", True), ("No", False), ("YES", True)])
def test_flag(value: str, result: bool) -> None:
    assert parse(flag("no", TEXT), value) is result


@pytest.mark.parametrize("value", ["", "true", "1", "yes "])
def test_flag_refuses_other_words(value: str) -> None:
    with pytest.raises(ValueError, match="write yes or no"):
        parse(flag("no", TEXT), value)


def test_number_keeps_to_its_limits() -> None:
    declared = number("5", TEXT, least=1, most=9)
    assert parse(declared, "9") == 9
    for value, reason in (("0", "too small"), ("10", "too large"), ("five", "digits only"), ("", "digits only")):
        with pytest.raises(ValueError, match=reason):
            parse(declared, value)
    assert limits(declared) == "at least 1, at most 9"


@pytest.mark.parametrize(
    ("default", "value", "result"),
    [("100s", "30", 30), ("5d", "2", 172800), ("0h", "4", 14400), ("1s", "2w", 1209600), ("1s", "3M", 180)],
)
def test_seconds_without_a_unit_take_that_of_the_default(default: str, value: str, result: int) -> None:
    assert parse(seconds(default, TEXT), value) == result


def test_seconds_keep_to_their_limits() -> None:
    declared = seconds("1s", TEXT, least=1, most=10)
    for value, reason in (
        ("0", "too short"),
        ("11s", "too long"),
        ("-1", "bad time"),
        ("1x", "bad time"),
        ("9999w", "the most"),
    ):
        with pytest.raises(ValueError, match=reason):
            parse(declared, value)


def test_text_keeps_to_its_length() -> None:
    assert parse(text("", TEXT), "") == ""
    with pytest.raises(ValueError, match="may not be empty"):
        parse(text("x", TEXT, least=1), "")
    with pytest.raises(ValueError, match="at least 2 characters"):
        parse(text("+=", TEXT, least=2, most=2), "+")
    with pytest.raises(ValueError, match="at most 2 characters"):
        parse(text("+=", TEXT, least=2, most=2), "+=-")


def test_raw_is_not_expanded() -> None:
    assert cast(Parameter, raw("$user", TEXT)).expand is False
    with pytest.raises(ValueError, match="may not be empty"):
        parse(raw("$user", TEXT, least=1), "")


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("", ()),
        ("a, b  c,,d", ("a", "b", "c", "d")),
        ("hash:/x { a, b } c", ("hash:/x", "{ a, b }", "c")),
        ("inline:{{a=1}, {b=2}}", ("inline:{{a=1}, {b=2}}",)),
    ],
)
def test_words(value: str, result: tuple[str, ...]) -> None:
    assert parse(words("", TEXT), value) == result


@pytest.mark.parametrize(("value", "reason"), [("{ a", "missing '}'"), ("{ a } }", "without '{'")])
def test_words_refuse_braces_that_do_not_match(value: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(words("", TEXT), value)


def test_words_that_may_not_be_empty() -> None:
    with pytest.raises(ValueError, match="may not be empty"):
        parse(words("all", TEXT, least=1), " , ")


@pytest.mark.parametrize("value", ["55", "5500", "150", "650", "abc", ""])
def test_code_refuses_what_is_no_reply_code(value: str) -> None:
    assert parse(code("550", TEXT), "450") == 450
    with pytest.raises(ValueError, match="three digits"):
        parse(code("550", TEXT), value)


def test_choice_ignores_case_and_lists_its_words() -> None:
    declared = choice("always", TEXT, "always never")
    assert parse(declared, "NEVER") == "never"
    assert limits(declared) == "always, never"
    for value in ("sometimes", ""):
        with pytest.raises(ValueError, match="is not one of: always, never"):
            parse(declared, value)


def test_choice_may_be_empty_where_the_default_is_or_the_declaration_says_so() -> None:
    assert parse(choice("", TEXT, "haproxy"), "") == ""
    assert parse(choice("$other", TEXT, "may encrypt", empty=True), "") == ""


def test_mirror_has_the_kind_and_limits_of_its_source_and_follows_it() -> None:
    copy = cast(Parameter, mirror(number("5", TEXT, most=9), "smtpd_five", "As smtpd_five.", pending=True))
    assert (copy.kind, copy.default, copy.text, copy.pending) == ("number", "$smtpd_five", "As smtpd_five.", True)
    with pytest.raises(ValueError, match="too large"):
        copy.parse("10")


def test_times_are_read_with_every_unit() -> None:
    assert [kinds.parse_seconds("1" + unit) for unit in "smhdw"] == [1, 60, 3600, 86400, 604800]


def test_words_of_a_given_set() -> None:
    """A word misspelt in smtp_host_lookup would be a reason to return mail."""
    assert parse(words("dns", TEXT, among="dns native"), "Native, dns") == ("native", "dns")
    with pytest.raises(ValueError, match="unknown word 'dsn' in 'dsn native': the words are dns, native"):
        parse(words("dns", TEXT, among="dns native"), "dsn native")


@pytest.mark.parametrize("value", ["1_0", "\u0663", "", "-", "1e3", "0x10", "9" * 19])
def test_a_number_is_digits_and_fits_into_64_bits(value: str) -> None:
    with pytest.raises(ValueError, match="bad number"):
        parse(number("1", TEXT), value)


def test_a_number_may_be_as_large_as_18_digits() -> None:
    assert parse(number("1", TEXT), "9" * 18) == 10**18 - 1
