"""What of a server's answers the postmaster is to hear of, and what of a conversation is kept for him."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.unit.daemons.smtp.test_transfer import FakeReader, FakeStream, letter_to

from estafeta.base import log
from estafeta.daemons.smtp.attempt import Attempt
from estafeta.daemons.smtp.connection import Connection, Manner
from estafeta.daemons.smtp.mx import Server
from estafeta.daemons.smtp.transfer import transfer
from estafeta.mail.transcript import recording, told
from estafeta.net.stream import Stream
from estafeta.wire.smtp.client import Extensions


def conversation(*replies: bytes, listening: bool = True) -> Connection:
    connection = Connection(cast(Stream, FakeStream(list(replies))), Server("mx.example", "192.0.2.1", 25), 0.0)
    connection.extensions = Extensions({})
    connection.uses = 1
    if listening:
        connection.said = recording()
    manner: Any = Manner(lmtp=False, helo_name="h", myhostname="h")
    before = log.install(lambda level, text, program: None)
    try:
        asyncio.run(transfer(connection, letter_to("a@b"), FakeReader(), manner))
    finally:
        log.install(before)
    return connection


@pytest.mark.parametrize(
    "reply, strange",
    [
        (b"550 5.1.1 no\r\n", False),
        (b"450 4.2.0 later\r\n", False),
        (b"500 5.5.1 what\r\n", True),
        (b"503 bad sequence\r\n", True),
        (b"555 unknown parameter\r\n", True),
        (b"354 go\r\n", True),
    ],
)
def test_only_what_is_about_the_protocol_is_strange(reply: bytes, strange: bool) -> None:
    assert conversation(b"250 ok\r\n", reply, b"250 reset\r\n").strange is strange


def test_the_conversation_is_kept_without_the_content() -> None:
    connection = conversation(b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250-a\r\n250 b\r\n")
    assert connection.said is not None
    assert told(connection.said) == [
        " Out: MAIL FROM:<s@x>",
        " In:  250 ok",
        " Out: RCPT TO:<a@b>",
        " In:  250 ok",
        " Out: DATA",
        " In:  354 go",
        " In:  250-a",
        " In:  250 b",
    ]
    assert conversation(b"250 ok\r\n", listening=False).said is None


@pytest.mark.parametrize("sender, notices", [("s@x", 1), ("", 0), ("double-bounce@h", 0)])
def test_nobody_is_told_of_what_could_go_round(sender: str, notices: int) -> None:
    heard: list[tuple[Any, ...]] = []
    postmaster = SimpleNamespace(sender="double-bounce@h", tell=lambda *words, **more: heard.append((words, more)))
    office: Any = SimpleNamespace(manner=Manner(lmtp=True, helo_name="h", myhostname="h"), postmaster=postmaster)
    connection = conversation(b"500 what\r\n")
    attempt = Attempt(office, letter_to("a@b", sender=sender))
    attempt._tell(connection)
    attempt._tell(connection)
    assert len(heard) == notices
    if heard:
        (_, subject, _), more = heard[0]
        assert subject == "LMTP client: errors from mx.example[192.0.2.1]:25"
        assert more["opening"] == "Unexpected response from mx.example[192.0.2.1]:25."
