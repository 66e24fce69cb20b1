"""What postqueue, postsuper and postcat refuse, word for word as Postfix 3.7."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from estafeta.commands import newaliases, postcat, postqueue, postsuper
from estafeta.intake.maildrop import Draft, Drop
from estafeta.mail.envelope import Envelope, Recipient

POSTQUEUE = (
    "postqueue: fatal: usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site\n"
)


@pytest.fixture(autouse=True)
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty queue that nobody serves."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/main.cf").write_text(
        f"queue_directory = {tmp_path}\nmyhostname = host.example.com\nmaillog_file = /dev/null\n"
    )
    for name in ("incoming", "active", "deferred", "hold", "private", "public", "pid"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path / "etc"))
    return tmp_path


@pytest.mark.parametrize(
    ("main", "words", "status", "said"),
    [
        (postqueue.main, [], 69, POSTQUEUE),
        (postqueue.main, ["-p", "foo"], 69, POSTQUEUE),
        (postqueue.main, ["-p", "-j"], 69, POSTQUEUE),
        (postqueue.main, ["-x"], 69, "postqueue: invalid option -- 'x'\n" + POSTQUEUE),
        (postqueue.main, ["-i", "a/b"], 69, 'postqueue: fatal: Cannot flush queue ID - invalid name: "a/b"\n'),
        (postqueue.main, ["-f"], 69, "postqueue: fatal: Cannot flush mail queue - mail system is down\n"),
        (
            postqueue.main,
            ["-i", "ABC"],
            69,
            "postqueue: warning: connect to public/flush: No such file or directory\n"
            "postqueue: fatal: Cannot flush mail queue - mail system is down\n",
        ),
        (postsuper.main, ["-d", "ALL", "nosuchq"], 1, "postsuper: fatal: invalid directory name: nosuchq\n"),
        (postsuper.main, ["-d", "all"], 0, "postsuper: Deleted: 0 messages\n"),
        (
            postsuper.main,
            ["-d", "A", "-h", "B"],
            0,
            "postsuper: Deleted: 0 messages\npostsuper: Placed on hold: 0 messages\n",
        ),
        (
            postsuper.main,
            ["-h", "no/such"],
            0,
            "postsuper: warning: invalid mail queue id: no/such\npostsuper: Placed on hold: 0 messages\n",
        ),
        (postsuper.main, [], 0, ""),
        (postcat.main, ["-q", "X"], 1, "postcat: fatal: open queue file X: No such file or directory\n"),
        (postcat.main, ["-x"], 1, "postcat: invalid option -- 'x'\npostcat: fatal: " + postcat.USAGE + "\n"),
    ],
)
def test_answers_without_a_mail_system(
    main: Callable[[list[str]], int], words: list[str], status: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == status
    assert capfd.readouterr() == ("", said)


def test_an_empty_queue_is_listed_without_a_mail_system(capfd: pytest.CaptureFixture[str]) -> None:
    assert postqueue.main(["-p"]) == 0
    out, err = capfd.readouterr()
    assert out == "Mail queue is empty\n"
    assert err.startswith("postqueue: warning: Mail system is down -- accessing queue directly (Connect to the ")


def test_ids_come_from_standard_input(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", iter(["A\n", "\n", "b/c\n"]))
    assert postsuper.main(["-d", "-"]) == 0
    assert capfd.readouterr().err == (
        "postsuper: warning: invalid mail queue id: \n"
        "postsuper: warning: invalid mail queue id: b/c\n"
        "postsuper: Deleted: 0 messages\n"
    )


def test_mail_that_pickup_has_not_taken_in_is_listed_and_can_be_deleted(
    queue: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (queue / "maildrop").mkdir()
    draft = Draft(str(queue / "maildrop"))
    draft.write(b"Subject: x\r\n\r\nhello\r\n")
    draft.commit(Drop(Envelope("", 0.0, "s@x", [Recipient("a@y")])))
    assert postqueue.main(["-j"]) == 0
    out = capfd.readouterr().out
    assert '"queue_name": "maildrop"' in out
    assert '"message_size": 18, "forced_expire": false, "sender": "s@x", "recipients": [{"address": "a@y"}]' in out
    assert postsuper.main(["-d", "ALL"]) == 0
    assert os.listdir(queue / "maildrop") != []
    assert postsuper.main(["-d", "ALL", "maildrop"]) == 0
    assert capfd.readouterr().err.endswith("postsuper: Deleted: 1 message\n")
    assert os.listdir(queue / "maildrop") == []


@pytest.mark.parametrize(("words", "verb"), [(["-p"], "view"), (["-f"], "flush")])
def test_who_is_not_on_the_list_may_not(
    words: list[str], verb: str, queue: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(queue / "etc/main.cf", "a") as file:
        file.write("authorized_mailq_users = root, alice\nauthorized_flush_users = root\n")
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    assert postqueue.main(words) == 77
    assert (
        capfd.readouterr().err == f"postqueue: fatal: User unknown(4000000) is not allowed to {verb} the mail queue\n"
    )


def test_a_command_that_goes_on_as_another_stays_as_verbose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "aliases").write_text("team: ana\n")
    (tmp_path / "main.cf").write_text(
        f"alias_database = hash:{tmp_path}/aliases\nmaillog_file = /dev/null\nmyhostname = h.example\n"
    )
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    assert newaliases.main(["-v"]) == 0
    assert f"postalias: create hash:{tmp_path}/aliases\n" in capsys.readouterr().err
    assert newaliases.main([]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("word", "beginning"), [("-p", "Queue report unavailable"), ("-f", "Cannot flush mail queue")])
def test_who_may_not_reach_the_services_is_told_who_may(
    queue: Path, word: str, beginning: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(postqueue, "fetch", refuse)
    monkeypatch.setattr(postqueue, "trigger", refuse)
    assert postqueue.main([word]) == 69
    assert (
        f"fatal: {beginning} - {queue}/public: Permission denied: only root, postfix and the group postdrop may ask"
        in (capfd.readouterr().err)
    )
