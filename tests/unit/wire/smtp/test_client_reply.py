"""Replies of servers: whole, cut anywhere, and garbage. RFC 5321 4.2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire.smtp.client_reply import LONGEST_LINE, MOST_LINES, Reply, ReplyReader

EHLO = b"250-mx.example greets you\r\n250-PIPELINING\r\n250 SIZE 100\r\n"


def replies(*pieces: bytes) -> list[Reply]:
    reader, found = ReplyReader(), []
    for piece in pieces:
        reader.feed(piece)
        while (reply := reader.next_reply()) is not None:
            found.append(reply)
    return found


def one(raw: bytes) -> Reply:
    (reply,) = replies(raw)
    return reply


def test_one_line() -> None:
    reply = one(b"250 2.1.5 Ok\r\n")
    assert (reply.code, reply.kind, reply.dsn, reply.text) == (250, 2, "2.1.5", "250 2.1.5 Ok")


def test_several_lines_are_one_text() -> None:
    reply = one(EHLO)
    assert reply.text == "250-mx.example greets you 250-PIPELINING 250 SIZE 100"
    assert reply.lines[1] == "250-PIPELINING"


@pytest.mark.parametrize("cut", range(1, len(EHLO)))
def test_cut_anywhere(cut: int) -> None:
    found = replies(EHLO[:cut], EHLO[cut:] + b"220 x\r\n")
    assert [reply.lines for reply in found] == [one(EHLO).lines, ["220 x"]]


def test_byte_by_byte() -> None:
    found = replies(*[bytes([byte]) for byte in EHLO])
    assert [reply.text for reply in found] == [one(EHLO).text]


def test_pipelined_answers_come_one_by_one() -> None:
    found = replies(b"250 a\r\n550-5.1.1 b\r\n550 5.1.1 c\r\n354 d\r\n")
    assert [reply.code for reply in found] == [250, 550, 354]


def test_bare_newline_ends_a_line() -> None:
    assert [reply.text for reply in replies(b"250 a\n550 b\n")] == ["250 a", "550 b"]


@pytest.mark.parametrize(
    ("raw", "dsn"),
    [
        (b"550 5.1.1 no\r\n", "5.1.1"),
        (b"550 no\r\n", "5.0.0"),
        (b"550 4.2.1 class differs\r\n", "5.0.0"),
        (b"550 5.1.1\r\n", "5.1.1"),
        (b"550  5.1.1   blanks\r\n", "5.1.1"),
        (b"550-5.1.1 a\r\n550 5.1.3 the last counts\r\n", "5.1.3"),
        (b"450 4.7.1000 too long\r\n", "4.0.0"),
        (b"250\r\n", "2.0.0"),
    ],
)
def test_enhanced_status_code(raw: bytes, dsn: str) -> None:
    assert one(raw).dsn == dsn


def test_a_line_without_code_waits_for_one_and_spoils_refusals() -> None:
    reader = ReplyReader()
    reader.feed(b"hello there\r\n")
    assert reader.next_reply() is None
    reader.feed(b"550 no\r\n")
    reply = reader.next_reply()
    assert reply is not None and reply.garbled
    assert reply.kind == 0


def test_a_refusal_whose_lines_disagree_is_not_understood() -> None:
    assert one(b"250-fine\r\n550 5.1.1 no\r\n").kind == 0
    assert one(b"550-no\r\n550 5.1.1 no\r\n").kind == 5


def test_codes_that_nobody_knows_are_not_understood() -> None:
    assert one(b"999 what\r\n").kind == 0
    assert one(b"150 what\r\n").kind == 0


def test_odd_bytes_are_made_printable() -> None:
    assert one(b"550 a\x07\xff\x1b[1m \xc3\xa9\r\n").text == "550 a??" + "?[1m é"


def test_long_line_is_cut_and_its_rest_forgotten() -> None:
    found = replies(b"550 " + b"x" * 5000, b"y" * 5000 + b"\r\n250 ok\r\n")
    assert len(found[0].text) == LONGEST_LINE
    assert found[1].text == "250 ok"


def test_long_reply_keeps_the_beginning_and_ends_where_it_ends() -> None:
    reply = one(b"250-" + b"x" * 1000 + b"\r\n" + b"250-y\r\n" * 900 + b"250 end\r\n")
    assert reply.code == 250
    assert len(reply.text) < 2 * LONGEST_LINE


def test_endless_reply_has_an_end() -> None:
    reader = ReplyReader()
    reader.feed(b"250-\r\n" * (MOST_LINES + 5))
    assert reader.next_reply() is not None


def test_what_is_left_is_pending() -> None:
    reader = ReplyReader()
    reader.feed(b"250 a\r\n4")
    assert reader.next_reply() is not None
    assert reader.pending


@given(
    st.lists(st.sampled_from([b"250 ok\r\n", b"250-a\r\n", b"550 5.1.1 no\r\n", b"x\n", b"\r", b"\n", b"4", b"\xff"]))
)
def test_bytes_or_pieces_make_no_difference(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    at_once = [(reply.code, reply.text, reply.garbled) for reply in replies(whole)]
    assert [(r.code, r.text, r.garbled) for r in replies(*[bytes([byte]) for byte in whole])] == at_once


@given(st.binary(max_size=300))
def test_any_bytes_are_borne(raw: bytes) -> None:
    for reply in replies(raw):
        assert reply.text.isprintable()


def rewritten(raw: bytes, rules: dict[str, str]) -> list[Reply]:
    reader, found = ReplyReader(), []
    reader.rewrite = rules.get
    reader.feed(raw)
    while (reply := reader.next_reply()) is not None:
        found.append(reply)
    return found


def test_lines_are_rewritten_before_they_mean_anything() -> None:
    (reply,) = rewritten(b"550 5.1.1 no\r\n", {"550 5.1.1 no": "450 4.1.1 later"})
    assert (reply.code, reply.dsn, reply.garbled) == (450, "4.1.1", False)


def test_noise_that_was_rewritten_is_no_noise() -> None:
    (reply,) = rewritten(b"noise\r\n550 5.1.1 no\r\n", {"noise": "250-filler"})
    assert (reply.kind, reply.text) == (5, "250-filler 550 5.1.1 no")
    (reply,) = rewritten(b"other\r\n550 5.1.1 no\r\n", {"noise": "250-filler"})
    assert reply.garbled


def test_a_line_that_was_cut_is_known_by_its_beginning() -> None:
    reader = ReplyReader()
    reader.feed(b"250 ok\r\n550 " + b"x" * 3000 + b"\r\n")
    assert reader.next_reply() is not None and reader.cut == ""
    assert reader.next_reply() is not None and reader.cut == "550 " + "x" * 26
