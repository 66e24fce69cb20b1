"""Who hears of a bad session, and who does not."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.services.postmaster import (
    BOUNCE,
    MOST_WAITING,
    POLICY,
    PROTOCOL,
    RESOURCE,
    SOFTWARE,
    Postmaster,
    wanted_classes,
)
from estafeta.services.submission import Accepted, Submission


class FakeSubmitter:
    def __init__(self, answer: Accepted | OSError | None = None) -> None:
        self.taken: list[Submission] = []
        self._answer = answer or Accepted(0, "Q1")

    async def submit(self, submission: Submission) -> Accepted:
        await asyncio.sleep(0)
        self.taken.append(submission)
        if isinstance(self._answer, OSError):
            raise self._answer
        return self._answer


def told(work: Callable[[Postmaster], None], submitter: FakeSubmitter, **settings: str) -> list[Submission]:
    values = {
        "myhostname": "mail.test",
        "error_notice_recipient": "errors",
        "bounce_notice_recipient": "bounces@x.test",
    }

    async def story() -> None:
        postmaster: Any = Postmaster(Config.for_test(**{**values, **settings}), submitter)  # type: ignore[arg-type]
        work(postmaster)
        await postmaster.stop()

    asyncio.run(story())
    return submitter.taken


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(log, "warning", found.append)
    return found


def test_by_default_resources_and_software() -> None:
    assert wanted_classes(Config.for_test()) == RESOURCE | SOFTWARE


def test_a_class_that_does_not_exist_is_warned_about(lines: list[str]) -> None:
    assert wanted_classes(Config.for_test(notify_classes="Policy, 2bounce delay polizy")) == POLICY
    (line,) = lines
    assert "notify_classes: unknown class 'polizy'" in line


def test_a_notice_goes_from_double_bounce_to_error_notice_recipient() -> None:
    (sent,) = told(
        lambda post: post.tell(PROTOCOL, "SMTP server: errors from a[1]", [b"FOO\r\n"]),
        FakeSubmitter(),
        notify_classes="protocol",
    )
    assert sent.envelope.sender == "double-bounce@mail.test"
    assert [each.address for each in sent.envelope.recipients] == ["errors"]
    assert sent.origin == "notify"
    assert b"To: Postmaster <errors@mail.test>\r\nSubject: Estafeta SMTP server: errors from a[1]\r\n" in sent.head
    assert b" In:  FOO\r\n" in sent.body


def test_bounces_go_to_another_recipient() -> None:
    (sent,) = told(lambda post: post.tell(BOUNCE | POLICY, "x", []), FakeSubmitter(), notify_classes="bounce, policy")
    assert sent.envelope.recipients[0].address == "bounces@x.test"
    (sent,) = told(lambda post: post.tell(BOUNCE | POLICY, "x", []), FakeSubmitter(), notify_classes="policy")
    assert sent.envelope.recipients[0].address == "errors"


def test_what_nobody_wants_to_hear_is_not_sent() -> None:
    assert told(lambda post: post.tell(POLICY, "x", []), FakeSubmitter(), notify_classes="protocol") == []


def test_a_flood_of_bad_sessions_is_no_flood_of_mail(lines: list[str]) -> None:
    def flood(post: Postmaster) -> None:
        for _ in range(MOST_WAITING + 5):
            post.tell(POLICY, "x", [])

    assert len(told(flood, FakeSubmitter(), notify_classes="policy")) == MOST_WAITING
    assert len(lines) == 5


@pytest.mark.parametrize(
    "answer, said",
    [
        (Accepted(0, "", "4.3.0", "disk full"), "postmaster notice: 4.3.0 disk full"),
        (
            ConnectionRefusedError(111, "refused"),
            "postmaster notice: cannot reach the cleanup service: refused",
        ),
    ],
)
def test_a_notice_that_cannot_be_queued_is_a_line_in_the_log(
    answer: Accepted | OSError, said: str, lines: list[str]
) -> None:
    told(lambda post: post.tell(POLICY, "x", []), FakeSubmitter(answer), notify_classes="policy")
    assert lines == [said]
