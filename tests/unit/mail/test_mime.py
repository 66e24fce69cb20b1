"""A walk through a message loses nothing, wherever it is cut, and finds its parts."""

from __future__ import annotations

import time
from email import message_from_bytes

from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.mime import LONGEST_LINE, Kind, Walk, headers_ascii
from estafeta.mail.seven_bit import SevenBit, quoted_printable, seven_bit

LINES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=a",
        b'Content-Type: multipart/digest;\r\n\tboundary="b c"',
        b"Content-Type: message/rfc822",
        b"Content-Transfer-Encoding: 8bit",
        b"content-transfer-encoding : BINARY (x)",
        b"Subject: \xc3\xa9",
        b" folded",
        b"",
        b"--a",
        b"--a--",
        b"--b c",
        b"--b c-- ",
        b"--",
        b"text = \xff ",
        b".",
        b"\rx\r",
        b"x" * 90,
    ]
)
MESSAGES = st.lists(LINES, max_size=25).map(b"\r\n".join)


def walked(content: bytes, size: int) -> list[tuple[Kind, bytes]]:
    walk = Walk()
    events = [
        (each.kind, each.data) for at in range(0, len(content), size) for each in walk.feed(content[at : at + size])
    ]
    return events + [(each.kind, each.data) for each in walk.finish()]


@given(MESSAGES, st.integers(1, 40))
def test_nothing_is_lost_wherever_it_is_cut(content: bytes, size: int) -> None:
    assert b"".join(data for _, data in walked(content, size)) == content


@given(MESSAGES, st.integers(1, 40))
def test_conversion_does_not_depend_on_pieces(content: bytes, size: int) -> None:
    change = SevenBit()
    out = b"".join(change.feed(content[at : at + size]) for at in range(0, len(content), size)) + change.finish()
    assert out == seven_bit(content)
    # what is seven bits long already is converted no further, and a message that says nothing stays as it is
    if b"content-transfer-encoding" not in content.lower():
        assert out == content


BODIES = st.text(alphabet="aé =\t.-\n", max_size=120)


@given(
    st.lists(st.tuples(BODIES, st.sampled_from(["8bit", "binary", "7bit", ""])), min_size=1, max_size=4), st.booleans()
)
def test_a_reader_finds_the_same_parts_with_the_same_text(parts: list[tuple[str, str]], nested: bool) -> None:
    inner = "".join(
        "--in\nContent-Type: text/plain; charset=utf-8\n"
        + (f"Content-Transfer-Encoding: {encoding}\n" if encoding else "")
        + f"\n{body.replace('--', '- -')}\n"
        for body, encoding in parts
    )
    text = f"Content-Type: multipart/mixed; boundary=in\nContent-Transfer-Encoding: 8bit\n\n{inner}--in--\n"
    if nested:
        text = f"Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n{text}"
    given_text = text.replace("\n", "\r\n").encode()
    out = seven_bit(given_text)

    def read(raw: bytes) -> list[bytes]:
        message = message_from_bytes(raw.replace(b"\r\n", b"\n"))
        return [bytes(part.get_payload(decode=True)) for part in message.walk() if not part.is_multipart()]

    assert read(out) == read(given_text)
    if all(encoding in ("8bit", "binary") for _, encoding in parts):
        assert out.isascii()
    assert seven_bit(out) == out


def test_parts_and_what_stands_between() -> None:
    text = (
        b'Content-Type: multipart/mixed; boundary="a\\"b"\r\n\r\npre\r\n--a"b\r\nX: y\r\n\r\none\r\n--a"b more\r\n'
        b'Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ntwo\r\n--a"b--\r\nafter\r\n'
    )
    walk = Walk()
    events = [*walk.feed(text), *walk.finish()]
    headers = [each.data for each in events if each.kind is Kind.HEADER]
    assert headers[1:] == [b"X: y\r\n", b"Content-Type: message/rfc822\r\n", b"Subject: in\r\n"]
    assert [each.data for each in events if each.kind is Kind.BOUNDARY] == [
        b'--a"b\r\n',
        b'--a"b more\r\n',
        b'--a"b--\r\n',
    ]
    assert events[-1].part is None and events[-1].data == b"after\r\n"


def test_a_digest_holds_messages() -> None:
    walk = Walk()
    text = b"Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: in\r\n\r\nx\r\n--d--\r\n"
    headers = [each.data for each in (*walk.feed(text), *walk.finish()) if each.kind is Kind.HEADER]
    assert headers[1:] == [b"", b"Subject: in\r\n"]


def test_boundaries_are_compared_as_far_as_the_limit() -> None:
    walk = Walk(boundary_length=5)
    text = b"Content-Type: multipart/mixed; boundary=abcdefgh\r\n\r\n--abcdeXXX\r\nA: b\r\n\r\n"
    assert [each.data for each in walk.feed(text) if each.kind is Kind.HEADER][1:] == [b"A: b\r\n"]


def test_what_is_nested_too_deep_is_text() -> None:
    walk = Walk(deepest=3)
    nest = b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(5))
    assert sum(each.kind is Kind.BOUNDARY for each in walk.feed(nest)) == 3


def test_a_line_without_end_is_not_held() -> None:
    walk = Walk()
    out = b"".join(each.data for each in walk.feed(b"Subject: x\r\n\r\n" + b"y" * 10 * LONGEST_LINE))
    assert len(out) > 9 * LONGEST_LINE


def test_hostile_messages_take_linear_time() -> None:
    hostile = [
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--\r\n" * 100_000,
        b"Content-Type: " + b"\r\n ;boundary" * 30_000,
        b"\r\n" + b"--a\r\n" * 100_000,
        b"x:" * 200_000,
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\nX: y\r\n\r\n" * 20_000,
    ]
    for content in hostile:
        begun = time.process_time()
        walked(content, 4096)
        assert time.process_time() - begun < 20  # quadratic would be minutes


def test_soft_breaks_never_cut_a_code() -> None:
    out = quoted_printable(b"\xff" * 100 + b"\r\n" + b"x" * 74 + b"\r\n")
    assert all(len(line) <= 76 for line in out.split(b"\r\n"))
    assert out.split(b"\r\n")[-3:] == [b"x" * 73 + b"=", b"x", b""]


def test_headers_of_messages_within_count_as_headers() -> None:
    report = b"Content-Type: message/global\r\n\r\nSubject: se\xc3\xb1al\r\n\r\nx\r\n"
    assert not headers_ascii([report])
    assert not headers_ascii([report[:30], report[30:]])
    assert headers_ascii([b"Subject: x\r\n\r\nse\xc3\xb1al\r\n"])
