"""Strict MIME rules and conversion on the way in, for small messages and for streamed ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.unit.intake.conftest import Bench

from estafeta.intake.verdict import Queued

EIGHT = "Content-Transfer-Encoding: 8bit\n"
MULTI = "Content-Type: multipart/mixed; boundary=b\n{}\npre\n--b\n{}\n{}\n--b--\n"


def hand_in(made: Bench, text: str, *, encoding: str = "") -> object:
    message = made.begin()
    message.envelope.encoding = encoding
    data = text.replace("\n", "\r\n").encode()

    async def run() -> object:
        for at in range(0, len(data), 1000):
            if message.feed(data[at : at + 1000]):
                await message.drain()
        return await message.finish()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("settings", "text", "refusal"),
    [
        ("strict_7bit_headers", "Subject: é\n\nx\n", "header"),
        ("strict_7bit_headers", MULTI.format("", "Subject: é\n", "x"), "header"),
        ("strict_7bit_headers", "Subject: x\n\né\n", ""),
        ("strict_8bitmime_body", "Subject: é\n\né\n", "body"),
        ("strict_8bitmime_body", EIGHT + "\né\n", ""),
        ("strict_8bitmime_body", MULTI.format("", EIGHT, "é"), ""),
        ("strict_8bitmime_body", MULTI.format(EIGHT, "", "é"), "body"),
        ("strict_8bitmime", "Subject: é\n\nx\n", "header"),
        ("strict_8bitmime", "Subject: x\n\né\n", "body"),
        ("strict_mime_encoding_domain", MULTI.format("Content-Transfer-Encoding: base64\n", "", "x"), "domain"),
        ("strict_mime_encoding_domain", "Content-Type: message/partial\nContent-Transfer-Encoding: base64\n\nx\n", ""),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_refused(
    bench: Callable[..., Bench], lines: list[tuple[str, str]], settings: str, text: str, refusal: str, large: bool
) -> None:
    made = bench(**{settings: "yes", "estafeta_large_message": "1500"} if large else {settings: "yes"})
    answer = hand_in(made, text + ("z" * 60 + "\n") * 100 if large else text)
    if not refusal:
        assert isinstance(answer, Queued)
        return
    assert (answer.code, answer.dsn) == (550, "5.6.0")  # type: ignore[attr-defined]
    assert answer.text.endswith(refusal)  # type: ignore[attr-defined]
    assert any("reject: mime-error" in line for _, line in lines)
    assert hand_in(bench(**{settings: "yes", "disable_mime_input_processing": "yes"}), text).code == 250  # type: ignore[attr-defined]


@pytest.mark.parametrize("large", [False, True])
def test_forced_conversion(bench: Callable[..., Bench], large: bool) -> None:
    settings = {"force_mime_input_conversion": "yes", "always_add_missing_headers": "no"}
    made = bench(**settings, **({"estafeta_large_message": "1500"} if large else {}))
    padding = ("z" * 60 + "\n") * 100 if large else ""
    given = MULTI.format(EIGHT, EIGHT, "é =\n" + padding)
    assert isinstance(hand_in(made, given, encoding="8bit"), Queued)
    envelope, head, body = made.last
    assert b"Content-Transfer-Encoding: 7bit" in head
    assert (
        b"--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9 =3D\r\n"
        + padding.replace("\n", "\r\n").encode()
        in body
    )
    assert envelope.encoding == "7bit"
    assert envelope.size == len((head + body).replace(b"\r\n", b"\n"))


def test_forced_conversion_of_a_header_alone(bench: Callable[..., Bench]) -> None:
    made = bench(force_mime_input_conversion="yes")
    assert isinstance(hand_in(made, "Subject: x\n"), Queued)
    assert b"Subject: x\r\n" in made.last[1]


@pytest.mark.parametrize("action", ["fix_quietly", "add_header", "reject"])
def test_what_ends_a_header(bench: Callable[..., Bench], action: str) -> None:
    made = bench(non_empty_end_of_header_action=action)
    answer = hand_in(made, "Subject: x\nno field\nbody\n")
    words = "message header was terminated by 'no field'"
    if action == "reject":
        assert (answer.code, answer.text) == (550, words)  # type: ignore[attr-defined]
        return
    assert isinstance(answer, Queued)
    assert (f"MIME-Error: {words}\r\n".encode() in made.last[1]) is (action == "add_header")
    assert made.last[2] == b"no field\r\nbody\r\n"


@pytest.mark.parametrize("cut", range(1, 110, 3))
def test_separators_of_mailbox_files_may_come_in_pieces(bench: Callable[..., Bench], cut: int) -> None:
    made = bench()
    separators = b"From a@b Thu\r\n>From c and so on, longer than what is looked at first\r\n>>from d\r\n"
    text = separators + b"Subject: x\r\n\r\nbody\r\n"
    message = made.begin()
    message.feed(text[:cut])
    message.feed(text[cut:])
    asyncio.run(message.finish())
    assert made.last[1].count(b"X-Mailbox-Line: ") == 3
    assert b"d\r\nSubject: x\r\n" in made.last[1]
    envelope, head, body = made.last
    assert envelope.size == len((head + body).replace(b"\r\n", b"\n"))


def test_separators_of_mailbox_files_are_kept_under_a_name(bench: Callable[..., Bench]) -> None:
    made = bench()
    hand_in(made, "From a@b Thu\n>From c\nSubject: x\n\nbody\n")
    assert made.last[1].startswith(b"X-Mailbox-Line: From a@b Thu\r\nX-Mailbox-Line: >From c\r\nSubject: x\r\n")
    envelope, head, body = made.last
    assert envelope.size == len((head + body).replace(b"\r\n", b"\n"))
