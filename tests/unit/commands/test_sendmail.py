"""sendmail(1): its options as Postfix 3.7.11 takes them, and the message as it is read from standard input."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.base import log
from estafeta.commands.sendmail import request as requests
from estafeta.commands.sendmail.message import Input, recipients_in
from estafeta.commands.sendmail.request import Fatal, parse
from estafeta.commands.sendmail.standalone import rules_for
from estafeta.config.instance import Config
from estafeta.mail.envelope import (
    NOTIFY_DELAY,
    NOTIFY_FAILURE,
    NOTIFY_NEVER,
    NOTIFY_SUCCESS,
    TRACE_REPORT,
    TRACE_VERIFY,
)


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    kept: list[str] = []
    before = log.install(lambda level, text, program: kept.append(text))
    yield kept
    log.install(before)


@pytest.mark.parametrize(
    ("words", "recipients"),
    [
        (["a@b"], ["a@b"]),
        (["<a@b>"], ["a@b"]),
        (["a b@c, d@e"], ["a", "b@c", "d@e"]),
        (["group: a@x, b@y;"], ["a@x", "b@y"]),
        (["--", "-foo@bar"], ["-foo@bar"]),
        ([""], [""]),
        (["a@b", "-t"], ["a@b", "-t"]),
    ],
)
def test_recipients(words: list[str], recipients: list[str]) -> None:
    request = parse("sendmail", words)
    assert request.recipients == recipients
    assert request.mode == requests.ENQUEUE


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        (["-bm"], requests.ENQUEUE),
        (["-bs"], requests.STANDALONE),
        (["-bp"], requests.LIST),
        (["-bi"], requests.ALIASES),
        (["-I"], requests.ALIASES),
        (["-bd"], requests.DAEMON),
        (["-q"], requests.FLUSH),
        (["-qIABC"], requests.FLUSH),
        (["-qRsite.example"], requests.FLUSH),
        (["-q30m"], requests.IGNORE),
        (["-bh"], requests.IGNORE),
        (["-v", "-q"], requests.FLUSH),
        (["-C", "/etc/postfix", "-q"], requests.FLUSH),
        (["-vf", "-q"], requests.ENQUEUE),
    ],
)
def test_modes(words: list[str], mode: str) -> None:
    assert parse("sendmail", words).mode == mode


def test_names() -> None:
    assert parse("mailq", []).mode == requests.LIST
    assert parse("newaliases", []).mode == requests.ALIASES


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-z"], "usage: sendmail [options]"),
        (["-b"], "usage: sendmail [options]"),
        (["-o"], "usage: sendmail [options]"),
        (["-bz"], "unsupported: -bz"),
        (["-B", "foo", "a@b"], "-B option needs 8BITMIME or 7BIT"),
        (["-q", "5"], "flush queue mode requires no recipient"),
        (["-qSfoo"], "-qS is not implemented"),
    ],
)
def test_fatal(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Fatal, match=text.replace("[", r"\[")) as caught:
        parse("sendmail", words)
    assert caught.value.status == 75


@pytest.mark.parametrize(
    ("value", "bits", "said"),
    [
        ("never", NOTIFY_NEVER, []),
        ("success,DELAY, failure", NOTIFY_SUCCESS | NOTIFY_DELAY | NOTIFY_FAILURE, []),
        ("never,success", 0, ["bad -N option value -- ignored"]),
        ("foo", 0, ['unknown DSN NOTIFY command value "foo" in "foo"', "bad -N option value -- ignored"]),
    ],
)
def test_notify(value: str, bits: int, said: list[str], warnings: list[str]) -> None:
    assert parse("sendmail", ["-N", value, "a@b"]).notify == bits
    assert warnings == said


def test_other_delivery_options(warnings: list[str]) -> None:
    request = parse(
        "sendmail", ["-V", "E1", "-R", "hdrs", "-B8BITMIME", "-f", "x <y@z>", "-F", "N", "-ti", "-oi", "-G"]
    )
    assert (request.envid, request.ret, request.encoding) == ("E1", "HDRS", "8bit")
    assert (request.sender, request.full_name, request.extract, request.ignore_dots) == ("y@z", "N", True, True)
    assert request.gateway
    parse("sendmail", ["-R", "foo", "-V", ""])
    assert warnings == ["bad -R option value -- ignored", "bad syntax in -V option value -- ignored"]


def test_senders() -> None:
    assert parse("sendmail", ["-f", ""]).sender == ""
    assert parse("sendmail", ["-f", "<>"]).sender == ""
    assert parse("sendmail", ["-f", "a b c <x@y>"]).sender == "x@y"
    assert parse("sendmail", ["-r", "x@y"]).sender == "x@y"
    assert parse("sendmail", []).sender is None


def test_reports_and_verp() -> None:
    assert parse("sendmail", ["-bv"]).trace == TRACE_VERIFY
    assert parse("sendmail", ["-v"]).trace == TRACE_REPORT
    assert parse("sendmail", ["-XV"]).verp == ""
    assert parse("sendmail", ["-XV+="]).verp == "+="
    with pytest.raises(Fatal, match="unsupported: -X/"):
        parse("sendmail", ["-X", "/tmp/log"])
    # Which characters will do is for the configuration to say.
    assert parse("sendmail", ["-XV+"]).verp == "+"


def test_verp_as_it_used_to_be(warnings: list[str]) -> None:
    assert parse("sendmail", ["-V", "-f", "a@b"]).verp == ""
    assert parse("sendmail", ["-V+=", "c@d"]).verp == "+="
    request = parse("sendmail", ["-V", "id1", "c@d"])
    assert (request.verp, request.envid) == (None, "id1")
    assert parse("sendmail", ["-f", "-V", "c@d"]).verp is None
    assert warnings == [
        "option -V is deprecated with Postfix 2.3; specify -XV instead",
        "option -V+= is deprecated with Postfix 2.3; specify -XV+= instead",
    ]


# --- content


class Trickle(io.RawIOBase):
    """A pipe that gives `size` bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data, self._size = data, size

    def read(self, wanted: int = -1) -> bytes:  # type: ignore[override]
        piece, self._data = self._data[: self._size], self._data[self._size :]
        return piece


def read(data: bytes, *, size: int = 1 << 20, dot_ends: bool = True, line_ends: str = "always") -> bytes:
    return b"".join(Input(Trickle(data, size), dot_ends=dot_ends, line_ends=line_ends).pieces())  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"Subject: x\n\nbody\n", b"Subject: x\r\n\r\nbody\r\n"),
        (b"Subject: x\r\n\r\nbody\r\n", b"Subject: x\r\n\r\nbody\r\n"),
        (b"no end", b"no end\r\n"),
        (b"", b""),
        (b"one\n.\ntwo\n", b"one\r\n"),
        (b"one\n.", b"one\r\n"),
        (b".\ntwo\n", b""),
        (b"one\n..\n.x\n", b"one\r\n..\r\n.x\r\n"),
        (b"From foo\nSubject: x\n", b"Subject: x\r\n"),
        (b">From foo\nSubject: x\n", b"Subject: x\r\n"),
        (b"Subject: x\n\nFrom y\n", b"Subject: x\r\n\r\nFrom y\r\n"),
    ],
)
def test_content(data: bytes, expected: bytes, size: int) -> None:
    assert read(data, size=size) == expected


def test_dots_may_be_content() -> None:
    assert read(b"one\n.\ntwo\n", dot_ends=False) == b"one\r\n.\r\ntwo\r\n"


def test_line_ends() -> None:
    assert read(b"a\r\nb\nc\r\n", line_ends="strict") == b"a\r\nb\r\nc\r\n"
    assert read(b"a\nb\r\n", line_ends="strict") == b"a\r\nb\r\r\n"
    assert read(b"a\r\n", line_ends="never") == b"a\r\r\n"


def test_a_line_without_end_does_not_fill_memory() -> None:
    source = Input(io.BytesIO(b"x" * 5_000_000 + b"\n.\n"), dot_ends=True)
    assert max(map(len, pieces := list(source.pieces()))) < 3_000_000
    assert b"".join(pieces) == b"x" * 5_000_000 + b"\r\n"


@given(st.binary(max_size=200), st.integers(1, 50))
def test_however_it_comes(data: bytes, size: int) -> None:
    assert read(data, size=size) == read(data)


def test_reading_the_header_first_loses_nothing() -> None:
    data = b"To: a@b\nSubject: x\n\nbody\n"
    for size in (1, 7, 1000):
        source = Input(Trickle(data, size), dot_ends=True)  # type: ignore[arg-type]
        assert source.header() == b"To: a@b\r\nSubject: x\r\n"
        assert b"".join(source.pieces()) == data.replace(b"\n", b"\r\n")
    source = Input(io.BytesIO(b"To: a@b"), dot_ends=True)
    assert source.header() == b"To: a@b\r\n"
    assert Input(io.BytesIO(b""), dot_ends=True).header() == b""


def test_recipients_in_headers() -> None:
    assert recipients_in(b"To: a@b.c\r\nTo : d@e.f\r\nBcc:\r\n g@h.i\r\nSubject: z@z\r\n") == [
        "a@b.c",
        "d@e.f",
        "g@h.i",
    ]
    assert recipients_in(b"To: a@b.c\r\nResent-To: rr@x.y\r\n") == ["rr@x.y"]
    assert recipients_in(b"Resent-From: a@b.c\r\nTo: d@e.f\r\n") == ["d@e.f"]
    assert recipients_in(b'To: A B <x@y>, foo bar, "Q" z@w\r\n') == ["x@y", "foo", "bar", "Q", "z@w"]


def test_a_session_of_the_mail_owner_keeps_its_restrictions() -> None:
    conf = Config.for_test(mail_owner="mailer")
    assert rules_for(conf, "mailer") == {}
    assert rules_for(conf, "ann")["smtpd_recipient_restrictions"] == ""
