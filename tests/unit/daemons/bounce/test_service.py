"""The service around the reports: what it returns of a message, and what it answers when it cannot."""

import asyncio
from typing import Any

from estafeta.config.instance import Config
from estafeta.daemons.bounce import templates
from estafeta.daemons.bounce.service import BounceService
from estafeta.mail.envelope import Envelope, Recipient
from estafeta.queue.place import Place
from estafeta.queue.record import Damaged
from estafeta.services.delivery import Result
from estafeta.services.report import BOUNCE, ReportReply, ReportRequest
from estafeta.services.submission import Accepted, Submission

PLACE = Place("incoming/1.journal", 0, 1, 1, 1)
FAILED = Result("bounced", "5.1.1", "unknown user")
HEAD = b"Subject: x\r\nMessage-Id: <1@a.test>\r\nX-Long: 1\r\n\r\n"


class FakeReader:
    def __init__(self, head: bytes, error: Exception | None = None) -> None:
        self._head = head
        self._error = error

    def head(self, place: Place) -> bytes:
        if self._error:
            raise self._error
        return self._head

    def content(self, place: Place) -> bytes:
        return self.head(place) + b"body\r\n"


class FakeSubmitter:
    """Takes reports until there are `room` of them."""

    def __init__(self, room: int = 9) -> None:
        self.taken: list[Submission] = []
        self._room = room

    async def submit(self, submission: Submission) -> Accepted:
        if len(self.taken) >= self._room:
            return Accepted(0, "", "4.3.0", "cannot take the message in: No space left on device")
        self.taken.append(submission)
        return Accepted(0, f"R{len(self.taken)}")


def reported(
    reader: FakeReader, submitter: FakeSubmitter, *, ret: str = "", verp: str = "", **settings: str
) -> tuple[ReportReply, str]:
    """The answer, and the text of the first report."""
    service: Any = BounceService.__new__(BounceService)
    service.conf = Config.for_test(myhostname="mail.test", notify_classes="", **settings)
    service._templates = templates.load(service.conf)
    service._reader, service._submitter = reader, submitter
    recipients = [Recipient("a@b.test"), Recipient("c@b.test")]
    letter = Envelope("ABC", 1.0, "s@a.test", recipients, size=10, ret=ret, verp=verp)
    answer = asyncio.run(service._report(ReportRequest(7, BOUNCE, PLACE, letter, {0: FAILED, 1: FAILED})))
    first = submitter.taken[0] if submitter.taken else None
    return answer, (first.head + first.body).decode() if first else ""


def test_the_message_comes_back() -> None:
    answer, text = reported(FakeReader(HEAD), FakeSubmitter())
    assert (answer.number, answer.ok) == (7, True)
    assert "X-Long: 1\r\n\r\nbody\r\n" in text


def test_a_report_on_a_message_that_cannot_be_read_goes_without_it() -> None:
    for error in (Damaged("checksum"), FileNotFoundError(2, "gone")):
        answer, text = reported(FakeReader(HEAD, error), FakeSubmitter(), enable_threaded_bounces="yes")
        assert answer.ok
        assert "<a@b.test>: unknown user" in text
        assert "Subject: x" not in text


def test_a_huge_header_is_not_returned_whole() -> None:
    _, text = reported(FakeReader(HEAD), FakeSubmitter(), ret="HDRS", header_size_limit="40")
    assert "Message-Id" in text
    assert "X-Long" not in text


def test_the_message_id_of_a_threaded_bounce() -> None:
    _, text = reported(FakeReader(HEAD), FakeSubmitter(), enable_threaded_bounces="yes")
    assert "\r\nIn-Reply-To: <1@a.test>\r\n" in text
    _, text = reported(FakeReader(HEAD.replace(b"<1@", b"<1 @")), FakeSubmitter(), enable_threaded_bounces="yes")
    assert "In-Reply-To" not in text


def test_a_report_that_cannot_be_queued_is_asked_for_again() -> None:
    answer, _ = reported(FakeReader(HEAD), FakeSubmitter(0))
    assert (answer.ok, answer.reason) == (False, "cannot take the message in: No space left on device")
    # One of two reports: whoever asks again gets the first one twice rather than the second never.
    answer, _ = reported(FakeReader(HEAD), FakeSubmitter(1), verp="+=")
    assert not answer.ok
