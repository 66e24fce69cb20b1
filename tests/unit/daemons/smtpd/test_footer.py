"""smtpd_reject_filter_maps, which no Postfix that we can ask has yet."""

from __future__ import annotations

import asyncio

import pytest
from tests.talk.dialogue import BASE
from tests.talk.stage import Stage, logged

FILTER = (
    r"pcre:{{/^550 5\.1\.1 (.*)/ 450 4.2.0 Later: $$1}, {/^500 / bogus}, "
    "{/^501 / 550 4.7.1 class}, {/^503/ 521 5.5.1 no}}"
)


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (
            "RCPT TO:<zz@example.com>",
            "450 4.2.0 Later: <zz@example.com>: Recipient address rejected: User unknown in local recipient table\r\n",
        ),
        ("FOO", "500 5.5.2 Error: command not recognized\r\n"),
        ("RSET x", "501 5.5.4 Syntax: RSET\r\n"),
        ("NOOP", "250 2.0.0 Ok\r\n"),
        ("MAIL FROM:<a@b.example>", "521 5.5.1 no\r\n"),
    ],
)
def test_another_reply(line: str, reply: str) -> None:
    async def talk() -> bytes:
        stage = Stage(BASE | {"smtpd_reject_filter_maps": FILTER})
        await stage.start()
        await stage.send(b"MAIL FROM:<a@b.example>\r\n")
        said = await stage.send(line.encode() + b"\r\n")
        assert stage.transport.closed is reply.startswith("521")
        await stage.hang_up()
        return said

    with logged() as lines:
        assert asyncio.run(talk()).decode() == reply
    assert any("is no reply" in entry for entry in lines) is line.startswith(("FOO", "RSET"))


def test_a_filter_and_a_footer() -> None:
    async def talk() -> bytes:
        stage = Stage(BASE | {"smtpd_reject_filter_maps": FILTER, "smtpd_reject_footer": "Call us"})
        await stage.start()
        await stage.send(b"MAIL FROM:<a@b.example>\r\n")
        said = await stage.send(b"RCPT TO:<zz@example.com>\r\n")
        await stage.hang_up()
        return said

    assert asyncio.run(talk()).endswith(b"\r\n450 4.2.0 Call us\r\n")
