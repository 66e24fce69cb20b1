"""The LMTP client: RFC 2033, over TCP and local sockets; and the flags of master.cf."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.support.smtp_client import BODY, HEAD, Client
from tests.support.smtp_sink import DROP, SmtpSink

from estafeta.mail.envelope import Recipient
from estafeta.mail.outcome import Bounced, Deferred, Sent

HOST = "127.0.0.1[127.0.0.1]"


def lmtp(
    tmp_path: Path,
    scene: Callable[[Client, SmtpSink], Awaitable[None]],
    replies: dict[str, Any] | None = None,
    *,
    program: str = "lmtp",
    args: tuple[str, ...] = (),
    **settings: str,
) -> None:
    async def run() -> None:
        async with asyncio.timeout(30):
            async with (
                SmtpSink(replies, lmtp=program == "lmtp") as sink,
                Client(tmp_path, program=program, args=args, **settings) as client,
            ):
                await scene(client, sink)

    asyncio.run(run())


def test_one_answer_for_each_recipient(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        answer = await client.deliver(f"inet:[127.0.0.1]:{sink.port}", *[f"{x}@x" for x in "abcde"])
        assert [type(outcome) for outcome in answer.outcomes] == [Sent, Bounced, Bounced, Deferred, Sent]
        assert answer.outcomes[2].text == f"host {HOST} said: 550 5.2.1 two (in reply to end of DATA command)"
        assert sink.commands[0].startswith("LHLO ")
        assert answer.dead is None

    lmtp(
        tmp_path,
        scene,
        {
            "RCPT": lambda line: "550 5.1.1 who" if "<b@x>" in line else "250 ok",
            ".": ["250 2.0.0 one", "550 5.2.1 two", "452 4.2.2 three", "250 four"],
        },
    )


def test_lost_between_answers(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        answer = await client.deliver(f"inet:[127.0.0.1]:{sink.port}", "a@x", "b@x")
        assert [type(outcome) for outcome in answer.outcomes] == [Sent, Deferred]
        assert answer.outcomes[1].text.endswith("sending end of data -- message may be sent more than once")

    lmtp(tmp_path, scene, {".": ["250 2.0.0 one", DROP]})


def test_local_socket(tmp_path: Path) -> None:
    async def scene(client: Client, _: SmtpSink) -> None:
        sink = await SmtpSink(lmtp=True).listen_unix(str(tmp_path / "sock"))
        async with sink:
            await client.deliver("unix:sock", "a@x")
            await client.deliver("unix:sock", "a@x")
        assert len(sink.messages) == 2
        assert len(sink.talks) == 1
        assert "relay=host.example.com[sock], delay" in client.lines[0]
        assert "relay=host.example.com[sock], conn_use=2, delay" in client.lines[1]

    lmtp(tmp_path, scene)


def test_no_local_socket(tmp_path: Path) -> None:
    async def scene(client: Client, _: SmtpSink) -> None:
        answer = await client.deliver("unix:/no/such", "a@x")
        (outcome,) = answer.outcomes
        assert outcome.text == "connect to host.example.com[/no/such]: No such file or directory"
        assert (type(outcome), outcome.dsn, outcome.relay) == (Deferred, "4.4.1", "none")

    lmtp(tmp_path, scene)


def test_flags_put_lines_before_the_message(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        sink.extensions = ("PIPELINING",)  # no DSN: the report of success is ours
        nexthop = f"[127.0.0.1]:{sink.port}"
        answer = await client.deliver(nexthop, Recipient("real@x", original="alias@x"))
        assert sink.messages[0].content == (
            b"Return-Path: <sender@from.example>\r\nX-Original-To: alias@x\r\nDelivered-To: real@x\r\n" + HEAD + BODY
        )
        assert answer.outcomes[0].action == "delivered"  # type: ignore[union-attr]

    lmtp(tmp_path, scene, program="smtp", args=("flags=DORX",))


def test_flag_d_finds_a_loop(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        nexthop = f"[127.0.0.1]:{sink.port}"
        answer = await client.deliver(nexthop, "real@x", head=b"Delivered-To: REAL@x\r\n\r\n")
        (outcome,) = answer.outcomes
        assert (type(outcome), outcome.dsn, outcome.text) == (Bounced, "5.4.6", "mail forwarding loop for real@x")
        assert sink.talks == []

    lmtp(tmp_path, scene, program="smtp", args=("flags=D",))


def test_unknown_argument_is_named(tmp_path: Path) -> None:
    async def scene(client: Client, _: SmtpSink) -> None:
        pass

    from estafeta.base import log

    said: list[str] = []
    before = log.install(lambda level, text, program: said.append(text))
    try:
        Client(tmp_path, args=("flags=Q",))
    finally:
        log.install(before)
    assert "flags=Q" in said[0]
