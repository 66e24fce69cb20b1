"""What intake is handed: envelope, Received header, content; and what the client hears of the outcome."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import pytest
from tests.talk.dialogue import BASE
from tests.talk.stage import Message, Stage, logged

from estafeta.intake import verdict
from estafeta.intake.verdict import Verdict
from estafeta.mail.envelope import Recipient

GREETING = "EHLO client.example"


def sent(
    lines: Sequence[str],
    content: str = "Subject: x\r\n\r\nhi\r\n",
    client: tuple[str, str] | None = None,
    answer: Verdict | None = None,
    **settings: str,
) -> tuple[list[Message], str, list[str]]:
    """The messages that intake got, the last reply, the log."""

    async def talk() -> tuple[list[Message], str]:
        stage = Stage(BASE | settings, client)
        stage.gate.verdict = answer
        await stage.start()
        for line in lines:
            await stage.send(line.encode() + b"\r\n")
        reply = await stage.send(content.encode() + b".\r\n")
        await stage.hang_up()
        return stage.gate.begun, reply.decode()

    with logged() as log:
        messages, reply = asyncio.run(talk())
    return messages, reply, log


MAIL = [GREETING, "MAIL FROM:<a@b.example>", "RCPT TO:<user@example.com>", "DATA"]


def header_of(message: Message) -> str:
    date = re.compile(r"\w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4} \(\w+\)")
    return date.sub("DATE", message.fields[-1].decode())


def test_envelope() -> None:
    lines = [
        GREETING,
        'MAIL FROM:<"a b"@c.example> SIZE=10 BODY=8BITMIME RET=HDRS ENVID=x+20y SMTPUTF8',
        "RCPT TO:<user@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;u+2Bv@w.example",
        "RCPT TO:<postmaster>",
        "DATA",
    ]
    (message,), _, _ = sent(lines, client=("mx.client.example", "192.0.2.7"))
    envelope = message.envelope
    assert envelope.sender == "a b@c.example"
    assert envelope.recipients == [
        Recipient("user@example.com", "", 2 | 8, "rfc822;u+v@w.example"),
        Recipient("postmaster"),
    ]
    assert (envelope.encoding, envelope.ret, envelope.envid, envelope.smtputf8) == ("8bit", "HDRS", "x y", True)
    assert envelope.queue_id == message.queue_id != ""
    assert envelope.context == "remote"
    client = envelope.client
    assert (client.name, client.address, client.helo, client.protocol) == (
        "mx.client.example",
        "192.0.2.7",
        "client.example",
        "ESMTP",
    )


def test_received_names_a_single_recipient() -> None:
    (message,), _, _ = sent(MAIL, client=("mx.client.example", "192.0.2.7"))
    assert header_of(message) == (
        "Received: from client.example (mx.client.example [192.0.2.7])\r\n"
        f"\tby mx.example.com (Postfix) with ESMTP id {message.queue_id}\r\n"
        "\tfor <user@example.com>; DATE\r\n"
    )


def test_received_names_nobody_of_several() -> None:
    (message,), _, _ = sent([*MAIL[:-1], "RCPT TO:<a>", "DATA"])
    assert header_of(message) == (
        "Received: from client.example (localhost [127.0.0.1])\r\n"
        f"\tby mx.example.com (Postfix) with ESMTP id {message.queue_id};\r\n"
        "\tDATE\r\n"
    )


def test_received_without_helo_and_with_ipv6() -> None:
    (message,), _, _ = sent(MAIL[1:], client=("unknown", "2001:db8::1"))
    assert header_of(message).startswith("Received: from unknown (unknown [IPv6:2001:db8::1])\r\n")
    assert " with SMTP id " in header_of(message)


def test_received_of_a_utf8_message() -> None:
    (message,), _, _ = sent([GREETING, "MAIL FROM:<a@b.example> SMTPUTF8", *MAIL[2:]])
    assert " with UTF8SMTP id " in header_of(message)


def test_prepended_headers_come_before_received() -> None:
    rule = "check_client_access static:{PREPEND X-A: b}, check_client_access static:{PREPEND X-B: c}"
    (message,), _, _ = sent(MAIL, smtpd_recipient_restrictions=rule)
    assert message.fields[:2] == [b"X-A: b\r\n", b"X-B: c\r\n"]
    assert message.fields[2].startswith(b"Received: ")


def test_actions_reach_intake() -> None:
    for action, attribute, value in [
        ("HOLD why", "held", "why"),
        ("DISCARD", "discarded", True),
    ]:
        for where in ("smtpd_recipient_restrictions", "smtpd_end_of_data_restrictions"):
            (message,), reply, _ = sent(MAIL, **{where: f"check_client_access static:{{{action}}}"})
            assert getattr(message, attribute) == value
            assert reply.startswith("250 2.0.0 Ok: queued as ")
    for action, attribute, value in [
        ("FILTER smtp:[1.2.3.4]", "content_filter", "smtp:[1.2.3.4]"),
        ("REDIRECT r@x.example", "redirect", "r@x.example"),
    ]:
        for where in ("smtpd_recipient_restrictions", "smtpd_end_of_data_restrictions"):
            (message,), _, _ = sent(MAIL, **{where: f"check_client_access static:{{{action}}}"})
            assert getattr(message.envelope, attribute) == value
    for where in ("smtpd_recipient_restrictions", "smtpd_end_of_data_restrictions"):
        (message,), _, _ = sent(MAIL, **{where: "check_client_access static:{BCC b@x.example}"})
        assert [r.address for r in message.envelope.recipients] == ["user@example.com", "b@x.example"]


@pytest.mark.parametrize(
    "answer, reply",
    [
        (verdict.TOO_MANY_HOPS, "554 5.4.0 Error: too many hops\r\n"),
        (verdict.CANNOT_WRITE, "451 4.3.0 Error: queue file write error\r\n"),
        (verdict.TOO_BIG, "552 5.3.4 Error: message file too big\r\n"),
        (verdict.Refused(550, "5.7.1", "no ❤ here", "content"), "550 5.7.1 no ❤ here\r\n"),
    ],
)
def test_what_intake_refuses_is_said(answer: Verdict, reply: str) -> None:
    _, said, log = sent(MAIL, answer=answer)
    assert said == reply
    assert any(line.endswith("data=0/1 commands=3/4") for line in log)


def test_content_over_the_limit_is_given_up_at_once() -> None:
    (message,), reply, log = sent(MAIL, "x" * 100 + "\r\n", message_size_limit="50", mailbox_size_limit="50")
    assert reply == "552 5.3.4 Error: message file too big\r\n"
    assert message.abandoned and not message.finished
    assert f"warning: {message.queue_id}: queue file size limit exceeded" in log


def test_a_client_that_leaves_leaves_nothing() -> None:
    async def leave() -> list[Message]:
        stage = Stage(BASE)
        await stage.start()
        for line in MAIL:
            await stage.send(line.encode() + b"\r\n")
        await stage.send(b"half a mess")
        await stage.hang_up()
        return stage.gate.begun

    with logged() as log:
        (message,) = asyncio.run(leave())
    assert message.abandoned and not message.finished
    assert "lost connection after DATA (11 bytes) from localhost[127.0.0.1]" in log


def test_headers_are_local_for_clients_in_local_header_rewrite_clients() -> None:
    assert sent(MAIL)[0][0].envelope.context == "local"
    friend = ("friend.example", "192.0.2.9")
    assert sent(MAIL, client=friend)[0][0].envelope.context == "remote"
    rule = "permit_mynetworks"
    assert sent(MAIL, client=friend, local_header_rewrite_clients=rule)[0][0].envelope.context == "local"
    rule = "check_address_map inline:{192.0.2.9=OK}"
    assert sent(MAIL, client=friend, local_header_rewrite_clients=rule)[0][0].envelope.context == "local"


def test_pipelined_commands_are_answered_with_one_write() -> None:
    async def talk() -> int:
        stage = Stage(BASE)
        await stage.start()
        await stage.send(b"EHLO x\r\n")
        before = stage.transport.writes
        await stage.send(b"MAIL FROM:<>\r\nRCPT TO:<user>\r\nRCPT TO:<nobody>\r\nDATA\r\n")
        return stage.transport.writes - before

    with logged():
        assert asyncio.run(talk()) == 1


def test_xforward_is_kept_with_one_message() -> None:
    lines = [
        GREETING,
        "XFORWARD NAME=mx.b.example ADDR=192.0.2.9 PORT=4712 HELO=b.example PROTO=SMTP IDENT=ABC SOURCE=LOCAL",
        *MAIL[1:],
    ]
    (message,), _, log = sent(
        lines, client=("filter.example", "192.0.2.7"), smtpd_authorized_xforward_hosts="192.0.2.7"
    )
    client = message.envelope.client
    assert (client.name, client.address, client.port, client.helo, client.protocol, client.ident) == (
        "mx.b.example",
        "192.0.2.9",
        "4712",
        "b.example",
        "SMTP",
        "ABC",
    )
    assert message.envelope.context == "local"
    assert b"(filter.example [192.0.2.7])" in message.fields[-1]
    assert any(
        "client=filter.example[192.0.2.7], orig_queue_id=ABC, orig_client=mx.b.example[192.0.2.9]" in line
        for line in log
    )


def test_hidden_session() -> None:
    (message,), _, _ = sent(MAIL, smtpd_hide_client_session="yes")
    assert header_of(message) == (
        "Received: by mx.example.com (Postfix) id 4C8D2F0001\r\n\tfor <user@example.com>; DATE\r\n"
    )


def test_deadline_grows_with_content_up_to_the_time_limit() -> None:
    async def deadline(arrived: int) -> float:
        stage = Stage(BASE | {"smtpd_per_request_deadline": "yes", "smtpd_timeout": "100", "smtpd_min_data_rate": "10"})
        now = asyncio.get_running_loop().time()
        stage.stream.until = now + 50
        stage.session.extend_deadline(arrived)
        return stage.stream.until - now

    assert round(asyncio.run(deadline(100))) == 60
    assert round(asyncio.run(deadline(100_000))) == 100


def test_a_long_session_is_told_from_its_last_pause(threshold: int = 4) -> None:
    async def left(limit: str) -> int:
        stage = Stage(BASE | {"smtpd_history_flush_threshold": limit})
        await stage.start()
        for line in (GREETING, "NOOP", "NOOP", "RSET"):
            await stage.send(line.encode() + b"\r\n")
        record = stage.stream.record
        await stage.hang_up()
        return len(record or ())

    assert asyncio.run(left("100")) > asyncio.run(left("2"))


def test_the_name_of_a_user_does_not_end_its_comment() -> None:
    settings = {"smtpd_authorized_xclient_hosts": "127.0.0.1", "smtpd_sasl_authenticated_header": "yes"}
    messages, _, _ = sent([GREETING, "XCLIENT LOGIN=a)+20by+20evil", *MAIL], **settings)
    assert "(Authenticated sender: a? by evil)" in header_of(messages[0])
