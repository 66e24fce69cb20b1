"""check_*_{a,mx,ns}_access and permit_mx_backup, with names that a stranger may choose."""

from __future__ import annotations

import asyncio

import pytest
from tests.talk.dialogue import BASE
from tests.talk.stage import Names, Stage, logged

from estafeta.daemons.smtpd.restrictions.evaluate import PERMIT, Check, Refusal, judge, run_list
from estafeta.net.dns import Mx

TABLE = "inline:{ {10.2.2.2=REJECT address} {ns.spam.example=REJECT name} {10.9=DUNNO} }"


def names() -> Names:
    known = Names()
    known.a = {"mx.example": ["10.2.2.2"], "ns.spam.example": ["10.3.3.3"], "good.example": ["10.8.8.8"]}
    known.a["own.example"] = ["10.2.2.2"]
    known.a["dull.example"] = ["10.9.9.9"]
    known.mxs = {
        "spam.example": [Mx(10, "good.example"), Mx(20, "mx.example")],
        "dull.test": [Mx(10, "dull.example"), Mx(20, "mx.example")],
        "lost.example": [Mx(10, "nowhere.example"), Mx(20, "mx.example")],
        "null.example": [Mx(0, "")],
    }
    known.nss = {"spam.example": ["ns.spam.example"]}
    known.down = {"down.example"}
    return known


def judged(restriction: str, sender: str, known: Names) -> tuple[str, list[str]]:
    async def main() -> Refusal | None:
        stage = Stage(BASE | {"smtpd_sender_restrictions": restriction}, names=known)
        check = Check(stage.session, "RCPT", sender, "user@example.com")
        return await judge(check, stage.policy.sender, sender, "Sender address")

    with logged() as lines:
        return str(asyncio.run(main()) or ""), lines


@pytest.mark.parametrize(
    "kind, sender, reply",
    [
        ("mx", "x@spam.example", "address"),
        ("mx", "x@lost.example", "address"),
        ("mx", "x@own.example", "address"),  # no MX: the domain is its own server
        ("mx", "x@dull.test", ""),  # the first server that the table knows decides
        ("mx", "x@null.example", ""),
        ("mx", "x@down.example", ""),
        ("mx", "", ""),
        ("mx", "x@[10.2.2.2]", "address"),
        ("a", "x@own.example", "address"),
        ("a", "x@spam.example", ""),
        ("ns", "x@spam.example", "name"),
        ("ns", "x@deep.down.below.spam.example", "name"),
        ("ns", "x@own.example", ""),
        ("ns", "x@[10.2.2.2]", ""),
    ],
)
def test_the_servers_of_a_domain(kind: str, sender: str, reply: str) -> None:
    said, _ = judged(f"check_sender_{kind}_access {TABLE}", sender, names())
    assert said == (f"554 5.7.1 <{sender}>: Sender address rejected: {reply}" if reply else "")


def test_servers_that_cannot_be_found_are_told() -> None:
    _, lines = judged(f"check_sender_mx_access {TABLE}", "x@down.example", names())
    assert lines == ["warning: Unable to look up MX host for down.example: Host not found, try again"]


def test_ok_is_not_for_servers() -> None:
    said, lines = judged("check_sender_mx_access static:OK", "x@spam.example", names())
    assert said == "451 4.3.5 Server configuration error"
    assert lines[0] == "warning: restriction check_sender_mx_access returns OK for x@spam.example"


def test_many_servers_are_asked_for_ten_at_a_time() -> None:
    known = Names()
    known.mxs = {"many.example": [Mx(10, f"mx{number}.example") for number in range(25)]}
    known.a = {"mx11.example": ["10.2.2.2"]}
    said, _ = judged(f"check_sender_mx_access {TABLE}", "x@many.example", known)
    assert "address" in said
    assert len(known.expected) == 2 * 20, "both kinds of addresses, of the first twenty"


@pytest.mark.parametrize(
    "domain, permitted, later",
    [
        ("backup.test", True, False),
        ("first.test", False, False),
        ("elsewhere.test", False, False),
        ("down.test", False, True),
        ("nomx.test", False, False),
    ],
)
def test_permit_mx_backup(domain: str, permitted: bool, later: bool) -> None:
    known = Names()
    known.mxs = {
        "backup.test": [Mx(10, "primary.test"), Mx(20, "mx.example.com")],
        "first.test": [Mx(10, "mx.example.com"), Mx(20, "primary.test")],
        "elsewhere.test": [Mx(10, "far.test"), Mx(20, "mx.example.com")],
    }
    known.a = {"primary.test": ["10.5.5.5"], "far.test": ["10.6.6.6"], "mx.example.com": ["192.0.2.1"]}
    known.down = {"down.test"}

    async def main() -> None:
        settings = {"smtpd_recipient_restrictions": "permit_mx_backup", "permit_mx_backup_networks": "10.5.0.0/16"}
        stage = Stage(BASE | settings, names=known)
        check = Check(stage.session, "RCPT", "a@b.example", f"x@{domain}")
        assert (await run_list(check, stage.policy.recipient) is PERMIT) == permitted
        assert (check.defer_if_reject is not None) == later

    asyncio.run(main())
