"""8-bit parts become quoted-printable, and nothing else changes: what Postfix does was looked at case by case."""

from __future__ import annotations

import quopri

from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.seven_bit import seven_bit


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def test_text_that_says_8bit() -> None:
    before = "Subject: x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nhéllo = x\nend \n"
    after = (
        "Subject: x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
        "h=C3=A9llo =3D x\nend=20\n"
    )
    assert seven_bit(crlf(before)) == crlf(after)


def test_what_is_deeper_than_the_limit_stays() -> None:
    text = crlf(
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"
        "Content-Transfer-Encoding: 8bit\n\né\n--b--\n--a\nContent-Transfer-Encoding: 8bit\n\né\n--a--\n"
    )
    assert seven_bit(text).isascii()
    assert seven_bit(text, deepest=1).count("é".encode()) == 1


def test_what_says_nothing_stays() -> None:
    for text in (
        "Subject: x\n\nhéllo = x\n",
        "Content-Type: text/plain\n\nhé =\n",
        "Content-Transfer-Encoding: base64\n\nAA=\n",
    ):
        assert seven_bit(crlf(text)) == crlf(text)


MULTI = """Subject: multi
Content-Type: multipart/mixed;
\tboundary="b b"
Content-Transfer-Encoding: 8bit

preaémble
--b b
Content-Type: text/plain
content-transfer-encoding: 8BIT

{a}
--b b
Content-Type: text/plain

ascii = only
--b b
Content-Type: message/rfc822
Content-Transfer-Encoding: 8bit

Subject: inner
Content-Type: multipart/alternative; boundary=in

--in
Content-Transfer-Encoding: binary

{b}
--in--
--b b--
epilogue = é
"""


def test_parts_one_by_one() -> None:
    expected = (
        MULTI.replace("Content-Transfer-Encoding: 8bit\n\npre", "Content-Transfer-Encoding: 7bit\n\npre")
        .replace("content-transfer-encoding: 8BIT", "Content-Transfer-Encoding: quoted-printable")
        .replace("Content-Transfer-Encoding: 8bit\n\nSubject", "Content-Transfer-Encoding: 7bit\n\nSubject")
        .replace("Content-Transfer-Encoding: binary", "Content-Transfer-Encoding: quoted-printable")
    )
    given = crlf(MULTI.format(a="hé =", b="é"))
    assert seven_bit(given) == crlf(expected.format(a="h=C3=A9 =3D", b="=C3=A9"))


def test_outer_boundary_ends_inner_parts() -> None:
    text = (
        "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n"
        "Content-Transfer-Encoding: 8bit\n\n=\n--o\n\n=\n--i\n=\n--o--\n"
    )
    assert b"\r\n\r\n=3D\r\n--o\r\n\r\n=\r\n--i\r\n=\r\n--o--" in seven_bit(crlf(text))


def test_header_without_end() -> None:
    text = b"Subject: x\r\nContent-Transfer-Encoding: 8bit"
    assert seven_bit(text) == b"Subject: x\r\nContent-Transfer-Encoding: quoted-printable"


@given(st.binary(max_size=300).map(lambda b: b.replace(b"\r", b"")))
def test_a_reader_gets_the_same_text(body: bytes) -> None:
    header = b"Content-Transfer-Encoding: 8bit\r\n\r\n"
    out = seven_bit(header + body.replace(b"\n", b"\r\n"))
    encoded = out.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")
    assert encoded.isascii()
    assert max(map(len, encoded.split(b"\n"))) <= 76
    assert quopri.decodestring(encoded) == body


@given(st.binary(max_size=200))
def test_anything_goes_through(content: bytes) -> None:
    seven_bit(content)
