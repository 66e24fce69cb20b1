"""Whatever bytes a client sends, cut wherever: a session neither breaks nor loses step, and takes no smuggled mail."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.talk.dialogue import BASE
from tests.talk.stage import Message, Stage, logged

from estafeta.wire.smtp.data import DataDecoder, LineNormalizer

SETTINGS = BASE | {
    "smtpd_forbid_unauth_pipelining": "no",
    "smtpd_hard_error_limit": "100000",
    "smtpd_soft_error_limit": "100000",
    "smtpd_forbidden_commands": "",
    "message_size_limit": "1000",
    "mailbox_size_limit": "1000",
    "virtual_mailbox_limit": "1000",
}
ENVELOPE = b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<user>\r\n"

fragments = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b".",
        b"..",
        b"\r\n.\r\n",
        b"\n.\n",
        b"\r\n.\n",
        b"\n.\r\n",
        b"x",
        b"\0",
        b"\xff",
        b"y" * 900,
    ]
)
verbs = st.sampled_from(
    [
        b"EHLO x\r\n",
        b"HELO x\r\n",
        b"MAIL FROM:<a@b>\r\n",
        b"MAIL FROM:<> SIZE=5 BODY=8BITMIME\r\n",
        b"RCPT TO:<user>\r\n",
        b"RCPT TO:<user> NOTIFY=NEVER\r\n",
        b"DATA\r\n",
        b"BDAT 3\r\nabc",
        b"BDAT 4 LAST\r\nabc\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"VRFY user\r\n",
        b"\r\n",
        b".\r\n",
    ]
)
content = st.lists(fragments, max_size=12).map(b"".join)
noise = st.binary(max_size=40)
dialogue = st.lists(st.one_of(verbs, verbs, noise, content, noise.map(lambda data: data + b"\r\n")), max_size=25)
lengths = st.lists(st.integers(1, 60), min_size=1, max_size=8)

calm = settings(suppress_health_check=[HealthCheck.too_slow])


def pieces_of(data: bytes, sizes: list[int]) -> list[bytes]:
    """The data cut into pieces of these sizes, over and over."""
    pieces, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


async def talked(pieces: list[bytes], **values: str) -> tuple[bytes, list[Message], list[str]]:
    with logged() as lines:
        stage = Stage(SETTINGS | values)
        said = await stage.start()
        for piece in pieces:
            said += await stage.send(piece)
        await stage.hang_up()
        assert stage.released == 1
    assert not [line for line in lines if line.startswith(("error: ", "panic: ", "fatal: "))]
    return said, stage.gate.messages, lines


def outcome(pieces: list[bytes], **values: str) -> tuple[bytes, list[tuple[str, list[str], bytes]]]:
    said, messages, _ = asyncio.run(talked(pieces, **values))
    for line in said.split(b"\r\n")[:-1]:
        assert line[:3].isdigit() and line[3:4] in (b" ", b"-")
    return said, [(m.envelope.sender, [r.address for r in m.envelope.recipients], m.content) for m in messages]


@calm
@given(dialogue, lengths)
def test_cutting_changes_nothing(parts: list[bytes], sizes: list[int]) -> None:
    data = b"".join(parts)
    assert outcome([data] if data else []) == outcome(pieces_of(data, sizes))


@calm
@given(dialogue, st.sampled_from(["no", "normalize", "reject"]))
def test_only_crlf_is_passed_on(parts: list[bytes], rule: str) -> None:
    _, messages = outcome([part for part in parts if part], smtpd_forbid_bare_newline=rule)
    for _, _, taken in messages:
        assert taken.count(b"\r\n") == taken.count(b"\r") == taken.count(b"\n")
        assert not taken or taken.endswith(b"\r\n")
        assert len(taken) <= 1000


@calm
@given(content, lengths)
def test_nothing_is_smuggled_through_data(body: bytes, sizes: list[int]) -> None:
    """One message comes of one DATA unless the client really wrote CRLF.CRLF in it."""
    body = body.replace(b"\r\n.\r\n", b"\r\n") if not body.startswith(b".\r\n") else b"x" + body
    while b"\r\n.\r\n" in body:
        body = body.replace(b"\r\n.\r\n", b"\r\n")
    smuggled = body + b"MAIL FROM:<evil@b>\r\nRCPT TO:<user>\r\nDATA\r\nevil"
    if b"\r\n.\r\n" in smuggled:
        return
    pieces = [ENVELOPE + b"DATA\r\n", *pieces_of(smuggled + b"\r\n.\r\n", sizes)]
    _, messages = outcome(pieces, message_size_limit="0", mailbox_size_limit="0", virtual_mailbox_limit="0")
    assert [sender for sender, _, _ in messages] == ["a@b"]
    taken = messages[0][2]
    # What we pass on cannot be read as an end by the next server: no lone dot but a stuffed one.
    stuffed = (b"\r\n" + taken).replace(b"\r\n.", b"\r\n..")
    assert b"\r\n.\r\n" not in stuffed


@calm
@given(content, lengths)
def test_nothing_is_smuggled_through_bdat(body: bytes, sizes: list[int]) -> None:
    data = ENVELOPE + b"BDAT %d LAST\r\n" % len(body) + body + b"NOOP\r\n"
    said, messages = outcome(
        pieces_of(data, sizes), message_size_limit="0", mailbox_size_limit="0", virtual_mailbox_limit="0"
    )
    assert len(messages) == 1
    assert said.count(b" queued as ") == 1
    assert said.endswith(b"250 2.0.0 Ok\r\n")


@calm
@given(content, lengths, st.booleans())
def test_decoder_is_the_same_however_it_is_fed(data: bytes, sizes: list[int], strict: bool) -> None:
    def run(pieces: list[bytes]) -> tuple[bytes, bytes, bool, bool]:
        decoder, content, rest = DataDecoder(strict=strict), b"", b""
        for piece in pieces:
            if decoder.done:
                rest += piece
                continue
            content += decoder.feed(piece)
            rest += decoder.rest
        return content, rest, decoder.done, decoder.bare_newline

    data += b"\r\n.\r\n"
    assert run([data]) == run(pieces_of(data, sizes)) == run([data[at : at + 1] for at in range(len(data))])


@calm
@given(content, lengths, st.booleans())
def test_normalizer_is_the_same_however_it_is_fed(data: bytes, sizes: list[int], strict: bool) -> None:
    def run(pieces: list[bytes]) -> bytes:
        lines = LineNormalizer(strict=strict)
        return b"".join(lines.feed(piece) for piece in pieces) + lines.finish()

    whole = run([data] if data else [])
    assert whole == run(pieces_of(data, sizes))
    assert whole.count(b"\r\n") == whole.count(b"\r") == whole.count(b"\n")
