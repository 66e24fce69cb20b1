"""Commands and content as the client sends them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.envelope import NOTIFY_DELAY, NOTIFY_NEVER, NOTIFY_SUCCESS, Client, Recipient
from estafeta.wire.smtp.client import (
    NO_EXTENSIONS,
    ContentEncoder,
    Extensions,
    encode_content,
    fold_lines,
    has_long_line,
    mail_command,
    rcpt_command,
    xforward_commands,
)
from estafeta.wire.smtp.client_reply import Reply


def offered(*lines: str, discard: frozenset[str] = frozenset()) -> Extensions:
    return Extensions.parse(Reply(250, ["250-mx.example hi", *[f"250-{line}" for line in lines]], "2.0.0"), discard)


ALL = offered("PIPELINING", "SIZE 1000", "8BITMIME", "DSN", "SMTPUTF8")


def test_extensions() -> None:
    found = offered("pipelining", "SIZE 12345", "AUTH=LOGIN PLAIN", "X-ODD")
    assert found.pipelining and found.size and found.size_limit == 12345
    assert not found.dsn
    assert found.keywords["AUTH"] == "LOGIN PLAIN"
    assert found.name == "mx.example"


@pytest.mark.parametrize("line", ["SIZE", "SIZE 0", "SIZE lots", "SIZE -1", "SIZE " + "9" * 400])
def test_size_without_usable_limit_sets_none(line: str) -> None:
    assert offered(line).size_limit == 0


def test_discarded_keyword_is_as_if_not_there() -> None:
    assert not offered("PIPELINING", "DSN", discard=frozenset({"PIPELINING"})).pipelining


def test_mail_with_everything() -> None:
    command = mail_command("a@b", ALL, size=10, encoding="8bit", ret="HDRS", envid="x+y=1", smtputf8=True)
    assert command == "MAIL FROM:<a@b> SIZE=10 BODY=8BITMIME ENVID=x+2By+3D1 RET=HDRS SMTPUTF8"


def test_mail_says_nothing_that_was_not_offered() -> None:
    command = mail_command("a@b", NO_EXTENSIONS, size=10, encoding="8bit", ret="HDRS", envid="x", smtputf8=True)
    assert command == "MAIL FROM:<a@b>"


def test_null_sender() -> None:
    assert mail_command("", ALL) == "MAIL FROM:<>"


def test_odd_local_part_is_quoted_unless_told_not_to() -> None:
    assert mail_command("a b@c", NO_EXTENSIONS) == 'MAIL FROM:<"a b"@c>'
    assert mail_command("a b@c", NO_EXTENSIONS, quoting=False) == "MAIL FROM:<a b@c>"


def test_rcpt_names_whom_the_sender_wrote_to() -> None:
    assert rcpt_command(Recipient("real@x", original="alias@y"), ALL) == "RCPT TO:<real@x> ORCPT=rfc822;alias@y"
    assert rcpt_command(Recipient("real@x"), ALL) == "RCPT TO:<real@x> ORCPT=rfc822;real@x"
    assert rcpt_command(Recipient("real@x"), NO_EXTENSIONS) == "RCPT TO:<real@x>"


def test_rcpt_passes_on_orcpt_and_notify() -> None:
    asked = Recipient("a@b", notify=NOTIFY_SUCCESS | NOTIFY_DELAY, orcpt="rfc822;old+x@c")
    assert rcpt_command(asked, ALL) == "RCPT TO:<a@b> ORCPT=rfc822;old+2Bx@c NOTIFY=SUCCESS,DELAY"
    assert rcpt_command(Recipient("a@b", notify=NOTIFY_NEVER), ALL).endswith(" NOTIFY=NEVER")


def test_rcpt_beyond_ascii() -> None:
    assert rcpt_command(Recipient("üser@x"), ALL) == "RCPT TO:<üser@x> ORCPT=utf-8;\\x{FC}ser@x"


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"", b".\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"..a\r\n..\r\n", b"...a\r\n...\r\n.\r\n"),
    ],
)
def test_dots(content: bytes, sent: bytes) -> None:
    assert encode_content(content) == sent


def by_pieces(content: bytes, cuts: list[int], limit: int = 0) -> bytes:
    encoder, out, at = ContentEncoder(limit), b"", 0
    for cut in [*sorted(cuts), len(content)]:
        if content[at:cut]:
            out += encoder.feed(content[at:cut])
        at = max(at, cut)
    return out + encoder.finish()


lines = st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b".")), max_size=6)


@given(lines, st.lists(st.integers(0, 80), max_size=6), st.sampled_from([0, 5, 7]))
def test_pieces_give_what_the_whole_gives(parts: list[bytes], cuts: list[int], limit: int) -> None:
    content = b"\r\n".join(parts)
    whole = fold_lines(content, limit) if limit else content
    assert by_pieces(content, cuts, limit) == encode_content(whole)


@given(lines)
def test_the_receiver_gets_back_what_was_sent(parts: list[bytes]) -> None:
    content = b"".join(part + b"\r\n" for part in parts)
    sent = encode_content(content)
    assert sent.endswith(b".\r\n")
    body = sent[:-3]
    assert b"\r\n.\r\n" not in sent[:-1]
    undone = [line.removeprefix(b".") for line in body.split(b"\r\n")]
    assert b"\r\n".join(undone) == content


@given(lines, st.integers(1, 12))
def test_long_lines_are_found(parts: list[bytes], limit: int) -> None:
    content = b"".join(part + b"\r\n" for part in parts)
    assert has_long_line(content, limit) == any(len(part) > limit for part in parts)


def test_long_lines_are_broken_with_a_blank() -> None:
    broken = fold_lines(b"x" * 998 + b"\r\n" + b"y" * 999 + b"\r\n" + b"z" * 2500 + b"\r\n", 998)
    assert [(len(line), line[:2]) for line in broken.split(b"\r\n")] == [
        (998, b"xx"),
        (998, b"yy"),
        (2, b" y"),
        (998, b"zz"),
        (998, b" z"),
        (506, b" z"),
        (0, b""),
    ]


REMOTE = Client(name="localhost", address="127.0.0.1", port="34192", helo="my.[he]+lo", protocol="ESMTP")


def test_xforward() -> None:
    server = offered("XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT")
    assert xforward_commands(REMOTE, "B36A", "local", server) == [
        ("name/address", "XFORWARD NAME=localhost ADDR=127.0.0.1 PORT=34192"),
        ("helo/protocol", "XFORWARD PROTO=ESMTP HELO=my.[he]+2Blo IDENT=B36A SOURCE=LOCAL"),
    ]


def test_xforward_of_mail_from_this_machine_says_only_that() -> None:
    server = offered("XFORWARD NAME ADDR PROTO HELO SOURCE")
    assert xforward_commands(Client(), "B36A", "local", server) == [("helo/protocol", "XFORWARD SOURCE=LOCAL")]


def test_xforward_of_what_is_unknown() -> None:
    server = offered("XFORWARD NAME ADDR SOURCE")
    client = Client(name="unknown", address="2001:db8::1")
    assert xforward_commands(client, "B36A", "remote", server) == [
        ("name/address", "XFORWARD NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1"),
        ("helo/protocol", "XFORWARD SOURCE=REMOTE"),
    ]


def test_xforward_only_what_the_server_names() -> None:
    assert xforward_commands(REMOTE, "B36A", "local", offered("XFORWARD ADDR")) == [
        ("name/address", "XFORWARD ADDR=127.0.0.1")
    ]
    assert xforward_commands(REMOTE, "B36A", "local", offered("SIZE")) == []


def test_keywords_in_odd_forms() -> None:
    assert offered("size abc").bad_size == "abc"
    assert offered("SIZE").bad_size == ""
    found = offered("SIZE 0", "SIZE 10 20", "8BITMIME=x", "  DSN")
    assert (found.size_limit, found.bad_size, found.eight_bit, found.dsn) == (10, "", True, True)


def test_xforward_tells_the_queue_id_that_it_was_told() -> None:
    wants = offered("XFORWARD ADDR IDENT")
    told = Client(address="192.0.2.1", ident="FIRST")
    assert xforward_commands(told, "OWN", "remote", wants)[1][1] == "XFORWARD IDENT=FIRST"
    assert xforward_commands(Client(address="192.0.2.1"), "OWN", "remote", wants)[1][1] == "XFORWARD IDENT=OWN"
