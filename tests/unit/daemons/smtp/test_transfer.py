"""Whatever a server says, every recipient ends in one way, and only a clear 5xx ends a letter's hopes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from estafeta.base import log
from estafeta.daemons.smtp.connection import Connection, Manner
from estafeta.daemons.smtp.letter import Letter
from estafeta.daemons.smtp.mx import Server
from estafeta.daemons.smtp.transfer import Stale, transfer
from estafeta.mail.envelope import Recipient
from estafeta.mail.outcome import Bounced, Outcome, Sent
from estafeta.net.stream import PeerGone, Stream
from estafeta.queue.place import Place
from estafeta.services.delivery import Delivery
from estafeta.wire.smtp.client import Extensions

HEAD, BODY = b"Subject: x\r\n\r\n", b"body\r\n"


class FakeStream:
    """Says what it was given, then hangs up."""

    def __init__(self, said: list[bytes]) -> None:
        self.said = [piece for piece in said if piece]
        self.sent = b""
        self.timeout = 0.0
        self.gone = False
        self.pending = False

    def write(self, data: bytes) -> None:
        self.sent += data

    async def chunk(self) -> bytes:
        if not self.said:
            self.gone = True
            raise PeerGone("lost connection")
        return self.said.pop(0)

    def abort(self) -> None:
        self.gone = True

    close = abort


class FakeReader:
    def content(self, place: Place) -> bytes:
        return HEAD + BODY

    def head(self, place: Place) -> bytes:
        return HEAD

    def pieces(self, place: Place, size: int = 65536) -> Iterator[bytes]:
        yield HEAD + BODY


def letter_to(*recipients: str, sender: str = "s@x") -> Letter:
    def settle(letter: Letter, index: int, outcome: Outcome) -> Outcome:
        assert letter.outcomes[index] is None
        return outcome

    place = Place("x", 0, len(HEAD), len(BODY), 0)
    whom = [Recipient(each) for each in recipients]
    return Letter(Delivery(1, place, "3F2A", "smtp", "b.example", sender, whom, 0.0, 0.0, 0.0, 20), settle)


def run(
    said: list[bytes], keywords: dict[str, str], *, lmtp: bool = False, uses: int = 1, letter: Letter | None = None
) -> tuple[Letter, FakeStream, bool]:
    stream = FakeStream(said)
    letter = letter or letter_to("a@b", "c@b", "d@b")
    connection = Connection(cast(Stream, stream), Server("mx.example", "192.0.2.1", 25), 0.0)
    connection.extensions = Extensions(keywords)
    connection.uses = uses
    manner: Any = Manner(lmtp=lmtp, helo_name="h", myhostname="h")
    before = log.install(lambda level, text, program: None)
    stale = False
    try:
        asyncio.run(transfer(connection, letter, FakeReader(), manner))
    except Stale:
        stale = True
    finally:
        log.install(before)
    return letter, stream, stale


LINES = [
    b"250 ok\r\n",
    b"250 2.1.5 ok\r\n",
    b"354 go\r\n",
    b"450 4.2.0 later\r\n",
    b"421 bye\r\n",
    b"550 5.1.1 no\r\n",
    b"550-no\r\n",
    b"250-more\r\n",
    b"noise\r\n",
    b"999 what\r\n",
    b"199 what\r\n",
    b"25",
    b"\r\n",
    b"\xff\n",
]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(LINES), max_size=12),
    st.sampled_from([{}, {"PIPELINING": ""}, {"PIPELINING": "", "SIZE": "100000", "DSN": ""}]),
    st.booleans(),
    st.sampled_from([1, 2]),
)
def test_any_answers(said: list[bytes], keywords: dict[str, str], lmtp: bool, uses: int) -> None:
    letter, _, stale = run(said, keywords, lmtp=lmtp, uses=uses)
    if stale:
        assert letter.left == [0, 1, 2] and uses == 2
        return
    for index, outcome in enumerate(letter.outcomes):
        if outcome is None:
            assert index in letter.left and not letter.trouble[index].hard
        else:
            assert index not in letter.left
        if isinstance(outcome, Bounced):
            assert outcome.diagnostic.startswith("550")
            assert "noise" not in outcome.diagnostic


def test_everything_in_one_piece_when_pipelining() -> None:
    said = [b"250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 done\r\n"]
    letter, stream, _ = run(said, {"PIPELINING": ""}, lmtp=False, uses=1)
    assert letter.left == []
    assert stream.sent.startswith(b"MAIL FROM:<s@x>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@b>\r\nRCPT TO:<d@b>\r\nDATA\r\n")
    assert stream.sent.endswith(b"DATA\r\n" + HEAD + BODY + b".\r\n")


def test_an_lmtp_server_that_waits_for_content_for_nobody_is_not_waited_for() -> None:
    said = [b"250 ok\r\n452 4.2.2 full\r\n", b"354 go\r\n"]
    letter, stream, _ = run(said, {"PIPELINING": ""}, lmtp=True, letter=letter_to("a@b"))
    assert stream.sent.endswith(b"DATA\r\n")
    assert letter.trouble[0].dsn == "4.2.2"


def test_noise_before_an_lmtp_answer_costs_nothing_where_nothing_was_pipelined() -> None:
    asked = [b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"]
    letter, _, _ = run([*asked, b"noise\r\n250 a\r\n", b"250 b\r\n", b"250 c\r\n"], {}, lmtp=True)
    assert [isinstance(outcome, Sent) for outcome in letter.outcomes] == [True, True, True]


def test_step_by_step_without_pipelining() -> None:
    said = [b"250 ok\r\n", b"550 no\r\n", b"550 no\r\n", b"550 no\r\n", b"250 reset\r\n"]
    letter, stream, _ = run(said, {}, lmtp=False, uses=1)
    assert all(isinstance(outcome, Bounced) for outcome in letter.outcomes)
    assert b"DATA" not in stream.sent
    assert stream.sent.endswith(b"RSET\r\n")


def test_a_server_that_knows_dsn_reports_success_itself() -> None:
    said = [b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 done\r\n"]
    for keywords, action in (({}, "relayed"), ({"DSN": ""}, "")):
        letter, _, _ = run(list(said), keywords, letter=letter_to("a@b"))
        outcome = letter.outcomes[0]
        assert isinstance(outcome, Sent) and outcome.action == action


def test_an_address_cannot_smuggle_commands() -> None:
    letter = letter_to("a@b", "x\r\nRCPT TO:<y@z>@b")
    said = [b"250 ok\r\n250 ok\r\n354 go\r\n250 done\r\n"]
    _, stream, _ = run(said, {"PIPELINING": ""}, letter=letter)
    assert [type(outcome) for outcome in letter.outcomes] == [Sent, Bounced]
    assert b"y@z" not in stream.sent

    letter = letter_to("a@b", sender="x\nDATA")
    _, stream, _ = run([b"250 reset\r\n"], {"PIPELINING": ""}, letter=letter)
    assert isinstance(letter.outcomes[0], Bounced)
    assert stream.sent == b"RSET\r\n"


class LargeReader(FakeReader):
    """A message of 2 MB, in pieces."""

    HEAD = b"From: in@here\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    LINES = 40_000

    def content(self, place: Place) -> bytes:
        raise AssertionError("a large message is never read as a whole")

    def head(self, place: Place) -> bytes:
        return self.HEAD

    def pieces(self, place: Place, size: int = 65536) -> Iterator[bytes]:
        whole = self.HEAD + "é = some text of a line, forty bytes or so\r\n".encode() * self.LINES
        yield from (whole[at : at + size] for at in range(0, len(whole), size))


class DrainedStream(FakeStream):
    async def drain(self) -> None: ...


def sent_large(*, generic: bool, keywords: dict[str, str]) -> DrainedStream:
    letter = letter_to("a@b")
    letter.delivery.place = Place("x", 0, len(LargeReader.HEAD), 45 * LargeReader.LINES, 0)
    letter.delivery.encoding = "8bit"
    letter.size = 2_000_000
    if generic:
        letter.replace("out@isp", ["c@d"], LargeReader.HEAD.replace(b"in@here", b"out@isp"))
    stream = DrainedStream([b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 2.0.0 ok\r\n"])
    connection = Connection(cast(Stream, stream), Server("mx.example", "192.0.2.1", 25), 0.0)
    connection.extensions = Extensions(keywords)
    manner: Any = Manner(lmtp=False, helo_name="h", myhostname="h", convert=True)
    asyncio.run(transfer(connection, letter, LargeReader(), manner))
    assert isinstance(letter.outcomes[0], Sent)
    return stream


def test_a_large_message_is_converted_as_it_is_sent() -> None:
    sent = sent_large(generic=False, keywords={}).sent
    assert sent.isascii()
    assert b"From: in@here\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9 =3D some" in sent
    assert sent.count(b"=C3=A9 =3D some text of a line, forty bytes or so\r\n") == LargeReader.LINES


def test_generic_addresses_replace_envelope_and_header() -> None:
    sent = sent_large(generic=True, keywords={"8BITMIME": "", "SIZE": "", "DSN": ""}).sent
    assert b"MAIL FROM:<out@isp> SIZE=2000000" in sent
    assert b"RCPT TO:<c@d> ORCPT=rfc822;a@b" in sent
    assert b"DATA\r\nFrom: out@isp\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" in sent
    assert b"in@here" not in sent
