"""A message from its first byte to its verdict: recipients, limits, trouble, large messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estafeta.intake import verdict
from estafeta.intake.intake import characters
from estafeta.intake.verdict import Queued, Verdict
from estafeta.mail.envelope import NOTIFY_FAILURE, NOTIFY_NEVER, NOTIFY_SUCCESS, Envelope, Recipient

from .conftest import QUEUE_ID, Bench

TEXT = b"Subject: a message of some length, so that its header is looked at\r\n\r\nbody\r\n"

ALIASES = (
    "inline:{{x@va.example=y@remote.example},{loop1@va.example=loop2@va.example},{loop2@va.example=loop1@va.example},"
    "{self@va.example={self@va.example, other@remote.example}},{list@va.example={a@r.e, b@r.e, a@r.e}},"
    "{nest1@va.example={nest2@va.example z@r.e}},{nest2@va.example=final},{@catch.example=@target.example},"
    "{@cc.example=one@target.example},{grow@va.example=grow+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@va.example},"
    "{dup1@va.example=same@r.e},{dup2@va.example=same@r.e}}"
)
ALIASES = ALIASES.replace("={self@va.example, other@remote.example}", "=self@va.example, other@remote.example")
ALIASES = ALIASES.replace("={a@r.e, b@r.e, a@r.e}", "=a@r.e, b@r.e, a@r.e").replace(
    "={nest2@va.example z@r.e}", "=nest2@va.example, z@r.e"
)


def submit(bench: Bench, *recipients: str, text: bytes = TEXT, **options: object) -> Verdict:
    message = bench.begin(*recipients, **options)  # type: ignore[arg-type]
    message.feed(text)
    return asyncio.run(message.finish())


def received_by(bench: Bench, *recipients: str, **options: object) -> list[tuple[str, str]]:
    answer = submit(bench, *recipients, **options)
    assert isinstance(answer, Queued), answer
    return [(each.original, each.address) for each in bench.last[0].recipients]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("self@va.example",), [("self@va.example", "self@va.example"), ("self@va.example", "other@remote.example")]),
        (("list@va.example",), [("list@va.example", "a@r.e"), ("list@va.example", "b@r.e")]),
        (("nest1@va.example",), [("nest1@va.example", "final@example.com"), ("nest1@va.example", "z@r.e")]),
        (("u@catch.example", "v+w@cc.example"),
         [("u@catch.example", "u@target.example"), ("v+w@cc.example", "one@target.example")]),
        (("dup1@va.example", "dup2@va.example", "same@r.e"),
         [("dup1@va.example", "same@r.e"), ("dup2@va.example", "same@r.e"), ("same@r.e", "same@r.e")]),
        (("x+foo@va.example",), [("x+foo@va.example", "y+foo@remote.example")]),
        (("postmaster", "POSTMASTER"), [("postmaster", "postmaster@example.com")]),
    ],
)  # fmt: skip
def test_virtual_aliases(given: tuple[str, ...], expected: list[tuple[str, str]], bench: Callable[..., Bench]) -> None:
    assert received_by(bench(virtual_alias_maps=ALIASES), *given) == expected


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        (NOTIFY_SUCCESS, NOTIFY_NEVER),
        (NOTIFY_SUCCESS | NOTIFY_FAILURE, NOTIFY_FAILURE),
        (NOTIFY_FAILURE, NOTIFY_FAILURE),
    ],
)
def test_an_alias_is_reached_when_it_is_expanded(asked: int, left: int, bench: Callable[..., Bench]) -> None:
    made = bench(virtual_alias_maps=ALIASES)
    message = made.begin("list@va.example", "a@elsewhere.example")
    for recipient in message.envelope.recipients:
        recipient.notify = asked
    message.feed(TEXT)
    asyncio.run(message.finish())
    envelope = made.last[0]
    assert [each.notify for each in envelope.recipients] == [left, left, asked]
    reached = [Recipient("list@va.example", "list@va.example", asked)] if asked & NOTIFY_SUCCESS else None
    assert envelope.expanded == reached


@pytest.mark.parametrize("recipient", ["loop1@va.example", "grow@va.example"])
def test_aliases_in_a_circle_wait(recipient: str, bench: Callable[..., Bench], lines: list[tuple[str, str]]) -> None:
    made = bench(virtual_alias_maps=ALIASES, virtual_alias_recursion_limit="20")
    assert submit(made, recipient) == verdict.ALIAS_TROUBLE
    assert (
        "cleanup",
        f"warning: {QUEUE_ID}: unreasonable virtual_alias_maps map nesting for {recipient} "
        "-- message not accepted, try again later",
    ) in lines


def test_aliases_that_explode_wait(bench: Callable[..., Bench]) -> None:
    made = bench(virtual_alias_maps=ALIASES, virtual_alias_expansion_limit="2")
    assert submit(made, "list@va.example") == verdict.ALIAS_TROUBLE
    made = bench(virtual_alias_maps=ALIASES, virtual_alias_address_length_limit="100")
    assert submit(made, "grow@va.example") == verdict.ALIAS_TROUBLE


def test_canonical_maps(bench: Callable[..., Bench], lines: list[tuple[str, str]]) -> None:
    maps = (
        "inline:{{old@example.com=new@example.com},{joe=Joe.Doe},{@oldcorp.example=@newcorp.example},"
        "{two@example.com=a@x.y, b@x.y}}"
    )
    made = bench(canonical_maps=maps)
    got = received_by(made, "joe+e", "old@example.com", "k@oldcorp.example", "two@example.com", sender="joe")
    assert got == [
        ("joe+e", "Joe.Doe+e@example.com"),
        ("old@example.com", "new@example.com"),
        ("k@oldcorp.example", "k@newcorp.example"),
        ("two@example.com", "a@x.y"),
    ]
    assert made.last[0].sender == "Joe.Doe@example.com"
    assert made.last[0].sender_original == "joe"
    assert ("cleanup", f"warning: {QUEUE_ID}: multi-valued canonical_maps entry for two@example.com") in lines


def test_canonical_classes(bench: Callable[..., Bench]) -> None:
    maps = "inline:{{a@b.c=x@y.z}}"
    made = bench(sender_canonical_maps=maps)
    assert received_by(made, "a@b.c", sender="a@b.c") == [("a@b.c", "a@b.c")]
    assert made.last[0].sender == "x@y.z"
    made = bench(recipient_canonical_maps=maps)
    assert received_by(made, "a@b.c", sender="a@b.c") == [("a@b.c", "x@y.z")]
    assert made.last[0].sender == "a@b.c"
    made = bench(canonical_maps=maps, canonical_classes="header_sender")
    assert received_by(made, "a@b.c", sender="a@b.c", text=b"From: a@b.c\r\nTo: a@b.c\r\n\r\n") == [("a@b.c", "a@b.c")]
    assert made.last[1].startswith(b"From: x@y.z\r\nTo: a@b.c\r\n")


def test_masquerading(bench: Callable[..., Bench]) -> None:
    made = bench(masquerade_domains="!no.example.com example.com", masquerade_exceptions="root")
    for sender, expected in (
        ("u@host.example.com", "u@example.com"),
        ("root@host.example.com", "root@host.example.com"),
        ("u@a.no.example.com", "u@a.no.example.com"),
        ("u@example.com", "u@example.com"),
    ):
        submit(made, "u@host.example.com", sender=sender)
        assert made.last[0].sender == expected
        assert made.last[0].recipients[0].address == "u@host.example.com"  # not in masquerade_classes


def test_smtputf8_is_looked_for_where_it_is_wanted(bench: Callable[..., Bench]) -> None:
    def found(writer: str, classes: str, **settings: str) -> bool:
        made = bench(smtputf8_autodetect_classes=classes, **settings)
        envelope = Envelope("3F2A81C0", 1795224182.0, "s@send.example", [Recipient("é@remote.example")])
        message = made.intake.begin(envelope, from_network=writer == "smtpd", writer=writer)
        message.feed(b"Subject: x\r\n\r\nbody\r\n")
        asyncio.run(message.finish())
        return made.last[0].smtputf8

    assert found("sendmail", "sendmail, verify") and found("", "sendmail") and found("bounce", "all")
    assert not found("smtpd", "sendmail, verify") and not found("forward", "bounce, notify")
    assert not found("sendmail", "all", smtputf8_enable="no")


def test_duplicates_are_remembered_as_far_as_the_limit(bench: Callable[..., Bench]) -> None:
    many = [f"u{number}@r.e" for number in range(5)]
    assert len(received_by(bench(duplicate_filter_limit="3"), *many, *many)) == 7
    assert len(received_by(bench(duplicate_filter_limit="0"), *many, *many)) == 5


def test_a_copy_is_one_address_without_the_extension(bench: Callable[..., Bench]) -> None:
    made = bench(recipient_bcc_maps="inline:{{bob@r.e=got@r.e}}", always_bcc="all@r.e")
    assert [address for _, address in received_by(made, "bob+x@r.e")] == ["bob+x@r.e", "got@r.e", "all@r.e"]


def test_original_recipient_may_be_left_out(bench: Callable[..., Bench]) -> None:
    made = bench(enable_original_recipient="no", virtual_alias_maps=ALIASES)
    assert received_by(made, "dup1@va.example", "dup2@va.example") == [("dup1@va.example", "same@r.e")]


def test_receive_override_options(bench: Callable[..., Bench]) -> None:
    made = bench(virtual_alias_maps=ALIASES, receive_override_options="no_address_mappings")
    assert received_by(made, "x@va.example", "root") == [("x@va.example", "x@va.example"), ("root", "root@example.com")]


def test_copies(bench: Callable[..., Bench]) -> None:
    made = bench(
        always_bcc="archive",
        sender_bcc_maps="inline:{{s@send.example=boss@x.y}}",
        recipient_bcc_maps="inline:{{@remote.example=log@x.y}}",
    )
    assert [address for _, address in received_by(made)] == [
        "r@remote.example", "log@x.y", "boss@x.y", "archive@example.com",
    ]  # fmt: skip
    assert made.last[0].recipients[1].notify == NOTIFY_NEVER
    assert len(received_by(made, internal=True)) == 1


def test_no_recipients(bench: Callable[..., Bench]) -> None:
    made = bench()
    message = made.begin()
    message.envelope.recipients = []
    message.feed(TEXT)
    assert asyncio.run(message.finish()) == verdict.NO_RECIPIENTS
    assert not made.spool.messages


def test_empty_recipient_is_the_mail_system(bench: Callable[..., Bench]) -> None:
    made = bench()
    message = made.begin()
    message.envelope.recipients[0].address = ""
    message.feed(TEXT)
    asyncio.run(message.finish())
    assert made.last[0].recipients[0].address == "MAILER-DAEMON@example.com"


@pytest.mark.parametrize("parameter", ["canonical_maps", "virtual_alias_maps"])
def test_a_table_that_is_down_means_later(
    parameter: str, bench: Callable[..., Bench], lines: list[tuple[str, str]]
) -> None:
    made = bench(**{parameter: "fail:gone"})
    assert submit(made) == verdict.TABLE_TROUBLE
    assert not made.spool.messages
    assert any(f"{parameter} map lookup problem for " in text and "fail:gone" in text for _, text in lines)


def test_a_full_disk_means_later(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.spool.broken = True
    assert submit(made) == verdict.CANNOT_WRITE
    assert not made.notices.told


def test_size_limit(bench: Callable[..., Bench]) -> None:
    made = bench(message_size_limit="1000")
    assert submit(made, text=TEXT + b"x" * 900 + b"\r\n") != verdict.TOO_BIG
    assert submit(made, text=TEXT + b"x" * 1000 + b"\r\n") == verdict.TOO_BIG
    assert isinstance(submit(bench(message_size_limit="0"), text=TEXT + b"x" * 20_000_000), Queued)


def test_size_counts_a_line_end_once(bench: Callable[..., Bench]) -> None:
    made = bench()
    submit(made, text=b"Subject: x\r\n\r\nbody\r\n", context="remote")
    assert made.last[0].size == 11 + 1 + 5


def test_hold_discard_redirect_filter(bench: Callable[..., Bench]) -> None:
    made = bench(content_filter="scan:[127.0.0.1]:10025")
    message = made.begin()
    message.hold("looks odd")
    message.envelope.redirect = "guard"
    message.feed(TEXT)
    asyncio.run(message.finish())
    envelope = made.last[0]
    assert made.notices.told == ["held"]
    assert envelope.hold_reason == "looks odd"
    assert [each.address for each in envelope.recipients] == ["guard@example.com"]
    assert all(each.original not in ("", "guard") for each in envelope.recipients)  # for X-Original-To
    assert envelope.content_filter == "scan:[127.0.0.1]:10025"
    message = made.begin()
    message.envelope.content_filter = "other:"
    message.feed(TEXT)
    asyncio.run(message.finish())
    assert made.last[0].content_filter == "other:"
    message = made.begin()
    message.discard()
    message.feed(TEXT)
    answer = asyncio.run(message.finish())
    assert isinstance(answer, Queued) and answer.text == f"Ok: queued as {QUEUE_ID}"
    assert len(made.spool.messages) == 2


def test_large_messages_stream(bench: Callable[..., Bench]) -> None:
    made = bench(estafeta_large_message="65536")

    async def send() -> Verdict:
        message = made.begin(context="remote")
        piece = b"y" * 998 + b"\r\n"
        message.feed(TEXT)
        most = 0
        for _ in range(1000):
            if message.feed(piece):
                await message.drain()
            most = max(most, message._content.held)
        assert most < 400_000
        return await message.finish()

    assert isinstance(asyncio.run(send()), Queued)
    envelope, head, body = made.last
    assert head.startswith(b"Subject: a message") and head.endswith(b"\r\n\r\n")
    assert body == b"body\r\n" + (b"y" * 998 + b"\r\n") * 1000
    assert envelope.size == len(head + body) - (head + body).count(b"\n")
    assert len(made.spool.large) == 1


def test_a_large_message_that_fails_is_removed(bench: Callable[..., Bench]) -> None:
    made = bench(estafeta_large_message="65536", message_size_limit="200000")

    async def send() -> Verdict:
        message = made.begin()
        message.feed(TEXT)
        for _ in range(1000):
            if message.feed(b"y" * 998 + b"\r\n"):
                await message.drain()
        return await message.finish()

    assert asyncio.run(send()) == verdict.TOO_BIG
    assert made.spool.large[0].gone
    assert not made.spool.messages


def test_abandoned_large_message_is_removed(bench: Callable[..., Bench]) -> None:
    made = bench(estafeta_large_message="65536")

    async def send() -> None:
        message = made.begin()
        message.feed(TEXT + (b"y" * 998 + b"\r\n") * 100)
        await message.drain()
        message.abandon()
        await made.intake.stop()

    asyncio.run(send())
    assert made.spool.large[0].gone


def test_8bit_is_noticed(bench: Callable[..., Bench]) -> None:
    made = bench()
    submit(made, text=b"Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa9\r\n")
    assert made.last[0].encoding == "8bit"
    submit(
        made, text=b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-transfer-encoding: 8BIT\r\n\r\n"
    )
    assert made.last[0].encoding == "8bit"
    submit(made, text=b"Content-Type: text/plain\r\n\r\nContent-transfer-encoding: 8BIT\r\n")
    assert made.last[0].encoding == ""
    submit(bench(detect_8bit_encoding_header="no"), text=b"Content-Transfer-Encoding: 8bit\r\n\r\n")


def test_strict_8bit(bench: Callable[..., Bench]) -> None:
    made = bench(strict_7bit_headers="yes")
    assert submit(made, text="Subject: é\r\n\r\n".encode()) == verdict.BAD_8BIT_HEADER
    made = bench(strict_8bitmime_body="yes")
    assert submit(made, text="Subject: e\r\n\r\né\r\n".encode()) == verdict.BAD_8BIT_BODY
    assert isinstance(submit(made, text="Content-Transfer-Encoding: 8bit\r\n\r\né\r\n".encode()), Queued)


def test_utf8_of_local_writers_is_noticed(bench: Callable[..., Bench]) -> None:
    made = bench()
    text = "Subject: é\r\n\r\nx\r\n".encode()
    submit(made, text=text, from_network=False)
    assert made.last[0].smtputf8
    submit(made, text=text, from_network=True)
    assert not made.last[0].smtputf8


def test_reject_characters(bench: Callable[..., Bench]) -> None:
    made = bench(message_reject_characters="\\0")
    assert submit(made, text=TEXT + b"a\0b\r\n") == verdict.BAD_CHARACTERS
    assert submit(made, text=b"X-A: \0\r\n" + TEXT) == verdict.BAD_CHARACTERS
    assert isinstance(submit(made), Queued)


def test_character_escapes() -> None:
    assert characters("\\0\\015\\n\\\\x") == b"\0\r\n\\x"


def test_a_table_value_that_is_not_utf8_means_later(bench: Callable[..., Bench]) -> None:
    made = bench(virtual_alias_maps="inline:{{x@va.example=caf\udce9@r.e}}")
    assert submit(made, "x@va.example") == verdict.TABLE_TROUBLE


def test_nobody_to_hear_a_refusal(bench: Callable[..., Bench]) -> None:
    """Mail that pickup took in is not refused but returned, by way of error(8)."""
    made = bench(message_size_limit="1000", message_reject_characters="\\0")
    for text, reason in (
        (b"Received: x\r\n" * 51 + b"\r\n", "5.4.0 too many hops"),
        (TEXT + b"y" * 2000 + b"\r\n", "5.3.4 message file too big"),
        (TEXT + b"\0\r\n", "5.7.1 disallowed character"),
    ):
        envelope = Envelope(QUEUE_ID, 1.0, "s@send.example", [Recipient("r@remote.example")])
        message = made.intake.begin(envelope, from_network=False, bounce=True)
        message.feed(text)
        assert isinstance(asyncio.run(message.finish()), Queued)
        assert made.last[0].content_filter == f"error:{reason}"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 400), max_size=20))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    text = b"From: joe\r\nTo: ann,\r\n bob\r\n\r\n" + b"line of body\r\n" * 50

    def stored(pieces: list[bytes]) -> tuple[bytes, bytes, int]:
        made = Bench({})
        message = made.begin()
        for piece in pieces:
            message.feed(piece)
        asyncio.run(message.finish())
        envelope, head, body = made.last
        return head, body, envelope.size

    pieces, at = [], 0
    for cut in cuts:
        pieces.append(text[at : at + cut])
        at += cut
    assert stored([*pieces, text[at:]]) == stored([text])


def test_stray_line_ends_of_local_writers_become_blanks(bench: Callable[..., Bench]) -> None:
    made = bench()
    submit(made, text=TEXT + b"a\rb\nc\r\n", from_network=False)
    assert made.last[2].endswith(b"a b c\r\n")
    made = bench(cleanup_replace_stray_cr_lf="no")
    submit(made, text=TEXT + b"a\rb\r\n", from_network=False)
    assert made.last[2].endswith(b"a\rb\r\n")


@pytest.mark.parametrize(
    ("delay", "full", "told"),
    [
        ("3s", True, ["waited 3", "arrived"]),
        ("3s", False, ["arrived"]),
        ("0", True, ["arrived"]),
    ],
)
def test_in_flow_delay_while_qmgr_has_no_room(
    delay: str, full: bool, told: list[str], bench: Callable[..., Bench]
) -> None:
    made = bench(in_flow_delay=delay)
    made.notices.full = full
    assert isinstance(submit(made), Queued)
    assert made.notices.told == told
