"""DNS lists in restrictions: what is asked when, and what counts."""

from __future__ import annotations

import asyncio

import pytest
from tests.talk.dialogue import BASE
from tests.talk.stage import Names, Stage, logged

from estafeta.daemons.smtpd.restrictions.enhanced import fitting
from estafeta.daemons.smtpd.restrictions.evaluate import Check, Refusal, judge


def judged(names: Names, restrictions: str, **settings: str) -> tuple[Refusal | None, list[str]]:
    """What smtpd_client_restrictions says of 198.51.100.7 at the end, and what was logged."""

    async def main() -> Refusal | None:
        stage = Stage(
            BASE | {"smtpd_client_restrictions": restrictions} | settings, ("mx.example", "198.51.100.7"), names
        )
        check = Check(stage.session, "RCPT", "a@b.example", "user@example.com")
        return await judge(check, stage.policy.client, "mx.example[198.51.100.7]", "Client host")

    with logged() as lines:
        return asyncio.run(main()), lines


def test_all_lists_of_a_list_are_asked_when_the_first_is_reached() -> None:
    names = Names()
    restrictions = (
        "reject_rbl_client a.bl, check_client_access static:DUNNO, permit_dnswl_client b.wl, reject_rhsbl_helo c.bl"
    )
    refusal, _ = judged(names, restrictions)
    assert refusal is None
    # Of the client nobody knows a HELO name yet, so that list is not asked.
    assert names.expected == ["7.100.51.198.b.wl"]
    assert names.asked == ["7.100.51.198.a.bl", "7.100.51.198.b.wl"]


def test_an_answer_at_hand_asks_nobody_else() -> None:
    names = Names()
    names.asked = ["7.100.51.198.a.bl"]
    names.a = {"7.100.51.198.a.bl": ["127.0.0.2"]}
    refusal, _ = judged(names, "reject_rbl_client a.bl, reject_rbl_client b.bl")
    assert refusal is not None and refusal.code == 554
    assert names.expected == []


def test_the_first_in_the_list_decides() -> None:
    names = Names()
    names.a = {"7.100.51.198.a.bl": ["127.0.0.2"], "7.100.51.198.b.bl": ["127.0.0.2"]}
    refusal, _ = judged(names, "reject_rbl_client b.bl, reject_rbl_client a.bl")
    assert str(refusal) == "554 5.7.1 Service unavailable; Client host [198.51.100.7] blocked using b.bl"


@pytest.mark.parametrize("restriction", ["reject_rbl_client", "permit_dnswl_client"])
def test_an_error_code_is_no_listing(restriction: str) -> None:
    names = Names()
    names.a = {"7.100.51.198.zen.example": ["127.255.255.254"]}
    refusal, lines = judged(names, f"{restriction} zen.example, reject")
    assert refusal is not None and "Access denied" in refusal.text
    assert any("error code 127.255.255.254" in line for line in lines)


def test_an_error_code_that_a_filter_asks_for_is_a_listing() -> None:
    names = Names()
    names.a = {"7.100.51.198.zen.example": ["127.255.255.254"]}
    refusal, lines = judged(names, "reject_rbl_client zen.example=127.255.255.[252..255]")
    assert refusal is not None and "zen.example" in refusal.text
    assert not lines


def test_trouble_is_told_once_and_rejects_nobody() -> None:
    names = Names()
    names.down = {"7.100.51.198.a.bl"}
    refusal, lines = judged(names, "reject_rbl_client a.bl, reject_rbl_client a.bl=127.0.0.2")
    assert refusal is None
    assert len([line for line in lines if "RBL lookup error" in line]) == 1


def test_a_filter_that_is_none_is_a_mistake_that_must_not_be_passed_over() -> None:
    refusal, lines = judged(Names(), "reject_rbl_client a.bl=127.0.0.[9..2]")
    assert refusal is not None and refusal.code == 451
    assert "runs backwards" in lines[0]


def test_characters_that_may_not_stand_in_replies_are_underscores() -> None:
    names = Names()
    names.a = {"7.100.51.198.a.bl": ["127.0.0.2"]}
    refusal, _ = judged(names, "reject_rbl_client a.bl", smtpd_expansion_filter="abcdefghijklmnopqrstuvwxyz0123456789")
    assert str(refusal) == "554 5.7.1 Service unavailable; _lient_host [198_51_100_7] blocked using a_bl"


@pytest.mark.parametrize(
    "dsn, kind, fit",
    [
        ("5.1.1", "Sender address", "5.1.7"),
        ("4.1.8", "Recipient address", "4.1.2"),
        ("5.1.10", "Recipient address", "5.1.0"),
        ("5.1.1", "Client host", "5.0.0"),
        ("5.7.1", "Helo command", "5.7.1"),
    ],
)
def test_an_enhanced_code_fits_what_it_is_about(dsn: str, kind: str, fit: str) -> None:
    with logged() as lines:
        assert fitting(dsn, kind) == fit
    assert lines == ([] if dsn == fit else [f"mapping DSN status {dsn} into {kind} status {fit}"])


@pytest.mark.parametrize("text", ["reject_rbl_client bad..name", "reject_rbl_client"])
def test_a_list_that_is_none_is_told_and_lists_nobody(text: str) -> None:
    refusal, lines = judged(Names(), text)
    assert refusal is None
    assert len(lines) == 1
