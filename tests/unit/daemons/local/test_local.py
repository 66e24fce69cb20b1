"""local(8): outcomes, log lines and mailbox contents that Postfix 3.7 has for the same aliases and mail.

ana and bea are users; the recipient domain is host.example.com.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.mailbox_agent import MailboxAgent

from estafeta.accounts.system import User, Users, UsersDown
from estafeta.daemons.local.service import LocalService
from estafeta.mail.envelope import NOTIFY_FAILURE, NOTIFY_NEVER, NOTIFY_SUCCESS, TRACE_VERIFY, Recipient
from estafeta.mail.outcome import Bounced, Deferred, Sent
from estafeta.services.submission import Accepted, Submission

HOST = "host.example.com"
SENDER = "sender@remote.example"

ALIASES = {
    "one": "ana",
    "two": "ana, bea",
    "ext": "other@remote.example",
    "list": "ana, bea+sub, remote@remote.example",
    "owner-list": "bea",
    "chain": "list",
    "self": r"\self",
    "ana2": r"\ana",
    "bs": r"\bea+foo",
    "bs2": r"\one",
    "loop1": "loop2",
    "loop2": "loop1",
    "l1": "l2",
    "l2": "l3",
    "l3": "l1",
    "cmd": '"|/bin/true x, y"',
    "file": "/tmp/outfile",
    "quoted": '"odd user", ana',
    "tricky": "ana, ana, ANA, ana@example.com",
    "mixed": "ana, nobody-such",
    "unk": "nosuch1, nosuch2",
    "selfref": "selfref, ana",
    "ana": "ana",
    "addr": "ana@localhost, bea@example.com",
    "plus": "ana+foo",
    "grp": "friends: ana, bea;",
    "mix3": "ana, remote@remote.example, bea, remote2@remote.example",
    "deep": "deep2",
    "deep2": "deep3",
    "deep3": "bea",
    "inc": ":include:{folder}/inc",
    "incbad": ":include:{folder}/nope",
    "increl": ":include:rel/file",
    "incopen": ":include:{folder}/open",
    "inccmd": ":include:{folder}/cmd",
    "inco": ":include:{folder}/inc",
    "owner-inco": "ana, bea",
    "incself": ":include:{folder}/self",
    "nobody": "<>",
}

Scene = Callable[["Local"], Awaitable[None]]


class Cleanup:
    """Takes new messages."""

    def __init__(self) -> None:
        self.taken: list[Submission] = []
        self.answer: Accepted | OSError | None = None

    async def submit(self, submission: Submission) -> Accepted:
        self.taken.append(submission)
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer or Accepted(0, f"NEW{len(self.taken)}")


class Local(MailboxAgent):
    cleanup: Cleanup

    async def __aenter__(self) -> Local:
        await super().__aenter__()
        self.cleanup = self.service._office.submitter = Cleanup()
        self.service._office.users = Users(ask=self._user)
        return self

    def _user(self, name: str) -> User | None:
        if name == "broken":
            raise UsersDown("cannot find user broken: Input/output error")
        if name not in ("ana", "bea", "stranger"):
            return None
        uid = 4321 if name == "stranger" else os.getuid()
        return User(name, uid, os.getgid(), "", str(self.directory / "home" / name), "/bin/sh")

    async def to(self, *names: str, **more: object) -> list[str]:
        """Deliver to names at the host; returns the log lines."""
        before = len(self.lines)
        recipients = [Recipient(f"{name}@{HOST}", name) for name in names]
        await self.deliver(*recipients, **({"sender": SENDER} | more))  # type: ignore[arg-type]
        return [line.replace(f"@{HOST}", "") for line in self.said[before:]]

    def mail(self, name: str) -> str:
        text = (self.directory / "spool" / name).read_text()
        return re.sub(r"  \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n", "  DATE\n", text)

    def new(self) -> list[tuple[str, list[str]]]:
        """Sender and recipients of new messages."""
        return [
            (each.envelope.sender, [to.address.replace(f"@{HOST}", "") for to in each.envelope.recipients])
            for each in self.cleanup.taken
        ]


def play(tmp_path: Path, scene: Scene, **settings: str) -> None:
    for name in ("spool", "home", "home/ana", "home/bea"):
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / "inc").write_text(
        '# comment\nana, deep\n\nremote@remote.example\n"odd user"\n:include:%s\n' % (tmp_path / "inc")
    )
    (tmp_path / "open").write_text("ana\n")
    (tmp_path / "open").chmod(0o666)
    (tmp_path / "cmd").write_text("ana\n|/bin/true\n/file\n")
    (tmp_path / "self").write_text(f"bea\n:include:{tmp_path}/self\n")
    aliases = tmp_path / "aliases"
    aliases.write_text("".join(f"{name}: {value.format(folder=tmp_path)}\n" for name, value in ALIASES.items()))
    defaults = {
        "compatibility_level": "3.6",
        "mydestination": f"{HOST}, example.com, localhost",
        "alias_maps": f"texthash:{aliases}",
        "recipient_delimiter": "+",
        "mail_spool_directory": str(tmp_path / "spool"),
        "local_transport": "agent",
        "deliver_lock_attempts": "1",
    }

    async def run() -> None:
        async with asyncio.timeout(20), Local(LocalService, tmp_path, **(defaults | settings)) as agent:  # type: ignore[attr-defined]
            await scene(agent)  # type: ignore[arg-type]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("ana", ["to=<ana>, orig_to=<ana>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)"]),
        ("BEA+foo", ["to=<BEA+foo>, orig_to=<BEA+foo>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)"]),
        (
            "nosuch+x",
            ['to=<nosuch+x>, orig_to=<nosuch+x>, relay=local, dsn=5.1.1, status=bounced (unknown user: "nosuch")'],
        ),
        ("one", ["to=<ana>, orig_to=<one>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)"]),
        (
            "two+x",
            [
                "to=<ana>, orig_to=<two+x>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)",
                "to=<bea>, orig_to=<two+x>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)",
            ],
        ),
        ("ext", ["to=<ext>, orig_to=<ext>, relay=local, dsn=2.0.0, status=sent (forwarded as NEW1)"]),
        ("self", ['to=<self>, orig_to=<self>, relay=local, dsn=5.1.1, status=bounced (unknown user: "self")']),
        ("bs", ["to=<bea+foo>, orig_to=<bs>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)"]),
        ("bs2", ["to=<ana>, orig_to=<bs2>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)"]),
        ("ana2", ["to=<ana>, orig_to=<ana2>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)"]),
        (
            "loop1",
            ["to=<loop2>, orig_to=<loop1>, relay=local, dsn=5.4.6, status=bounced (alias database loop for loop2)"],
        ),
        ("l1", ["to=<l2>, orig_to=<l1>, relay=local, dsn=5.4.6, status=bounced (alias database loop for l2)"]),
        (
            "quoted",
            [
                'to=<"odd user">, orig_to=<quoted>, relay=local, dsn=5.1.1, status=bounced (unknown user: "odd user")',
                "to=<ana>, orig_to=<quoted>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)",
            ],
        ),
        ("tricky", ["to=<ana>, orig_to=<tricky>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)"]),
        (
            "selfref",
            [
                'to=<selfref>, orig_to=<selfref>, relay=local, dsn=5.1.1, status=bounced (unknown user: "selfref")',
                "to=<ana>, orig_to=<selfref>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)",
            ],
        ),
        (
            "addr",
            [
                "to=<ana>, orig_to=<addr>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)",
                "to=<bea@example.com>, orig_to=<addr>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)",
            ],
        ),
        ("plus", ["to=<ana>, orig_to=<plus>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)"]),
        ("deep", ["to=<bea>, orig_to=<deep>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)"]),
        (
            "incbad",
            ["to=<incbad>, orig_to=<incbad>, relay=local, dsn=5.3.5, status=bounced (mail system configuration error)"],
        ),
        (
            "increl",
            ["to=<increl>, orig_to=<increl>, relay=local, dsn=5.3.5, status=bounced (mail system configuration error)"],
        ),
        (
            "incopen",
            [
                "to=<incopen>, orig_to=<incopen>, relay=local, dsn=5.3.5, status=bounced "
                "(mail system configuration error)"
            ],
        ),
        (
            "inccmd",
            [
                "to=<inccmd>, orig_to=<inccmd>, relay=local, dsn=5.7.1, status=bounced (mail to command is restricted)",
                "to=<inccmd>, orig_to=<inccmd>, relay=local, dsn=5.7.1, status=bounced (mail to file is restricted)",
                "to=<inccmd>, orig_to=<inccmd>, relay=local, dsn=2.0.0, status=sent (forwarded as NEW1)",
            ],
        ),
        (
            "mix3",
            [
                "to=<ana>, orig_to=<mix3>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)",
                "to=<bea>, orig_to=<mix3>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)",
                "to=<mix3>, orig_to=<mix3>, relay=local, dsn=2.0.0, status=sent (forwarded as NEW1)",
            ],
        ),
        ("postmaster", ["to=<postmaster>, orig_to=<postmaster>, relay=local, dsn=2.0.0, status=sent (discarded)"]),
        (r"\ana", ["to=<ana>, orig_to=<\\\\ana>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)"]),
        ("|foo", ['to=<|foo>, orig_to=<|foo>, relay=local, dsn=5.1.1, status=bounced (unknown user: "|foo")']),
        ("../x", ['to=<"../x">, orig_to=<"../x">, relay=local, dsn=5.1.1, status=bounced (unknown user: "../x")']),
    ],
)
def test_log_lines(tmp_path: Path, name: str, lines: list[str]) -> None:
    async def scene(agent: Local) -> None:
        assert [line.replace('"\\\\ana"', "\\\\ana") for line in await agent.to(name)] == lines

    play(tmp_path, scene)


def test_aliases_lead_to_mailboxes_with_the_address_that_was_written_to(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        await agent.to("one+Ext", sender="")
        assert agent.mail("ana") == (
            "From MAILER-DAEMON  DATE\nReturn-Path: <>\nX-Original-To: one+Ext\n"
            "Delivered-To: one+Ext@host.example.com\n"
            "Subject: x\n\nhello\n>From here\n>From there\nlast\n\n"
        )

    play(tmp_path, scene)


def test_an_alias_with_an_owner_gives_its_members_one_new_message_from_the_owner(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        assert await agent.to("list+x") == [
            "to=<list+x>, orig_to=<list+x>, relay=local, dsn=2.0.0, status=sent (forwarded as NEW1)"
        ]
        assert await agent.to("chain") == [
            "to=<chain>, orig_to=<chain>, relay=local, dsn=2.0.0, status=sent (forwarded as NEW2)"
        ]
        members = ["ana", "bea+sub", "remote@remote.example"]
        assert agent.new() == [(f"owner-list@{HOST}", members)] * 2
        first = agent.cleanup.taken[0]
        assert first.head.startswith(b"Delivered-To: list+x@host.example.com\r\nSubject: x\r\n")
        assert first.place is not None
        assert first.envelope.recipients[0] == Recipient(f"ana@{HOST}")

    play(tmp_path, scene)


def test_an_included_list_is_expanded_and_forwarded_whole(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        await agent.to("inc")
        await agent.to("inco")
        await agent.to("incself")
        members = ["ana", "bea", "remote@remote.example", "odd user"]
        assert agent.new() == [(SENDER, members), (f"owner-inco@{HOST}", members), (SENDER, ["bea"])]
        assert {each.original for each in agent.cleanup.taken[0].envelope.recipients} == {"inc"}

    play(tmp_path, scene)


def test_what_the_sender_asked_for_goes_along_except_what_is_fulfilled_by_expanding(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        for notify in (0, NOTIFY_SUCCESS, NOTIFY_SUCCESS | NOTIFY_FAILURE):
            await agent.deliver(Recipient(f"ext@{HOST}", "ext", notify), envid="ABC")
        new = [each.envelope for each in agent.cleanup.taken]
        assert [each.recipients[0].notify for each in new] == [0, NOTIFY_NEVER, NOTIFY_FAILURE]
        assert new[0].envid == "ABC"
        assert new[0].recipients[0].orcpt == f"rfc822;ext@{HOST}"

    play(tmp_path, scene)


def test_expand_owner_alias_puts_what_the_owner_alias_stands_for(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        await agent.to("list")
        assert agent.new()[0][0] == f"bea@{HOST}"

    play(tmp_path, scene, expand_owner_alias="yes")


def test_reset_owner_alias_delivers_to_members_that_are_aliases_themselves_at_once(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        lines = await agent.to("list")
        assert lines[0] == "to=<ana>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)"
        assert agent.new() == [(f"owner-list@{HOST}", ["bea+sub", "remote@remote.example"])]
        assert agent.mail("ana").startswith(
            "From owner-list@host.example.com  DATE\nReturn-Path: <owner-list@host.example.com>\n"
            "Delivered-To: list@host.example.com\n"
        )

    play(tmp_path, scene, reset_owner_alias="yes")


def test_delivered_to_follows_the_way_unless_it_is_frozen(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        await agent.to("deep")
        assert "X-Original-To: deep\nDelivered-To: bea@host.example.com\n" in agent.mail("bea")

    play(tmp_path, scene, frozen_delivered_to="no")


def test_delivered_to_is_left_out_where_it_is_not_wanted(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        await agent.to("one", "ext")
        assert "Delivered-To" not in agent.mail("ana")
        assert agent.cleanup.taken[0].head.startswith(b"Subject: x")

    play(tmp_path, scene, prepend_delivered_header="")


def test_a_message_that_was_here_before_is_a_loop(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        head = b"Subject: x\r\nDelivered-To: One@Host.example.com\r\n\r\n"
        assert await agent.to("one", head=head) == [
            "to=<one>, orig_to=<one>, relay=local, dsn=5.4.6, status=bounced (mail forwarding loop for one)"
        ]
        assert "sent" in (await agent.to("bea", head=b"Delivered-To: <bea@host.example.com>\r\n\r\n"))[0]

    play(tmp_path, scene)


def test_one_bounce_among_members_bounces_and_one_deferral_defers_the_recipient(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        (outcome,) = await agent.deliver(f"mixed@{HOST}")
        assert replace(outcome, steps=()) == Bounced("5.1.1", 'unknown user: "nobody-such"', "local")
        (outcome,) = await agent.deliver(f"unk@{HOST}")
        assert replace(outcome, steps=()) == Bounced(
            "5.1.1", 'unknown user: "nosuch1"; unknown user: "nosuch2"', "local"
        )
        assert [(step.address, step.original, step.outcome.text) for step in outcome.steps] == [
            (f"nosuch{number}@{HOST}", f"unk@{HOST}", f'unknown user: "nosuch{number}"') for number in (1, 2)
        ]
        agent.cleanup.answer = Accepted(0, "", "4.3.0", "queue file write error")
        (outcome,) = await agent.deliver(f"mix3@{HOST}")
        assert replace(outcome, steps=()) == Deferred(
            "4.3.0", "unable to forward message: queue file write error", "local"
        )
        agent.cleanup.answer = ConnectionRefusedError(111, "Connection refused")
        (outcome,) = await agent.deliver(f"ext@{HOST}")
        assert isinstance(outcome, Deferred)

    play(tmp_path, scene)


def test_an_alias_with_several_members_is_reported_as_expanded(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        (several,) = await agent.deliver(f"two@{HOST}")
        (single,) = await agent.deliver(f"one@{HOST}")
        assert several == Sent("2.0.0", "alias expanded", "local", action="expanded")
        assert single == Sent("2.0.0", "delivered to mailbox", "local", action="delivered")

    play(tmp_path, scene)


def test_an_alias_that_stands_for_nobody_puts_the_mail_off(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        (outcome,) = await agent.deliver(f"nobody@{HOST}")
        assert outcome == Deferred("4.3.0", "alias database unavailable", "local")

    play(tmp_path, scene)


def test_commands_files_and_forward_files_wait_for_their_time(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        (tmp_path / "home/ana/.forward").write_text("bea\n")
        (tmp_path / "home/bea/.forward").write_text("")
        outcomes = await agent.deliver(f"cmd@{HOST}", f"file@{HOST}", f"ana@{HOST}", f"bea@{HOST}")
        assert [type(each) for each in outcomes] == [Deferred, Deferred, Deferred, Sent]
        assert outcomes[0].text == "delivery to a command is not supported yet: /bin/true x, y"
        assert outcomes[2].text.startswith(f"{tmp_path}/home/ana/.forward: forward files are not supported yet")

    play(tmp_path, scene)


def test_a_failing_table_or_user_list_puts_the_mail_off(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        outcomes = await agent.deliver(f"broken@{HOST}")
        assert outcomes == [Deferred("4.3.0", "user lookup error", "local")]
        agent.service._office.aliases = agent.service._fallback_transports
        outcomes = await agent.deliver(f"ana@{HOST}")
        assert outcomes == [Deferred("4.3.0", "alias database unavailable", "local")]

    play(tmp_path, scene, fallback_transport_maps="fail:x")


@pytest.mark.parametrize(
    ("relay", "lines"),
    [
        ("ana", ["to=<ana>, orig_to=<nosuch+foo>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)"]),
        (
            "$user+$local@remote.example",
            ["to=<nosuch+foo>, orig_to=<nosuch+foo>, relay=local, dsn=2.0.0, status=sent (forwarded as NEW1)"],
        ),
        (
            "alsonot",
            ['to=<alsonot>, orig_to=<nosuch+foo>, relay=local, dsn=5.1.1, status=bounced (unknown user: "alsonot")'],
        ),
    ],
)
def test_luser_relay_takes_mail_for_unknown_users(tmp_path: Path, relay: str, lines: list[str]) -> None:
    async def scene(agent: Local) -> None:
        assert await agent.to("nosuch+foo") == lines
        if "@" in relay:
            assert agent.new() == [(SENDER, ["nosuch+nosuch+foo@remote.example"])]

    play(tmp_path, scene, luser_relay=relay)


def test_home_mailboxes(tmp_path: Path) -> None:
    async def maildir(agent: Local) -> None:
        assert "status=sent (delivered to maildir)" in (await agent.to("ana"))[0]
        assert len(list((tmp_path / "home/ana/Maildir/new").iterdir())) == 1

    async def mbox(agent: Local) -> None:
        assert "status=sent (delivered to mailbox)" in (await agent.to("ana"))[0]
        assert (tmp_path / "home/ana/inbox").read_text().startswith(f"From {SENDER}  ")

    async def missing(agent: Local) -> None:
        path = tmp_path / "home/bea/Mail/inbox"
        assert (await agent.to("bea"))[0].endswith(
            f"dsn=5.2.0, status=bounced (cannot update mailbox {path} for user bea. unable to create lock file "
            f"{path}.lock: No such file or directory)"
        )

    play(tmp_path, maildir, home_mailbox="Maildir/")
    play(tmp_path, mbox, home_mailbox="inbox")
    play(tmp_path, missing, home_mailbox="Mail/inbox")


def test_a_home_that_is_away_puts_the_mail_off_if_it_is_required(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        (tmp_path / "home/ana").rmdir()
        assert (await agent.to("ana"))[0].endswith(
            f"dsn=4.3.0, status=deferred (cannot access home directory {tmp_path}/home/ana: No such file or directory)"
        )

    play(tmp_path, scene, require_home_directory="yes")


def test_a_mail_spool_of_maildirs(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        assert "delivered to maildir" in (await agent.to("ana"))[0]
        assert len(list((tmp_path / "spool/ana/new").iterdir())) == 1

    play(tmp_path, scene, mail_spool_directory=f"{tmp_path}/spool/")


@pytest.mark.parametrize("end", ["", "/"])
def test_mail_waits_while_there_is_no_mail_spool_directory(tmp_path: Path, end: str) -> None:
    (tmp_path / "file").write_text("")

    async def scene(agent: Local) -> None:
        line = (await agent.to("ana"))[-1]
        assert "dsn=4.2.0, status=deferred (" in line
        assert any(
            "mail_spool_directory = " in text and "no such directory, so mail waits" in text for text in agent.warnings
        )

    play(tmp_path, scene, mail_spool_directory=f"{tmp_path}/file/none{end}")


def test_a_full_mailbox_returns_the_mail(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        path = tmp_path / "spool/ana"
        assert (await agent.to("ana", body=b"x" * 500))[0].endswith(
            f"dsn=5.2.2, status=bounced (cannot update mailbox {path} for user ana. "
            "error writing message: File too large)"
        )
        assert path.read_bytes() == b""

    play(tmp_path, scene, mailbox_size_limit="500", message_size_limit="500")


@pytest.mark.parametrize("message_size_limit", ["501", "0"])
def test_mail_waits_while_a_mailbox_may_hold_less_than_a_message(tmp_path: Path, message_size_limit: str) -> None:
    async def scene(agent: Local) -> None:
        assert (await agent.to("ana"))[0].endswith("dsn=4.3.5, status=deferred (mail system configuration error)")

    play(tmp_path, scene, mailbox_size_limit="500", message_size_limit=message_size_limit)


def test_verification_delivers_nothing(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        assert "status=deliverable (delivers to mailbox)" in (await agent.to("ana", trace=TRACE_VERIFY))[0]
        assert 'status=undeliverable (unknown user: "no")' in (await agent.to("no", trace=TRACE_VERIFY))[0]
        assert not (tmp_path / "spool/ana").exists()
        await agent.to("ext", trace=TRACE_VERIFY)
        assert not agent.cleanup.taken

    play(tmp_path, scene)


def test_what_nobody_foresaw_puts_one_recipient_off_and_not_the_others(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        def lookup(name: str) -> User | None:
            if name == "bea":
                raise RuntimeError("oops")
            return agent._user(name)

        agent.service._office.users = Users(ask=lookup)
        outcomes = await agent.deliver(f"bea@{HOST}", f"ana@{HOST}")
        assert [type(each) for each in outcomes] == [Deferred, Sent]

    play(tmp_path, scene)


def test_the_extension_of_an_address_goes_along_where_that_is_wanted(tmp_path: Path) -> None:
    async def scene(agent: Local) -> None:
        assert (await agent.to("deep+Ext"))[0].startswith("to=<bea+Ext>, orig_to=<deep+Ext>, ")
        await agent.to("ext+x")
        assert agent.new() == [(SENDER, ["other+x@remote.example"])]

    play(tmp_path, scene, propagate_unmatched_extensions="alias")
