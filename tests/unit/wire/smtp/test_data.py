"""Where content ends and what of it is passed on. The table is what Postfix 3.7.11 does."""

from __future__ import annotations

import pytest

from estafeta.wire.smtp.data import LONG_PART, DataDecoder, LineNormalizer

HEAD = b"S: x\r\n\r\nA"
TAIL = b"MAIL FROM:<z@z>\r\n.y\r\n"
END = b"\r\n.\r\n"

# Line end before the dot, line end after it, body with the rule "normalize" and with "no"; None: the dot was the end.
COMBINATIONS = [
    (b"\r\n", b"\r\n", None, None),
    (b"\r\n", b"\n", b"A\nMAIL FROM:<z@z>\ny\n\n", None),
    (b"\r\n", b"\r", b"A\n MAIL FROM:<z@z>\ny\n\n", b"A\n MAIL FROM:<z@z>\ny\n\n"),
    (b"\r\n", b"\r\r\n", b"A\n \nMAIL FROM:<z@z>\ny\n\n", None),
    (b"\n", b"\r\n", b"A\nMAIL FROM:<z@z>\ny\n\n", None),
    (b"\n", b"\n", b"A\nMAIL FROM:<z@z>\ny\n\n", None),
    (b"\n", b"\r", b"A\n MAIL FROM:<z@z>\ny\n\n", b"A\n MAIL FROM:<z@z>\ny\n\n"),
    (b"\n", b"\r\r\n", b"A\n \nMAIL FROM:<z@z>\ny\n\n", None),
    (b"\r", b"\r\n", b"A .\nMAIL FROM:<z@z>\ny\n\n", b"A .\nMAIL FROM:<z@z>\ny\n\n"),
    (b"\r", b"\n", b"A .\nMAIL FROM:<z@z>\ny\n\n", b"A .\nMAIL FROM:<z@z>\ny\n\n"),
    (b"\r", b"\r", b"A . MAIL FROM:<z@z>\ny\n\n", b"A . MAIL FROM:<z@z>\ny\n\n"),
    (b"\r", b"\r\r\n", b"A . \nMAIL FROM:<z@z>\ny\n\n", b"A .\nMAIL FROM:<z@z>\ny\n\n"),
    (b"\r\r\n", b"\r\n", None, None),
    (b"\r\r\n", b"\n", b"A \nMAIL FROM:<z@z>\ny\n\n", None),
    (b"\r\r\n", b"\r", b"A \n MAIL FROM:<z@z>\ny\n\n", b"A\n MAIL FROM:<z@z>\ny\n\n"),
    (b"\r\r\n", b"\r\r\n", b"A \n \nMAIL FROM:<z@z>\ny\n\n", None),
]


def decoded(decoder: DataDecoder, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """(content, what came after the end)"""
    content, rest = b"", b""
    for piece in pieces:
        if decoder.done:
            rest += piece
        else:
            content += decoder.feed(piece)
            rest += decoder.rest
    assert decoder.done
    return content, rest


def cuts(data: bytes) -> list[list[bytes]]:
    """The data whole, byte by byte, and cut in two at every place."""
    ways = [[data], [data[at : at + 1] for at in range(len(data))]]
    return ways + [[data[:at], data[at:]] for at in range(1, len(data))]


@pytest.mark.parametrize("strict", [True, False], ids=["normalize", "no"])
@pytest.mark.parametrize("before, after, normalize, no", COMBINATIONS)
def test_every_line_end_around_a_lone_dot(
    before: bytes, after: bytes, normalize: bytes | None, no: bytes | None, strict: bool
) -> None:
    data = HEAD + before + b"." + after + TAIL + END
    body = normalize if strict else no
    for pieces in cuts(data):
        content, rest = decoded(DataDecoder(strict=strict), pieces)
        if body is None:
            assert content.rstrip(b" \r\n") == HEAD
            assert rest == TAIL + END
        else:
            assert content == b"S: x\r\n\r\n" + body.replace(b"\n", b"\r\n")
            assert rest == b""


@pytest.mark.parametrize(
    "sent, content",
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"..a\r\n.b\r\n...\r\n.\r\n", b".a\r\nb\r\n..\r\n"),
        (b"a\rb\r\n.\r\n", b"a b\r\n"),
        (b"\r\n\rb\r\n.\r\n", b"\r\n b\r\n"),
        (b"x\n..y\n.z\r\n.\r\n", b"x\r\n.y\r\nz\r\n"),
        (b"a\0b\xff\r\n.\r\n", b"a\0b\xff\r\n"),
        (b"a\r\r\r\nb\r\n.\r\n", b"a  \r\nb\r\n"),
    ],
)
def test_content(sent: bytes, content: bytes) -> None:
    for pieces in cuts(sent + b"QUIT\r\n"):
        assert decoded(DataDecoder(), pieces) == (content, b"QUIT\r\n")


def test_all_carriage_returns_before_a_newline_belong_to_it_without_strictness() -> None:
    assert decoded(DataDecoder(strict=False), [b"a\r\r\r\nb\r\n.\r\n"])[0] == b"a\r\nb\r\n"


def test_stray_carriage_returns_stay_if_told_so() -> None:
    assert decoded(DataDecoder(replace_stray=False), [b"a\rb\r\n.\r\n"])[0] == b"a\rb\r\n"


def test_bare_newlines_are_noticed() -> None:
    decoder = DataDecoder()
    decoded(decoder, [b"a\nb\r\n.\r\n"])
    assert decoder.bare_newline
    decoder = DataDecoder()
    decoded(decoder, [b"a\r\nb\r\n.\r\n"])
    assert not decoder.bare_newline


@pytest.mark.parametrize("size", [LONG_PART - 1, LONG_PART, LONG_PART + 1, 5 * LONG_PART])
def test_a_long_line_is_passed_on_whole_and_not_held(size: int) -> None:
    decoder = DataDecoder()
    content = b""
    line = b"." + b"y" * size
    for at in range(0, len(line), 100):
        content += decoder.feed(line[at : at + 100])
        assert len(decoder._held) <= LONG_PART + 100
    content += decoder.feed(b"\r\n.\r\n")
    assert decoder.done
    assert content == b"y" * size + b"\r\n"


def test_a_dot_after_a_part_of_a_long_line_is_content() -> None:
    decoder = DataDecoder()
    content = decoder.feed(b"y" * (LONG_PART + 1)) + decoder.feed(b".\r\n.\r\n")
    assert content == b"y" * (LONG_PART + 1) + b".\r\n"


@pytest.mark.parametrize(
    "sent, content",
    [
        (b"", b""),
        (b"ab\r\n", b"ab\r\n"),
        (b"ab", b"ab\r\n"),
        (b"ab\r", b"ab \r\n"),
        (b"ab\n.\ncd\rx", b"ab\r\n.\r\ncd x\r\n"),
        (b"..\r\n.x\r\n", b"..\r\n.x\r\n"),
        (b"\r\r\n", b" \r\n"),
    ],
)
def test_chunks_become_lines(sent: bytes, content: bytes) -> None:
    for pieces in cuts(sent):
        lines = LineNormalizer()
        assert b"".join(lines.feed(piece) for piece in pieces) + lines.finish() == content


def test_a_line_end_may_lie_across_two_chunks() -> None:
    lines = LineNormalizer()
    assert lines.feed(b"ab\r") + lines.feed(b"\ncd") + lines.finish() == b"ab\r\ncd\r\n"
    assert not lines.bare_newline
