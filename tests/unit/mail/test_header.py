"""Where a header ends, what fields it has; dates."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.dates import mail_date, message_id_stamp
from estafeta.mail.header import end_of_fields, fields, find, first, unfolded

HEAD = b"From: a@b\r\nSubject: one\r\n two\r\nX-Odd : v\r\n"


@pytest.mark.parametrize(
    ("data", "final", "end"),
    [
        (HEAD + b"\r\nbody\r\n", False, len(HEAD)),
        (HEAD + b"\r\n", False, len(HEAD)),
        (HEAD, False, -1),
        (HEAD, True, len(HEAD)),
        (HEAD + b"\r", False, -1),
        (HEAD + b"no header line\r\n", False, len(HEAD)),
        (HEAD + b"no header line", False, len(HEAD)),
        (HEAD + b"Maybe", False, -1),
        (HEAD + b"Maybe: yes", False, -1),
        (HEAD + b" continued", False, -1),
        (b"\r\nbody", False, 0),
        (b"", False, -1),
        (b"", True, 0),
        (b" starts folded\r\n", False, 0),
        (b": no name\r\n", False, 0),
    ],
)
def test_end_of_fields(data: bytes, final: bool, end: int) -> None:
    assert end_of_fields(data, final) == end


@given(st.binary(max_size=60), st.integers(0, 60))
def test_the_end_does_not_depend_on_how_data_arrives(data: bytes, cut: int) -> None:
    """An answer for a part of the data is the answer for all of it."""
    early = end_of_fields(data[:cut], False)
    if early >= 0:
        assert end_of_fields(data, True) == early


def test_fields_and_values() -> None:
    found = fields(HEAD + b"\r\n")
    assert [field.name for field in found] == [b"from", b"subject", b"x-odd"]
    assert unfolded(HEAD, found[1]) == "one two"
    assert HEAD[found[1].start : found[1].end] == b"Subject: one\r\n two\r\n"
    assert HEAD[found[2].start : found[2].end] == b"X-Odd : v\r\n"
    assert first(HEAD, found, b"from") == "a@b"
    assert first(HEAD, found, b"to") is None
    assert fields(b"") == []


def test_long_hostile_header_takes_linear_time() -> None:
    assert end_of_fields(b"a" * 2_000_000 + b"\r\n", True) == 0
    assert end_of_fields(b"a: b\r\n " * 200_000, True) > 0


def test_mail_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    try:
        assert mail_date(0.9) == "Thu,  1 Jan 1970 05:30:00 +0530 (IST)"
        monkeypatch.setenv("TZ", "EST5")
        time.tzset()
        assert mail_date(86400 * 14) == "Wed, 14 Jan 1970 19:00:00 -0500 (EST)"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_message_id_stamp() -> None:
    assert message_id_stamp(0) == "19700101000000"


@given(
    st.lists(
        st.sampled_from([b"A: b\r\n", b"B : c\r\n d\r\n", b"a:\r\n", b"C: \r\n\t\r\n", b"X-Y: a: b\r\n"]), max_size=8
    )
)
def test_find_finds_what_fields_has(parts: list[bytes]) -> None:
    head = b"".join(parts)
    wanted = {b"a", b"b", b"x-y"}
    for text in (head, head + b"\r\n"):
        assert find(text, wanted) == [field for field in fields(text) if field.name in wanted]
