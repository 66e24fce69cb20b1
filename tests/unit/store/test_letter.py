from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from estafeta.store import letter

LINES = st.lists(st.sampled_from([b"From x", b"from x", b">From x", b"", b"a\rb", b"Fro", b"m From "]), max_size=8)


@given(LINES, st.lists(st.integers(0, 60), max_size=6))
def test_pieces_give_what_the_whole_gives(lines: list[bytes], cuts: list[int]) -> None:
    whole = b"\r\n".join(lines)
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[start:end] for start, end in pairwise(places)]
    expected = whole.replace(b"\r\n", b"\n")
    expected += b"" if expected.endswith(b"\n") or not expected else b"\n"
    assert b"".join(letter.lf(lambda: iter(pieces))) == expected
    quoted = b"".join(b">" + line if line.startswith(b"From ") else line for line in expected.splitlines(keepends=True))
    if b"\r" not in quoted:
        assert b"".join(letter.from_quoted(letter.lf(lambda: iter(pieces)))) == quoted


def test_delivered_to_fields_are_found_in_any_case_and_folded() -> None:
    head = b"Delivered-To: A@b\r\nX: Delivered-To: no@b\r\ndelivered-to :\r\n c@d\r\n\r\n"
    assert letter.delivered_to(head) == {"a@b", "c@d"}


def test_the_lines_before_the_content() -> None:
    assert letter.opening("", "", "") == b"Return-Path: <>\n"
    assert letter.opening("a b@c", "o@x", "d@x") == (b'Return-Path: <"a b"@c>\nX-Original-To: o@x\nDelivered-To: d@x\n')
