"""Content in pieces of any size gives the same header and body."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.intake.content import HEADER_LIMIT, Content, HeaderTooBig

MESSAGE = (
    b"Received: from somewhere by somewhere else with a name long enough\r\n\tto fold\r\nSubject: x\r\n"
    b"\r\nbody\r\nmore\r\n"
)


def taken(pieces: list[bytes], **options: object) -> tuple[bytes | None, bool, bytes, int]:
    content = Content(fix_strays=True, **options)  # type: ignore[arg-type]
    for piece in pieces:
        content.feed(piece)
    content.close()
    return content.head, content.blank, b"".join(content.body), content.size


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_pieces_of_any_size(size: int) -> None:
    pieces = [MESSAGE[at : at + size] for at in range(0, len(MESSAGE), size)]
    head, blank, body, count = taken(pieces)
    assert head is not None and head.endswith(b"Subject: x\r\n")
    assert blank
    assert body == b"body\r\nmore\r\n"
    assert count == len(MESSAGE) - MESSAGE.count(b"\r\n")


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a", b": ", b"\r\n", b" ", b"From x", b"h: v\r\n"]), max_size=60))
def test_however_it_is_cut(parts: list[bytes]) -> None:
    whole = taken([b"".join(parts)])
    assert taken(parts) == whole
    head, blank, body, size = whole
    text = (head or b"") + (b"\r\n" if blank else b"") + body
    assert b"\n" not in text.replace(b"\r\n", b"") and b"\r" not in text.replace(b"\r\n", b"")
    assert not text or text.endswith(b"\r\n")
    assert size == len(text) - text.count(b"\n")


def test_the_body_is_not_joined() -> None:
    content = Content(fix_strays=True)
    content.feed(MESSAGE)
    piece = b"x" * 1000 + b"\r\n"
    content.feed(piece)
    assert content.body[-1] is piece


def test_only_a_header() -> None:
    assert taken([b"Subject: x\r\n"]) == (b"Subject: x\r\n", False, b"", 11)
    assert taken([b"Subject: x\r\n\r\n"]) == (b"Subject: x\r\n", True, b"", 12)
    assert taken([]) == (b"", False, b"", 0)
    assert taken([b"\r\n"]) == (b"", True, b"", 1)


def test_a_line_that_is_no_field_ends_the_header() -> None:
    assert taken([b"Subject: x\r\nbroken line\r\nTo: a\r\n"]) == (
        b"Subject: x\r\n", True, b"broken line\r\nTo: a\r\n", 11 + 1 + 12 + 6,
    )  # fmt: skip


def test_mailbox_separator_gets_a_name() -> None:
    assert taken([b"From root Mon\r\nSubject: x\r\n\r\n"])[0] == b"X-Mailbox-Line: From root Mon\r\nSubject: x\r\n"


def test_strip_characters() -> None:
    assert taken([b"Subject: x\r\n\r\na\0b\r\n"], strip=b"\0")[2] == b"ab\r\n"


def test_endless_header() -> None:
    content = Content(fix_strays=True)
    with pytest.raises(HeaderTooBig):
        for _ in range(3 * HEADER_LIMIT // 1000):
            content.feed(b"X: " + b"y" * 995 + b"\r\n")
        content.close()
