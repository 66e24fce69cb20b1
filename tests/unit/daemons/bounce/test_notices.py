"""Who is told what: every row of the policy."""

import pytest

from estafeta.config.instance import Config
from estafeta.daemons.bounce.notices import Notice, action_of, due
from estafeta.mail.envelope import (
    NOTIFY_FAILURE,
    NOTIFY_NEVER,
    NOTIFY_SUCCESS,
    TRACE_REPORT,
    TRACE_VERIFY,
    Envelope,
    Recipient,
)
from estafeta.queue.place import Place
from estafeta.services.delivery import Result
from estafeta.services.report import BOUNCE, DELAY, SUCCESS, VERIFY, ReportRequest

PLACE = Place("incoming/1.journal", 0, 1, 1, 1)
FAILED = Result("bounced", "5.1.1", "unknown user")


def notices(kind: str = BOUNCE, classes: str = "", *, size: int = 100, **envelope: object) -> list[Notice]:
    conf = Config.for_test(notify_classes=classes, myhostname="mail.example.test", bounce_size_limit="1000")
    values = {"sender": "sender@example.test", "recipients": [Recipient("user@example.test")]} | envelope
    letter = Envelope("ABC", 1.0, size=size, **values)  # type: ignore[arg-type]
    return due(conf, ReportRequest(1, kind, PLACE, letter, dict.fromkeys(range(len(letter.recipients)), FAILED)))


def test_the_sender_gets_the_whole_message_back() -> None:
    (notice,) = notices()
    assert (notice.sender, notice.recipient, notice.headers_only) == ("", "sender@example.test", False)


def test_only_headers_of_a_big_message_or_on_request() -> None:
    assert notices(size=1001)[0].headers_only
    assert notices(ret="HDRS")[0].headers_only


def test_notify_never_and_notify_success_ask_for_no_failure_report() -> None:
    assert notices(recipients=[Recipient("a@b.test", notify=NOTIFY_NEVER)]) == []
    assert notices(recipients=[Recipient("a@b.test", notify=NOTIFY_SUCCESS)]) == []
    (notice,) = notices(
        recipients=[Recipient("a@b.test", notify=NOTIFY_NEVER), Recipient("c@d.test", notify=NOTIFY_FAILURE)]
    )
    assert [recipient.address for recipient, _ in notice.results] == ["c@d.test"]


def test_the_postmaster_gets_the_headers_of_every_bounce_if_wanted() -> None:
    _, copy = notices(classes="bounce, resource")
    assert (copy.sender, copy.recipient, copy.headers_only) == ("double-bounce@mail.example.test", "postmaster", True)


def test_a_bounce_that_bounces_goes_to_the_postmaster_or_nowhere() -> None:
    assert notices(sender="") == []
    (notice,) = notices(sender="", classes="2bounce")
    assert not notice.to_sender
    assert notice.sender == "double-bounce@mail.example.test"


def test_a_notice_to_the_postmaster_is_never_reported_on() -> None:
    assert notices(sender="double-bounce@mail.example.test", classes="bounce,2bounce,delay") == []


@pytest.mark.parametrize(("kind", "expected"), [(SUCCESS, 0), (DELAY, 1), (VERIFY, 1)])
def test_who_did_not_ask_hears_of_delays_but_not_of_success(kind: str, expected: int) -> None:
    assert len(notices(kind)) == expected


def test_actions() -> None:
    assert action_of(BOUNCE, Result("deferred", "4.4.1", "too old")) == "failed"
    assert action_of(DELAY, Result("deferred", "4.4.1", "later")) == "delayed"
    assert action_of(SUCCESS, Result("sent", "2.0.0", "ok", action="relayed")) == "relayed"
    assert action_of(VERIFY, Result("sent", "2.0.0", "ok"), TRACE_VERIFY) == "deliverable"
    assert action_of(VERIFY, Result("bounced", "5.1.1", "no"), TRACE_VERIFY) == "undeliverable"
    assert action_of(VERIFY, Result("sent", "2.0.0", "ok", action="delivered"), TRACE_REPORT) == "delivered"


def test_mail_with_verp_comes_back_to_a_sender_for_each_recipient() -> None:
    two = [Recipient("a@b.test"), Recipient("new@b.test", "old@b.test"), Recipient("n@b.test", notify=NOTIFY_NEVER)]
    told = notices(
        sender="list@example.test",
        verp="+=",
        recipients=two,
    )
    assert [each.recipient for each in told] == ["list+a=b.test@example.test", "list+old=b.test@example.test"]
    assert [len(each.results) for each in told] == [1, 1]


def test_a_copy_for_the_postmaster_of_each_bounce_of_verp_mail() -> None:
    told = notices(classes="bounce", sender="list@example.test", verp="+=", recipients=[Recipient("a@b.test")] * 2)
    assert [each.to_sender for each in told] == [True, False, True, False]


def test_disable_verp_bounces() -> None:
    conf = Config.for_test(disable_verp_bounces="yes", notify_classes="")
    letter = Envelope("ABC", 1.0, "list@example.test", [Recipient("a@b.test"), Recipient("c@b.test")], verp="+=")
    (notice,) = due(conf, ReportRequest(1, BOUNCE, PLACE, letter, {0: FAILED, 1: FAILED}))
    assert (notice.recipient, len(notice.results)) == ("list@example.test", 2)


def test_success_after_a_delay_that_the_sender_was_told_of() -> None:
    assert notices(SUCCESS) == []
    assert len(notices(SUCCESS, warned=True)) == 1
    assert notices(SUCCESS, warned=True, recipients=[Recipient("a@b.test", notify=NOTIFY_NEVER)]) == []


def test_an_alias_that_was_expanded_is_in_the_success_report() -> None:
    alias = Recipient("alias@b.test", notify=NOTIFY_SUCCESS)
    member = Recipient("member@b.test", "alias@b.test", NOTIFY_NEVER)
    (notice,) = notices(SUCCESS, recipients=[member], expanded=[alias])
    ((recipient, result),) = notice.results
    assert (recipient.address, action_of(SUCCESS, result)) == ("alias@b.test", "expanded")


def test_the_class_bounce_implies_2bounce() -> None:
    (notice,) = notices(sender="", classes="bounce")
    assert notice.sender == "double-bounce@mail.example.test"


def test_recipients_of_one_domain_stand_together_sorted() -> None:
    named = [Recipient(address) for address in ("z@b.test", "x@a.test", "a@b.test", "B@B.test")]
    (notice,) = notices(recipients=named)
    assert [recipient.address for recipient, _ in notice.results] == ["B@B.test", "a@b.test", "z@b.test", "x@a.test"]


def test_members_of_an_alias_are_listed_as_far_as_the_report_is_about_them() -> None:
    steps = [("x@b.test", "al@b.test", Result("sent", "2.0.0", "ok")), ("y@b.test", "al@b.test", FAILED)]
    result = Result("bounced", "5.1.1", "unknown user", steps=steps)
    letter = Envelope("ABC", 1.0, "sender@example.test", [Recipient("al@b.test")])
    for kind, expected in ((BOUNCE, ["y@b.test"]), (VERIFY, ["x@b.test", "y@b.test"])):
        (notice,) = due(Config.for_test(notify_classes=""), ReportRequest(1, kind, PLACE, letter, {0: result}))
        assert [recipient.address for recipient, _ in notice.results] == expected
        assert {recipient.original for recipient, _ in notice.results} == {"al@b.test"}
