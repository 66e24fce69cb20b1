"""The SMTP client against a server that misbehaves as told. Texts and codes are those that Postfix 3.7 logs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.smtp_client import BODY, HEAD, Client
from tests.support.smtp_sink import DROP, EXTENSIONS, STALL, SmtpSink, then_drop, unused_port

from estafeta.mail.envelope import TRACE_VERIFY, Recipient
from estafeta.mail.envelope import Client as From
from estafeta.mail.outcome import Bounced, Deferred, Outcome, Sent

SHORT = {
    f"smtp_{step}_timeout": "1s"
    for step in ("helo", "mail", "rcpt", "data_init", "data_xfer", "data_done", "rset", "quit")
}
HOST = "127.0.0.1[127.0.0.1]"
Talk = Callable[[Client, SmtpSink], Awaitable[None]]


def talk(
    tmp_path: Path,
    scene: Talk,
    replies: dict[str, Any] | None = None,
    *,
    extensions: tuple[str, ...] | None = EXTENSIONS,
    **settings: str,
) -> None:
    """Run `scene` with a client and a server."""

    async def run() -> None:
        async with asyncio.timeout(30):
            async with (
                SmtpSink(replies, extensions=extensions) as sink,
                Client(tmp_path, **(SHORT | settings)) as client,
            ):
                await scene(client, sink)

    asyncio.run(run())


def one(tmp_path: Path, replies: dict[str, Any], *recipients: str, **settings: Any) -> list[Outcome]:
    """The outcomes of one delivery to a@b.example (or `recipients`)."""
    found: list[Outcome] = []

    async def scene(client: Client, sink: SmtpSink) -> None:
        answer = await client.deliver(f"[127.0.0.1]:{sink.port}", *(recipients or ("a@b.example",)))
        found.extend(answer.outcomes)

    talk(tmp_path, scene, replies, **settings)
    return found


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def texts(outcomes: list[Outcome]) -> list[tuple[type, str, str]]:
    return [(type(outcome), outcome.dsn, outcome.text) for outcome in outcomes]


def test_a_letter_arrives_as_it_was(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        body = b".dot\r\n..\r\n.\r\nend"
        answer = await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example", "c@b.example", body=body)
        assert [type(outcome) for outcome in answer.outcomes] == [Sent, Sent]
        assert answer.dead is None
        (message,) = sink.messages
        assert message.content == HEAD + body + b"\r\n"
        size = len(HEAD + body)
        assert message.mail == f"MAIL FROM:<sender@from.example> SIZE={size}"
        assert [line.split()[1] for line in message.rcpt] == ["TO:<a@b.example>", "TO:<c@b.example>"]
        # EHLO; MAIL, RCPT and DATA in one piece; the content with its dot in one piece.
        assert len(sink.talks[0].chunks) == 3
        assert f"relay={HOST}:{sink.port}, delay=" in client.lines[0]
        assert client.lines[0].endswith("dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 00001)")

    talk(tmp_path, scene)


SAID = f"host {HOST} said: "
REFUSED = f"host {HOST} refused to talk to me: "
LOST = f"lost connection with {HOST} while "
LATE = f"conversation with {HOST} timed out while "
END = "sending end of data -- message may be sent more than once"

FAILURES = {
    "greeting_421": ({"CONNECT": then_drop("421 4.3.2 busy")}, Deferred, "4.3.2", REFUSED + "421 4.3.2 busy"),
    "greeting_554_is_later": ({"CONNECT": "554 5.7.1 away"}, Deferred, "4.7.1", REFUSED + "554 5.7.1 away"),
    "greeting_450": ({"CONNECT": "450 no"}, Deferred, "4.0.0", REFUSED + "450 no"),
    "greeting_lost": ({"CONNECT": DROP}, Deferred, "4.4.2", LOST + "receiving the initial server greeting"),
    "greeting_late": ({"CONNECT": STALL}, Deferred, "4.4.2", LATE + "receiving the initial server greeting"),
    "greeting_junk": ({"CONNECT": "hello"}, Deferred, "4.4.2", LATE + "receiving the initial server greeting"),
    "helo_550": ({"EHLO": "550 5.7.1 a", "HELO": "550 5.7.1 b"}, Bounced, "5.7.1", REFUSED + "550 5.7.1 b"),
    "helo_450": ({"EHLO": "450 4.7.1 a", "HELO": "450 4.7.1 b"}, Deferred, "4.7.1", REFUSED + "450 4.7.1 b"),
    "ehlo_421": ({"EHLO": then_drop("421 bye")}, Deferred, "4.0.0", REFUSED + "421 bye"),
    "ehlo_lost": ({"EHLO": DROP}, Deferred, "4.4.2", LOST + "performing the EHLO handshake"),
    "ehlo_late": ({"EHLO": STALL}, Deferred, "4.4.2", LATE + "performing the EHLO handshake"),
    "mail_550": ({"MAIL": "550 5.1.8 x"}, Bounced, "5.1.8", SAID + "550 5.1.8 x (in reply to MAIL FROM command)"),
    "mail_450": ({"MAIL": "450 4.1.8 x"}, Deferred, "4.1.8", SAID + "450 4.1.8 x (in reply to MAIL FROM command)"),
    "mail_421": ({"MAIL": then_drop("421 x")}, Deferred, "4.0.0", SAID + "421 x (in reply to MAIL FROM command)"),
    "mail_lost": ({"MAIL": DROP}, Deferred, "4.4.2", LOST + "sending MAIL FROM"),
    "mail_late": ({"MAIL": STALL}, Deferred, "4.4.2", LATE + "sending MAIL FROM"),
    "rcpt_550": ({"RCPT": "550 x"}, Bounced, "5.0.0", SAID + "550 x (in reply to RCPT TO command)"),
    "rcpt_450": ({"RCPT": "450 4.2.0 x"}, Deferred, "4.2.0", SAID + "450 4.2.0 x (in reply to RCPT TO command)"),
    "rcpt_lost": ({"RCPT": DROP}, Deferred, "4.4.2", LOST + "sending RCPT TO"),
    "data_550": ({"DATA": "550 5.7.1 x"}, Bounced, "5.7.1", SAID + "550 5.7.1 x (in reply to DATA command)"),
    "data_450": ({"DATA": "450 4.7.1 x"}, Deferred, "4.7.1", SAID + "450 4.7.1 x (in reply to DATA command)"),
    "data_lost": ({"DATA": DROP}, Deferred, "4.4.2", LOST + "sending DATA command"),
    "data_late": ({"DATA": STALL}, Deferred, "4.4.2", LATE + "sending DATA command"),
    "dot_550": ({".": "550 5.7.1 x"}, Bounced, "5.7.1", SAID + "550 5.7.1 x (in reply to end of DATA command)"),
    "dot_450": ({".": "450 4.7.1 x"}, Deferred, "4.7.1", SAID + "450 4.7.1 x (in reply to end of DATA command)"),
    "dot_lost": ({".": DROP}, Deferred, "4.4.2", LOST + END),
    "dot_late": ({".": STALL}, Deferred, "4.4.2", LATE + END),
    "early_550": (
        {"BODY": then_drop("550 5.7.1 x")},
        Bounced,
        "5.7.1",
        SAID + "550 5.7.1 x (in reply to end of DATA command)",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failure(tmp_path: Path, name: str) -> None:
    replies, kind, dsn, text = FAILURES[name]
    assert texts(one(tmp_path, replies)) == [(kind, dsn, text)]


NOT_UNDERSTOOD = {
    "rcpt_junk": {"RCPT": "xyz"},
    "rcpt_354": {"RCPT": "354 what"},
    "rcpt_999": {"RCPT": "999 what"},
    "data_250": {"DATA": "250 hm"},
    "dot_354": {".": "354 go on"},
    "dot_junk_refusal": {".": "noise\n550 no"},
}


@pytest.mark.parametrize("name", NOT_UNDERSTOOD)
def test_what_is_not_understood_is_later(tmp_path: Path, name: str) -> None:
    (outcome,) = one(tmp_path, NOT_UNDERSTOOD[name])
    assert isinstance(outcome, Deferred)
    assert outcome.dsn == "4.5.0"
    assert outcome.text.startswith("Protocol error: host")


def test_noise_before_acceptance_is_no_reason_to_send_twice(tmp_path: Path) -> None:
    (outcome,) = one(tmp_path, {".": "noise\n250 2.0.0 taken"})
    assert isinstance(outcome, Sent)


def test_replies_are_rewritten_before_they_are_read(tmp_path: Path) -> None:
    rules = tmp_path / "replies"
    rules.write_text("/^550 no/ 450 4.2.0 later\n!/^[2-5][0-9][0-9]($|[- ])/ 250-noise\n")

    async def scene(client: Client, sink: SmtpSink) -> None:
        answer = await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example", "c@b.example")
        assert texts(answer.outcomes) == [
            (Deferred, "4.2.0", SAID + "450 4.2.0 later (in reply to RCPT TO command)"),
            (Bounced, "5.1.1", SAID + "250-noise 550 5.1.1 gone (in reply to RCPT TO command)"),
        ]
        where = f"{HOST}:{sink.port}"
        assert client.lines[0] == f'{where}: replacing server reply "550 no" with "450 4.2.0 later"'

    replies = {"RCPT": ["550 no", "what\n550 5.1.1 gone"]}
    talk(tmp_path, scene, replies, smtp_reply_filter=f"regexp:{rules}")


@pytest.mark.parametrize("table", ["smtp_reply_filter", "smtp_discard_ehlo_keyword_address_maps"])
def test_a_table_that_cannot_answer_is_no_fault_of_the_server(tmp_path: Path, table: str) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        answer = await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert texts(answer.outcomes) == [(Deferred, "4.3.0", f"local data error while talking to {HOST}")]
        assert answer.dead is None
        assert not sink.messages

    talk(tmp_path, scene, **{table: "fail:x"})


def test_status_filter_and_soft_bounce(tmp_path: Path) -> None:
    rules = tmp_path / "status"
    rules.write_text("/^4(.*busy.*)/ 5$1\n/^5\\.1\\.1 / 4.1.1 perhaps later\n/^2/ 2.7.7 handed on\n")
    settings = {"smtp_delivery_status_filter": f"regexp:{rules}"}
    replies = {"RCPT": ["450 4.7.0 busy", "550 5.1.1 who", "250 ok"]}

    async def scene(client: Client, sink: SmtpSink) -> None:
        answer = await client.deliver(f"[127.0.0.1]:{sink.port}", *(f"{each}@b.example" for each in "abc"))
        kinds = [(type(outcome), outcome.dsn) for outcome in answer.outcomes]
        soft = client.service.conf.soft_bounce
        assert kinds == [(Deferred, "4.7.0") if soft else (Bounced, "5.7.0"), (Deferred, "4.1.1"), (Sent, "2.7.7")]
        assert answer.outcomes[1].text == "perhaps later"
        assert answer.outcomes[1].diagnostic == "550 5.1.1 who"
        assert "dsn=2.7.7, status=sent (handed on)" in "".join(client.lines)

    talk(tmp_path, scene, replies, **settings)
    talk(tmp_path, scene, replies, soft_bounce="yes", **settings)


def test_the_conversation_with_a_watched_server_is_logged(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        where = f"{HOST}:{sink.port}"
        said = [line for line in client.lines if line[:2] in ("< ", "> ")]
        if "127.0.0.0/8" in client.service.conf.debug_peer_list:
            assert said[0].startswith(f"< {where}: 220 ")
            assert f"> {where}: EHLO host.example.com" in said
            assert f"> {where}: DATA" in said
            assert not any("Subject" in line for line in said)
        else:
            assert said == []

    talk(tmp_path, scene, debug_peer_list="elsewhere.example, 127.0.0.0/8")
    talk(tmp_path, scene, debug_peer_list="elsewhere.example")


def test_a_bind_address_that_is_none_makes_mail_wait(tmp_path: Path) -> None:
    (outcome,) = one(tmp_path, {}, smtp_bind_address="localhost")
    assert texts([outcome]) == [(Deferred, "4.4.0", "server configuration error")]


def test_a_slip_in_a_list_of_next_hops_or_fallbacks_returns_nothing(tmp_path: Path) -> None:
    """The good places are tried; where none takes the mail, it waits until the slip is mended."""

    async def scene(client: Client, sink: SmtpSink) -> None:
        good = await client.deliver(f"[127.0.0.1, [127.0.0.1]:{sink.port}", "a@b.example")
        bad = await client.deliver("[127.0.0.1, bad..example", "a@b.example")
        gone = await client.deliver("[127.0.0.1]:0 [nowhere.invalid]", "a@b.example")
        assert [type(answer.outcomes[0]) for answer in (good, bad, gone)] == [Sent, Deferred, Deferred]
        assert "Server configuration error: bad port number '0'" in texts(gone.outcomes)[0][2]

    talk(tmp_path, scene, smtp_host_lookup="native")


def test_greeting_5xx_is_final_when_not_skipped(tmp_path: Path) -> None:
    (outcome,) = one(tmp_path, {"CONNECT": "554 5.7.1 away"}, smtp_skip_5xx_greeting="no")
    assert texts([outcome]) == [(Bounced, "5.7.1", REFUSED + "554 5.7.1 away")]


@pytest.mark.parametrize("extensions", [EXTENSIONS, ("SIZE",), None])
def test_each_recipient_has_its_own_answer(tmp_path: Path, extensions: tuple[str, ...] | None) -> None:
    replies = {"RCPT": ["250 ok", "550 5.1.1 no such", "452 4.2.2 full", "250 ok"]}

    async def scene(client: Client, sink: SmtpSink) -> None:
        answer = await client.deliver(f"[127.0.0.1]:{sink.port}", *[f"{x}@b.example" for x in "abcd"])
        assert [type(outcome) for outcome in answer.outcomes] == [Sent, Bounced, Deferred, Sent]
        assert [line.split()[1] for line in sink.messages[0].rcpt] == ["TO:<a@b.example>", "TO:<d@b.example>"]

    talk(tmp_path, scene, replies, extensions=extensions)


def test_all_recipients_refused_but_data_accepted_sends_nothing(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        answer = await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert isinstance(answer.outcomes[0], Bounced)
        assert [message.content for message in sink.messages] == [b""]

    talk(tmp_path, scene, {"RCPT": "550 5.1.1 no"})


def test_421_in_the_middle_spares_nobody_but_keeps_its_word(tmp_path: Path) -> None:
    outcomes = one(tmp_path, {"RCPT": then_drop("421 4.3.2 down")}, "a@b.example", "c@b.example")
    assert [outcome.text for outcome in outcomes] == [
        SAID + "421 4.3.2 down (in reply to RCPT TO command)",
        LOST + "sending RCPT TO",
    ]


def test_size_limit_of_the_server(tmp_path: Path) -> None:
    (outcome,) = one(tmp_path, {}, extensions=("SIZE 20",))
    size = len(HEAD + BODY)
    assert texts([outcome]) == [(Bounced, "5.3.4", f"message size {size} exceeds size limit 20 of server {HOST}")]


def test_smtputf8_only_where_it_is_needed(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        nexthop = f"[127.0.0.1]:{sink.port}"
        plain = await client.deliver(nexthop, "a@b.example", smtputf8=True)
        assert isinstance(plain.outcomes[0], Sent)
        header = await client.deliver(nexthop, "a@b.example", smtputf8=True, head="Subject: é\r\n\r\n".encode())
        address = await client.deliver(nexthop, "é@b.example", smtputf8=True)
        for outcome in (header.outcomes[0], address.outcomes[0]):
            expected = f"SMTPUTF8 is required, but was not offered by host {HOST}"
            assert texts([outcome]) == [(Bounced, "5.6.7", expected)]

    talk(tmp_path, scene, extensions=("PIPELINING",))


def test_long_lines_are_folded_and_logged(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example", body=b"x" * 1000 + b"\r\n")
        assert sink.messages[0].content.endswith(b"x" * 998 + b"\r\n xx\r\n")
        assert any(line.endswith("breaking line > 998 bytes with <CR><LF>SPACE") for line in client.lines)

    talk(tmp_path, scene)


def test_a_large_message_goes_by_pieces(tmp_path: Path) -> None:
    body = b"".join(b"%d .\r\n.%d\r\n" % (n, n) for n in range(200_000))

    async def scene(client: Client, sink: SmtpSink) -> None:
        answer = await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example", body=body)
        assert isinstance(answer.outcomes[0], Sent)
        assert sink.messages[0].content == HEAD + body

    talk(tmp_path, scene)


def test_a_large_message_refused_half_way(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        answer = await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example", body=b"x" * 70 * 100_000)
        (outcome,) = answer.outcomes
        assert isinstance(outcome, Bounced | Deferred)
        if isinstance(outcome, Bounced):  # a reset may overtake the words
            assert outcome.text == SAID + "550 5.7.1 too big (in reply to end of DATA command)"

    talk(tmp_path, scene, {"BODY": then_drop("550 5.7.1 too big")})


def test_connection_is_used_again(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        for _ in range(3):
            await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert len(sink.talks) == 1
        assert "conn_use" not in client.lines[0]
        assert f"relay={HOST}:{sink.port}, conn_use=2, delay=" in client.lines[1]
        assert "conn_use=3" in client.lines[2]

    talk(tmp_path, scene)


def test_connection_is_used_again_after_a_refusal(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        for _ in range(3):
            await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert len(sink.talks) == 1
        assert len(sink.messages) == 1
        assert sink.commands.count("RSET") == 2

    talk(tmp_path, scene, {"MAIL": ["550 5.1.8 a", "250 ok", "450 4.1.8 b"]}, extensions=("SIZE",))


def test_connection_use_has_limits(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        for _ in range(4):
            await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert len(sink.talks) == 2

    talk(tmp_path, scene, smtp_connection_reuse_count_limit="2")


def test_no_reuse_when_turned_off(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        for _ in range(2):
            await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert len(sink.talks) == 2
        assert sink.talks[0].commands[-1] == "QUIT"

    talk(tmp_path, scene, smtp_connection_cache_on_demand="no")


def test_reuse_for_some_destinations_only(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        for nexthop in (f"[127.0.0.1]:{sink.port}", f"localhost:{sink.port}"):
            for _ in range(2):
                await client.deliver(nexthop, "a@b.example")
        assert len(sink.talks) == 3

    talk(
        tmp_path,
        scene,
        smtp_connection_cache_on_demand="no",
        smtp_connection_cache_destinations="127.0.0.1",
        smtp_host_lookup="native",
        disable_dns_lookups="yes",
    )


def test_an_idle_connection_of_another_next_hop_does_not_evade_what_is_demanded_of_this_one(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        plain = await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        secret = await client.deliver(f"127.0.0.1:{sink.port}", "a@secret.example")
        assert [type(answer.outcomes[0]) for answer in (plain, secret)] == [Sent, Deferred]
        assert texts(secret.outcomes)[0][1] == "4.7.5"
        again = await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert isinstance(again.outcomes[0], Sent)
        assert (len(sink.talks), len(sink.messages)) == (1, 2)

    talk(tmp_path, scene, smtp_tls_policy_maps="regexp:" + write(tmp_path / "policy", "/^127/ encrypt\n"))


def test_sender_dependent_logins_keep_no_connection(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        for _ in range(2):
            await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert len(sink.talks) == 2

    talk(
        tmp_path,
        scene,
        smtp_sender_dependent_authentication="yes",
        smtp_connection_cache_destinations="127.0.0.1",
    )


def test_idle_connection_is_closed(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        await sink.talks[0].closed.wait()
        assert sink.talks[0].commands[-1] == "QUIT"
        assert len(client.service.pool) == 0

    talk(tmp_path, scene, smtp_connection_cache_time_limit="1s")


def test_closed_idle_connection_is_nobodys_fault(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        sink.hang_up()
        answer = await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert isinstance(answer.outcomes[0], Sent)
        assert len(sink.talks) == 2
        assert "conn_use" not in client.lines[1]

    talk(tmp_path, scene)


@pytest.mark.parametrize("answer_to_mail", [DROP, then_drop("421 4.4.2 timeout"), STALL])
def test_kept_connection_that_dies_at_mail_is_nobodys_fault(tmp_path: Path, answer_to_mail: str) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        for _ in range(2):
            answer = await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
            assert isinstance(answer.outcomes[0], Sent)
        assert len(sink.talks) == 2
        assert len(client.lines) == 2
        await sink.talks[0].closed.wait()

    talk(tmp_path, scene, {"MAIL": ["250 ok", answer_to_mail, "250 ok"]})


def test_deliveries_at_the_same_time_have_connections_of_their_own(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        nexthop = f"[127.0.0.1]:{sink.port}"
        await asyncio.gather(*[client.deliver(nexthop, f"a{n}@b.example") for n in range(10)])
        assert len(sink.messages) == 10
        assert len(sink.talks) == 10
        await asyncio.gather(*[client.deliver(nexthop, f"a{n}@b.example") for n in range(10)])
        assert len(sink.talks) == 10

    talk(tmp_path, scene)


def test_nobody_listens(tmp_path: Path) -> None:
    async def scene(client: Client, _: SmtpSink) -> None:
        port = unused_port()
        answer = await client.deliver(f"[127.0.0.1]:{port}", "a@b.example")
        text = f"connect to {HOST}:{port}: Connection refused"
        assert texts(answer.outcomes) == [(Deferred, "4.4.1", text)]
        assert answer.dead is not None and answer.dead.text == text
        assert client.lines[0] == text
        assert "relay=none" in client.lines[1]

    talk(tmp_path, scene)


@pytest.mark.parametrize(
    ("replies", "dead"),
    [
        ({"CONNECT": "450 no"}, True),
        ({"EHLO": DROP}, True),
        ({"MAIL": DROP}, True),
        ({"MAIL": "450 no"}, False),
        ({"RCPT": "450 no"}, False),
        ({".": "450 no"}, False),
    ],
)
def test_who_is_told_that_the_next_hop_is_in_trouble(tmp_path: Path, replies: dict[str, Any], dead: bool) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        answer = await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert (answer.dead is not None) == dead

    talk(tmp_path, scene, replies)


def two(
    tmp_path: Path,
    first: dict[str, Any],
    scene: Callable[[Client, SmtpSink, SmtpSink], Awaitable[None]],
    **settings: str,
) -> None:
    """Two servers; the client is to try them in order."""

    async def inner(client: Client, sink: SmtpSink) -> None:
        async with SmtpSink() as second:
            await scene(client, sink, second)

    talk(tmp_path, inner, first, **settings)


def both(first: SmtpSink, second: SmtpSink) -> str:
    return f"[127.0.0.1]:{first.port}, [127.0.0.1]:{second.port}"


@pytest.mark.parametrize(
    "replies",
    [
        {"CONNECT": "421 no"},
        {"CONNECT": "554 no"},
        {"CONNECT": DROP},
        {"EHLO": DROP},
        {"MAIL": "450 4.1.8 no"},
        {"RCPT": "450 4.2.0 no"},
        {"DATA": "451 no"},
        {".": "451 no"},
        {".": DROP},
    ],
)
def test_trouble_with_one_server_goes_to_the_next(tmp_path: Path, replies: dict[str, Any]) -> None:
    async def scene(client: Client, first: SmtpSink, second: SmtpSink) -> None:
        answer = await client.deliver(both(first, second), "a@b.example")
        assert isinstance(answer.outcomes[0], Sent)
        assert answer.dead is None
        assert len(second.messages) == 1
        assert client.lines[0].startswith("3F2A8")
        assert f"host {HOST}" in client.lines[0] or "lost connection" in client.lines[0]
        assert "status=sent" in client.lines[1]

    two(tmp_path, replies, scene)


def test_only_who_is_left_goes_to_the_next(tmp_path: Path) -> None:
    async def scene(client: Client, first: SmtpSink, second: SmtpSink) -> None:
        answer = await client.deliver(both(first, second), "a@x", "b@x", "c@x")
        assert [type(outcome) for outcome in answer.outcomes] == [Sent, Bounced, Sent]
        assert [line.split()[1] for line in second.messages[0].rcpt] == ["TO:<c@x>"]

    two(tmp_path, {"RCPT": ["250 ok", "550 no", "450 later"]}, scene)


def test_a_refusal_is_final(tmp_path: Path) -> None:
    async def scene(client: Client, first: SmtpSink, second: SmtpSink) -> None:
        answer = await client.deliver(both(first, second), "a@b.example")
        assert isinstance(answer.outcomes[0], Bounced)
        assert second.talks == []

    two(tmp_path, {"RCPT": "550 no"}, scene)


def test_fallback_relay(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        answer = await client.deliver(f"[127.0.0.1]:{unused_port()}", "a@b.example")
        assert isinstance(answer.outcomes[0], Sent)
        assert len(sink.messages) == 1

    async def run() -> None:
        async with SmtpSink() as sink, Client(tmp_path, smtp_fallback_relay=f"[127.0.0.1]:{sink.port}") as client:
            await scene(client, sink)

    asyncio.run(run())


def test_unreadable_next_hop_waits_for_the_administrator(tmp_path: Path) -> None:
    async def scene(client: Client, _: SmtpSink) -> None:
        answer = await client.deliver("[127.0.0.1]:nosuch", "a@b.example")
        assert texts(answer.outcomes) == [
            (Deferred, "4.3.5", "Server configuration error: unknown service: nosuch/tcp")
        ]
        assert "nosuch" in client.warnings[0]

    talk(tmp_path, scene)


def test_message_that_cannot_be_read_stays(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        delivery = client.delivery(f"[127.0.0.1]:{sink.port}", "a@b.example")
        (tmp_path / delivery.place.path).unlink()
        answer = await client.service.deliver(delivery)
        assert isinstance(answer.outcomes[0], Deferred)
        assert answer.outcomes[0].dsn == "4.3.0"
        assert not any(line.startswith("DATA") for line in sink.commands)

    talk(tmp_path, scene)


def test_soft_bounce(tmp_path: Path) -> None:
    (outcome,) = one(tmp_path, {"RCPT": "550 5.1.1 no"}, soft_bounce="yes")
    assert (type(outcome), outcome.dsn) == (Deferred, "4.1.1")


def test_probe_stops_before_data(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        nexthop = f"[127.0.0.1]:{sink.port}"
        answer = await client.deliver(nexthop, "a@b.example", "no@b.example", trace=TRACE_VERIFY)
        assert [type(outcome) for outcome in answer.outcomes] == [Sent, Bounced]
        assert "DATA" not in sink.commands
        assert sink.commands[-1] == "RSET"
        assert "status=deliverable (250 2.1.5 Ok)" in client.lines[0]

    talk(tmp_path, scene, {"RCPT": ["250 2.1.5 Ok", "550 5.1.1 no"]})


def test_helo_where_ehlo_is_unknown(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        await client.deliver(f"[127.0.0.1]:{sink.port}", Recipient("a@b.example", notify=2))
        assert sink.commands[:4] == [
            "EHLO host.example.com",
            "HELO host.example.com",
            "MAIL FROM:<sender@from.example>",
            "RCPT TO:<a@b.example>",
        ]

    talk(tmp_path, scene, extensions=None)


def test_never_ehlo(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert sink.commands[0] == "HELO me.example"

    talk(tmp_path, scene, smtp_never_send_ehlo="yes", smtp_helo_name="me.example")


def test_discarded_keywords(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert "MAIL FROM:<sender@from.example>" in sink.commands
        assert len(sink.talks[0].chunks) > 3

    talk(
        tmp_path,
        scene,
        smtp_discard_ehlo_keywords="size",
        smtp_discard_ehlo_keyword_address_maps="inline:{{127.0.0.1 = pipelining, size}}",
    )


def test_the_address_maps_take_the_place_of_the_general_list(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert any(command.startswith("MAIL") and "SIZE=" in command for command in sink.commands)
        assert client.lines[0] == "discarding EHLO keywords: PIPELINING"

    talk(
        tmp_path,
        scene,
        smtp_discard_ehlo_keywords="size",
        smtp_discard_ehlo_keyword_address_maps="inline:{127.0.0.1=pipelining}",
    )


def test_bind_address(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        answer = await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert isinstance(answer.outcomes[0], Sent)

    talk(tmp_path, scene, smtp_bind_address="127.0.0.3")


def test_bind_address_that_is_not_ours(tmp_path: Path) -> None:
    (outcome,) = one(tmp_path, {}, smtp_bind_address="192.0.2.1", smtp_bind_address_enforce="yes")
    assert isinstance(outcome, Deferred)
    (outcome,) = one(tmp_path, {}, smtp_bind_address="192.0.2.1")
    assert isinstance(outcome, Sent)


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("reply", ["250 ok", "501 5.5.4 no"])
def test_xforward(tmp_path: Path, pipelining: bool, reply: str) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        source = From(name="h.example", address="192.0.2.1", helo="h", protocol="SMTP")
        for _ in range(2):
            answer = await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example", client=source)
            assert isinstance(answer.outcomes[0], Sent)
        commands = [line for line in sink.commands if line.startswith("XFORWARD")]
        assert commands == ["XFORWARD NAME=h.example ADDR=192.0.2.1", "XFORWARD PROTO=SMTP HELO=h SOURCE=LOCAL"] * 2
        assert len(client.warnings) == (0 if reply == "250 ok" else 4)

    extensions = ("XFORWARD NAME ADDR PROTO HELO SOURCE", *(["PIPELINING"] if pipelining else []))
    talk(tmp_path, scene, {"XFORWARD": reply}, extensions=extensions, smtp_send_xforward_command="yes")


@pytest.mark.parametrize(
    "settings",
    [
        {"smtp_tls_security_level": "encrypt"},
        {"smtp_tls_security_level": "secure"},
        {"smtp_tls_wrappermode": "yes"},
        {"smtp_tls_policy_maps": "static:verify"},
        {"smtp_tls_security_level": "", "smtp_enforce_tls": "yes"},
        {"smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": "static:user:secret"},
    ],
)
def test_mail_waits_for_what_is_demanded_and_not_there(tmp_path: Path, settings: dict[str, str]) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        answer = await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert isinstance(answer.outcomes[0], Deferred)
        assert answer.outcomes[0].dsn in ("4.7.5", "4.7.0")
        assert sink.talks == []

    talk(tmp_path, scene, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"smtp_tls_security_level": "may"},
        {"smtp_tls_security_level": "encrypt", "smtp_tls_policy_maps": "static:may"},
        {"smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": "inline:{other.example=user:secret}"},
    ],
)
def test_mail_flows_where_nothing_is_demanded(tmp_path: Path, settings: dict[str, str]) -> None:
    (outcome,) = one(tmp_path, {}, **settings)
    assert isinstance(outcome, Sent)


EIGHT = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"


@pytest.mark.parametrize("lines", [1, 100_000])
def test_8bit_parts_are_converted_for_a_server_without_8bitmime(tmp_path: Path, lines: int) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        body = "é.\r\n".encode() * lines
        nexthop = f"[127.0.0.1]:{sink.port}"
        await client.deliver(nexthop, "a@b.example", head=EIGHT, body=body, encoding="8bit")
        await client.deliver(nexthop, "a@b.example", head=EIGHT, body=body, encoding="")
        converted = EIGHT.replace(b"8bit", b"quoted-printable") + b"=C3=A9.\r\n" * lines
        assert [message.content for message in sink.messages] == [converted, EIGHT + body]

    talk(tmp_path, scene, extensions=("PIPELINING",))


@pytest.mark.parametrize("extensions", [("8BITMIME",), ("PIPELINING",)])
def test_8bit_parts_stay_where_they_may(tmp_path: Path, extensions: tuple[str, ...]) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        body = "é\r\n".encode()
        await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example", head=EIGHT, body=body, encoding="8bit")
        assert sink.messages[0].content == EIGHT + body
        assert ("BODY=8BITMIME" in sink.messages[0].mail) == ("8BITMIME" in extensions)

    talk(tmp_path, scene, extensions=extensions, disable_mime_output_conversion="yes")


STARS = "220 **********************0*****2"


@pytest.mark.parametrize("lines", [1, 30_000])
def test_pix_firewall(tmp_path: Path, lines: int) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example", body=b"0123456789.\r\n" * lines)
        assert sink.commands[0].startswith("HELO ")
        assert sink.messages[0].content == HEAD + b"0123456789.\r\n" * lines
        # The dot comes by itself, and not in one piece with the line end before it.
        assert sink.talks[0].chunks[-1] == b".\r\n"
        where = f"{HOST}:{sink.port}"
        assert client.lines[0].endswith(f"enabling PIX workarounds: disable_esmtp delay_dotcrlf for {where}")

    talk(
        tmp_path,
        scene,
        {"CONNECT": STARS},
        smtp_pix_workaround_threshold_time="0s",
        smtp_pix_workaround_delay_time="1s",
    )


def test_pix_firewall_and_young_mail(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert sink.commands[0].startswith("HELO ")
        assert ": enabling PIX workarounds: disable_esmtp for " in client.lines[0]

    talk(tmp_path, scene, {"CONNECT": STARS})


def test_pix_firewall_without_workarounds(tmp_path: Path) -> None:
    async def scene(client: Client, sink: SmtpSink) -> None:
        await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example")
        assert sink.commands[0].startswith("EHLO ")

    talk(tmp_path, scene, {"CONNECT": STARS}, smtp_pix_workaround_maps="inline:{ 127.0.0.1=none }")
    talk(tmp_path, scene, {"CONNECT": STARS}, smtp_pix_workarounds="")


def test_a_server_that_drips_is_given_up(tmp_path: Path) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for byte in b"220-" + b"x" * 1000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.1)
        except OSError:
            writer.close()

    async def run() -> None:
        async with asyncio.timeout(10), Client(tmp_path, smtp_per_request_deadline="yes", **SHORT) as client:
            server = await asyncio.start_server(drip, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            answer = await client.deliver(f"[127.0.0.1]:{port}", "a@b.example")
            assert answer.outcomes[0].text == LATE + "receiving the initial server greeting"
            server.close()

    asyncio.run(run())


def test_a_server_that_does_not_read_is_given_up(tmp_path: Path) -> None:
    async def run() -> None:
        async with asyncio.timeout(20), SmtpSink() as sink, Client(tmp_path, **SHORT) as client:
            sink.replies["DATA"] = lambda line: deaf(sink)
            answer = await client.deliver(f"[127.0.0.1]:{sink.port}", "a@b.example", body=b"x\r\n" * 10_000_000)
            assert answer.outcomes[0].text == LATE + "sending message body"

    def deaf(sink: SmtpSink) -> str:
        for session in sink.sessions:
            session.transport.pause_reading()
        return "354 go"

    asyncio.run(run())
