"""virtual(8). Texts, status codes and mailbox contents are those that Postfix 3.7 writes for the same mail."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.mailbox_agent import MailboxAgent

from estafeta.daemons.virtual import VirtualService
from estafeta.mail.envelope import TRACE_VERIFY, Recipient
from estafeta.mail.outcome import Bounced, Deferred, Sent

Scene = Callable[[MailboxAgent], Awaitable[None]]
MAPS = "inline:{ { a@v.example = dom/a/ } { b@v.example = b.mbox } { up@v.example = ../out/ } { @w.example = catch/ } }"


def play(tmp_path: Path, scene: Scene, **settings: str) -> None:
    base = tmp_path / "v"
    base.mkdir(exist_ok=True)
    defaults = {
        "virtual_mailbox_base": str(base),
        "virtual_mailbox_maps": MAPS,
        "virtual_uid_maps": f"static:{os.getuid()}",
        "virtual_gid_maps": f"static:{os.getgid()}",
        "virtual_minimum_uid": "1",
        "recipient_delimiter": "+",
        "deliver_lock_attempts": "1",
    }
    if os.getuid() == 0:
        os.chown(base, 65534, 65534)
        tmp_path.chmod(0o755)
        for folder in tmp_path.parents:
            if folder != Path("/") and folder.owner() == "root" and folder != Path("/tmp"):
                folder.chmod(0o755)
        defaults |= {"virtual_uid_maps": "static:65534", "virtual_gid_maps": "static:65534"}

    async def run() -> None:
        async with asyncio.timeout(20), MailboxAgent(VirtualService, tmp_path, **(defaults | settings)) as agent:
            await scene(agent)

    asyncio.run(run())


def test_a_maildir_is_made_on_first_delivery_and_the_message_is_as_postfix_writes_it(tmp_path: Path) -> None:
    async def scene(agent: MailboxAgent) -> None:
        outcomes = await agent.deliver(Recipient("a@v.example", "orig@v.example"))
        assert outcomes == [Sent("2.0.0", "delivered to maildir", "virtual", action="delivered")]
        folder = tmp_path / "v/dom/a"
        assert sorted(each.name for each in folder.iterdir()) == ["cur", "new", "tmp"]
        assert [each.stat().st_mode & 0o777 for each in (folder, folder.parent, folder / "new")] == [0o700] * 3
        (file,) = (folder / "new").iterdir()
        assert re.fullmatch(r"\d{10}\.V[0-9a-f]+I[0-9a-f]+M\d{1,6}\..+", file.name)
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_bytes() == (
            b"Return-Path: <sender@example.com>\nX-Original-To: orig@v.example\nDelivered-To: a@v.example\n"
            b"Subject: x\n\nhello\nFrom here\n>From there\nlast\n"
        )
        assert not list((folder / "tmp").iterdir())
        assert agent.said == [
            "to=<a@v.example>, orig_to=<orig@v.example>, relay=virtual, dsn=2.0.0, status=sent (delivered to maildir)"
        ]

    play(tmp_path, scene)


def test_an_mbox_gets_a_from_line_quoted_from_lines_and_an_empty_line(tmp_path: Path) -> None:
    async def scene(agent: MailboxAgent) -> None:
        await agent.deliver("b@v.example", sender="odd one@example.com")
        await agent.deliver("b@v.example", sender="", head=b"Subject: y\r\n", body=b"")
        text = (tmp_path / "v/b.mbox").read_bytes()
        text = re.sub(rb"  \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n", b"  DATE\n", text)
        assert text == (
            b'From "odd one"@example.com  DATE\nReturn-Path: <"odd one"@example.com>\n'
            b"X-Original-To: b@v.example\nDelivered-To: b@v.example\n"
            b"Subject: x\n\nhello\n>From here\n>From there\nlast\n\n"
            b"From MAILER-DAEMON  DATE\nReturn-Path: <>\nX-Original-To: b@v.example\nDelivered-To: b@v.example\n"
            b"Subject: y\n\n"
        )
        assert agent.said[0].endswith("status=sent (delivered to mailbox)")
        assert not (tmp_path / "v/b.mbox.lock").exists()

    play(tmp_path, scene)


def test_an_unknown_user_bounces(tmp_path: Path) -> None:
    async def scene(agent: MailboxAgent) -> None:
        (outcome,) = await agent.deliver("who@v.example")
        assert outcome == Bounced("5.1.1", 'unknown user: "who@v.example"', "virtual")

    play(tmp_path, scene)


def test_extension_and_domain_are_looked_up_in_turn_and_letter_case_is_left_out(tmp_path: Path) -> None:
    async def scene(agent: MailboxAgent) -> None:
        outcomes = await agent.deliver("A+ext@v.example", "any+x@w.example", "a b@w.example")
        assert [type(each) for each in outcomes] == [Sent] * 3
        assert len(list((tmp_path / "v/catch/new").iterdir())) == 2
        (file,) = (tmp_path / "v/dom/a/new").iterdir()
        assert b"Delivered-To: A+ext@v.example\n" in file.read_bytes()

    play(tmp_path, scene)


def test_an_earlier_delivered_to_line_is_no_loop_here(tmp_path: Path) -> None:
    async def scene(agent: MailboxAgent) -> None:
        (outcome,) = await agent.deliver("a@v.example", head=b"Delivered-To: a@v.example\r\n\r\n")
        assert isinstance(outcome, Sent)

    play(tmp_path, scene)


def test_owners_that_are_missing_or_too_powerful_put_the_mail_off(tmp_path: Path) -> None:
    async def scene(agent: MailboxAgent) -> None:
        outcomes = await agent.deliver("a@v.example", "b@v.example", "x@w.example")
        assert outcomes == [Deferred("4.3.5", "mail system configuration error", "virtual")] * 3
        assert sorted(agent.warnings) == [
            "recipient a@v.example: bad uid 5 in virtual_uid_maps",
            "recipient b@v.example: bad uid abc in virtual_uid_maps",
            "recipient x@w.example: not found in virtual_uid_maps",
        ]

    maps = "inline:{ { a@v.example = 5 } { b@v.example = abc } }"
    play(tmp_path, scene, virtual_uid_maps=maps, virtual_minimum_uid="100")


def test_no_path_leads_out_of_the_base(tmp_path: Path) -> None:
    async def scene(agent: MailboxAgent) -> None:
        (outcome,) = await agent.deliver("up@v.example")
        assert isinstance(outcome, Deferred)
        assert "leads out of virtual_mailbox_base" in agent.warnings[0]
        assert not (tmp_path / "out").exists()

    play(tmp_path, scene)


def test_a_table_that_cannot_answer_puts_the_mail_off(tmp_path: Path) -> None:
    async def scene(agent: MailboxAgent) -> None:
        (outcome,) = await agent.deliver("a@v.example")
        assert isinstance(outcome, Deferred)
        assert outcome.dsn.startswith("4.3.")

    play(tmp_path, scene, virtual_mailbox_maps="fail:x")


def test_a_mailbox_that_may_not_grow_returns_the_mail_and_stays_as_it_was(tmp_path: Path) -> None:
    async def scene(agent: MailboxAgent) -> None:
        await agent.deliver("b@v.example")
        mbox = tmp_path / "v/b.mbox"
        before = mbox.read_bytes()
        outcomes: Any = await agent.deliver("b@v.example", "a@v.example", body=b"x" * 60 + b"\r\n" + b"y" * 60)
        problem = "error writing message: File too large"
        words = "input/output error"  # what Postfix puts as Diagnostic-Code
        said = f"delivery failed to mailbox {mbox}: {problem}"
        assert outcomes[0] == Bounced("5.2.2", said, "virtual", diagnostic=words)
        assert isinstance(outcomes[1], Sent)
        assert mbox.read_bytes() == before
        (outcome,) = await agent.deliver("a@v.example", body=b"x" * 300)
        said = f"maildir delivery failed: {problem}"
        assert outcome == Bounced("5.2.2", said, "virtual", diagnostic=words)
        assert not list((tmp_path / "v/dom/a/tmp").iterdir())

    play(tmp_path, scene, virtual_mailbox_limit="300", message_size_limit="300")


@pytest.mark.parametrize("message_size_limit", ["301", "0"])
def test_mail_waits_while_a_mailbox_may_hold_less_than_a_message(tmp_path: Path, message_size_limit: str) -> None:
    async def scene(agent: MailboxAgent) -> None:
        assert await agent.deliver(Recipient("b@v.example", "b@v.example")) == [
            Deferred("4.3.5", "mail system configuration error", "virtual")
        ]

    play(tmp_path, scene, virtual_mailbox_limit="300", message_size_limit=message_size_limit)


def test_verification_delivers_nothing(tmp_path: Path) -> None:
    async def scene(agent: MailboxAgent) -> None:
        (outcome,) = await agent.deliver("a@v.example", trace=TRACE_VERIFY)
        assert isinstance(outcome, Sent)
        assert not list((tmp_path / "v").iterdir())

    play(tmp_path, scene)


def test_a_large_message_is_copied_in_pieces(tmp_path: Path) -> None:
    async def scene(agent: MailboxAgent) -> None:
        body = b"".join(b"From line %d\r\n" % number for number in range(20000))
        outcomes = await agent.deliver("a@v.example", "b@v.example", body=body)
        assert [type(each) for each in outcomes] == [Sent] * 2
        (file,) = (tmp_path / "v/dom/a/new").iterdir()
        assert file.read_bytes().endswith(b"\n\n" + body.replace(b"\r\n", b"\n"))
        quoted = body.replace(b"\r\n", b"\n").replace(b"From ", b">From ")
        assert (tmp_path / "v/b.mbox").read_bytes().endswith(b"\n\n" + quoted + b"\n")

    play(tmp_path, scene, estafeta_large_message="1000")


def test_what_nobody_foresaw_puts_one_recipient_off_and_not_the_others(tmp_path: Path) -> None:
    async def scene(agent: MailboxAgent) -> None:
        async def broken(*_: Any) -> None:
            raise RuntimeError("oops")

        agent.service._mboxes.put = broken
        outcomes = await agent.deliver("b@v.example", "a@v.example")
        assert [type(each) for each in outcomes] == [Deferred, Sent]
        assert agent.warnings == ["3F2A81: delivery to b@v.example failed: RuntimeError('oops')"]

    play(tmp_path, scene)
