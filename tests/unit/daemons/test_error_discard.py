from types import SimpleNamespace
from typing import Any

import pytest

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.daemons.discard import DiscardService
from estafeta.daemons.error import ErrorService
from estafeta.mail.envelope import Recipient
from estafeta.mail.outcome import Bounced, Deferred, Sent
from estafeta.mail.reason import reason_of
from estafeta.queue.place import Place
from estafeta.services.delivery import Delivery


@pytest.fixture
def lines() -> Any:
    kept: list[str] = []
    before = log.install(lambda level, text, program: kept.append(text))
    yield kept
    log.install(before)


def context(name: str) -> Any:
    return SimpleNamespace(conf=Config.for_test(), entry=SimpleNamespace(name=name), slots=0)


def request(nexthop: str) -> Delivery:
    to = [Recipient("a@b.example"), Recipient("c@b.example", "x@b.example")]
    return Delivery(1, Place("incoming/x", 0, 0, 0, 0), "Q1", "error", nexthop, "s@b", to, 0.0, 0.0, 0.0, 1)


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("5.7.9 go away", "5.0.0", ("5.7.9", "go away")),
        ("go away", "5.0.0", ("5.0.0", "go away")),
        ("4.2.9 later", "5.0.0", ("5.0.0", "later")),
        ("5.1.1", "5.0.0", ("5.1.1", "")),
        ("5.1.1x", "5.0.0", ("5.0.0", "5.1.1x")),
    ],
)
def test_a_reason_may_begin_with_a_status(text: str, status: str, reason: tuple[str, str]) -> None:
    assert reason_of(text, status) == reason


def test_error_returns_everything(lines: list[str]) -> None:
    answer = ErrorService(context("error")).at_once(request("5.7.9 go away"))
    assert answer.outcomes == [Bounced("5.7.9", "go away")] * 2
    assert answer.dead is None
    assert lines[0].startswith("Q1: to=<a@b.example>, relay=none, delay=")
    assert lines[0].endswith("dsn=5.7.9, status=bounced (go away)")
    assert "to=<c@b.example>, orig_to=<x@b.example>, relay=none" in lines[1]


def test_retry_puts_everything_off(lines: list[str]) -> None:
    answer = ErrorService(context("retry")).at_once(request("4.4.1 delivery temporarily suspended: no"))
    assert answer.outcomes == [Deferred("4.4.1", "delivery temporarily suspended: no")] * 2
    assert lines[0].endswith("dsn=4.4.1, status=deferred (delivery temporarily suspended: no)")


def test_discard_delivers_everything(lines: list[str]) -> None:
    answer = DiscardService(context("discard")).at_once(request("silently"))
    assert answer.outcomes == [Sent("2.0.0", "silently", action="delivered")] * 2
    assert lines[0].endswith("dsn=2.0.0, status=sent (silently)")
