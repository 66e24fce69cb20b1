"""A disk that is full, or that errs: answers are 4xx, exit statuses say "try again", and what got 250 arrives once.

A full disk is a small tmpfs over the queue, a disk that errs one that is mounted read-only while mail flows, or a limit
on the size of files.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
from collections import Counter
from pathlib import Path

import pytest
from tests.support import room
from tests.support.room import Dialogue, needs_room, play, run

MAIN = """
compatibility_level = 3.6
myhostname = relay.univ.es
mydestination = $myhostname
inet_protocols = ipv4
alias_maps =
alias_database =
message_size_limit = 60000
mailbox_size_limit = 0
queue_minfree = 0
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
transport_retry_time = 1s
notify_classes =
service_throttle_time = 1s
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 100000
smtpd_hard_error_limit = 100000
"""

MASTER = """
smtp      inet n - n - - smtpd
pickup    unix n - n 1 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
smtp      unix - - n - - smtp
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
local     unix - n n - - local
postlog   unix-dgram n - n - 1 postlogd
"""


class Sender:
    """Numbers its messages, and remembers which ones were acknowledged."""

    def __init__(self) -> None:
        self.accepted: list[int] = []
        self.refusals: list[str] = []
        self._next = 0
        self._client = Dialogue()
        assert self._client.reply().startswith("220 ")
        assert self._client.say("EHLO cliente.univ.es").startswith("250 ")

    def send(self, size: int) -> bool:
        """Whether it was acknowledged. `size`: bytes of text, about."""
        number = self._next
        self._next += 1
        text = b"Subject: number\r\nX-Number: %d\r\n\r\n" % number + (b"x" * 78 + b"\r\n") * (size // 80)
        answer = self._client.send("ana@univ.es", "antonio@relay.univ.es", text)
        if answer.startswith("250 "):
            self.accepted.append(number)
            return True
        self.refusals.append(answer)
        return False

    def close(self) -> None:
        self._client.close()


def arrived() -> Counter[int]:
    """Number of a message -> how often it is in the mailbox."""
    path = room.MAILBOXES / "antonio"
    text = path.read_bytes() if path.exists() else b""
    return Counter(map(int, re.findall(rb"^X-Number: (\d+)$", text, re.MULTILINE)))


def begin(main: str = "", *, size: str = "4m") -> None:
    """A mail system whose queue is a small file system of its own."""
    room.configure(MAIN + main, MASTER)
    room.QUEUE.mkdir(parents=True)
    run("/usr/bin/mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", room.QUEUE)
    run("postfix", "check")
    room.start()


def fill(leave: int = 0) -> Path:
    """Take all room but `leave` bytes; remove the file that this returns to give it back."""
    ballast = room.QUEUE / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 4096):
            pass
    os.truncate(ballast, max(0, ballast.stat().st_size - leave))
    return ballast


def all_arrive_once(sender: Sender) -> None:
    room.until(lambda: set(arrived()) >= set(sender.accepted), "what was acknowledged did not arrive", 60)
    room.until(lambda: run("mailq") == "Mail queue is empty\n", "the queue is not empty", 60)
    assert arrived() == Counter(dict.fromkeys(sender.accepted, 1))
    sender.close()  # a stop gives clients time to finish


def no_accident() -> None:
    for word in ("panic:", "Traceback", "exited with status", "killed by signal"):
        assert word not in room.log(), word


def full_queue(size: str, main: str, leave: str) -> None:
    # Mail waits in the queue, so that it is the queue that fills: delivery would make room again.
    begin(f"defer_transports = local\n{main}\n")
    sender = Sender()
    assert sender.send(int(size))
    ballast = fill(int(leave))
    for _ in range(200):
        if not sender.send(int(size)) and len(sender.refusals) > 3:
            break
    assert len(sender.refusals) > 3, f"never full: {len(sender.accepted)}"
    for refusal in sender.refusals:
        assert re.match(r"45[12] 4\.3\.[01] ", refusal), refusal
    # A local program is told the same, and nothing is left of what it tried.
    run("sendmail", "antonio", text="Subject: x\n\n" + "x\n" * 30000, status=75)
    assert not list((room.QUEUE / "maildrop").glob("*"))
    ballast.unlink()
    room.until(lambda: sender.send(int(size)), "mail does not flow again")
    run("postconf", "-e", "defer_transports=")
    run("postfix", "reload")
    run("postqueue", "-f")
    all_arrive_once(sender)
    no_accident()
    room.stop()


def full_while_delivering(size: str) -> None:
    """The queue fills up and empties again while mail is delivered; qmgr's own records cannot always be written."""
    begin()
    sender = Sender()
    for turn in range(6):
        ballast = fill(leave=turn * 8192)
        for _ in range(15):
            sender.send(int(size))
        ballast.unlink()
        room.until(lambda: sender.send(int(size)), "mail does not flow again")
        for _ in range(10):
            sender.send(int(size))
    assert sender.refusals and sender.accepted
    for refusal in sender.refusals:
        assert re.match(r"45[12] 4\.3\.[01] ", refusal), refusal
    all_arrive_once(sender)
    no_accident()
    room.stop()


def survives_a_restart_when_full() -> None:
    begin("defer_transports = local\n")
    sender = Sender()
    for _ in range(20):
        sender.send(2000)
    sender.close()
    ballast = fill()
    room.stop()
    run("postconf", "-e", "defer_transports=")
    run("postfix", "start", status=None)
    ballast.unlink(missing_ok=True)
    if "is not running" in run("postfix", "status", status=None):
        room.start()
    all_arrive_once(sender)
    room.stop()


def read_only(what: str) -> None:
    """The disk turns read-only, as Linux does with one that errs; later it is mended."""
    begin()
    sender = Sender()
    if what != "incoming":  # a journal that is open already stays writable: this is not how disks err
        assert sender.send(2000)
    folder = room.QUEUE / what
    run("/usr/bin/mount", "--bind", folder, folder)
    run("/usr/bin/mount", "-o", "remount,ro,bind", folder)
    if what == "maildrop":
        said = run("sendmail", "antonio", text="Subject: x\n\nx\n", status=75)
        assert "maildrop" in said and "Read-only file system" in said
        assert sender.send(2000)  # mail from the network needs no maildrop
    else:
        for _ in range(3):
            assert not sender.send(2000) or what == "active"
        for refusal in sender.refusals:
            assert refusal.startswith("451 4.3.0 "), refusal
    run("/usr/bin/umount", folder)
    room.until(lambda: sender.send(2000), "mail does not flow again")
    all_arrive_once(sender)
    no_accident()
    room.stop()


def mailbox_full() -> None:
    """The queue has room and the mailbox has none: mail waits."""
    begin()
    run("/usr/bin/mount", "-t", "tmpfs", "-o", "size=16k,mode=02775,gid=8", "tmpfs", room.MAILBOXES)
    sender = Sender()
    for _ in range(8):
        assert sender.send(6000)
    room.wait_for(r"dsn=4\.[23]\.\d, status=deferred \(.*(No space left on device|Disk quota)")
    assert "status=bounced" not in room.log()
    kept = set(arrived())
    assert kept < set(sender.accepted)
    run("/usr/bin/mount", "-o", "remount,size=1m", room.MAILBOXES)
    run("postqueue", "-f")
    all_arrive_once(sender)
    no_accident()
    room.stop()


def limited_files() -> None:
    """No file may grow beyond 100 kB (EFBIG instead of ENOSPC): the journal errs in the middle of a write."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    begin("defer_transports = local\nmaillog_file =\n", size="20m")
    sender = Sender()
    for _ in range(40):
        sender.send(30000)
    assert len(sender.accepted) >= 10
    for refusal in sender.refusals:
        assert re.match(r"45[12] 4\.3\.[01] ", refusal), refusal
    room.stop()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    run("postconf", "-e", "defer_transports=", f"maillog_file={room.LOG}")
    room.start()
    run("postqueue", "-f")
    all_arrive_once(sender)
    no_accident()
    room.stop()


@pytest.mark.root
@needs_room
@pytest.mark.parametrize(
    ("size", "main", "leave"),
    [
        ("3000", "", "100000"),  # refused at the commit
        ("3000", "message_size_limit = 300000", "300000"),  # refused at MAIL: 1.5 times the limit is not there
        ("50000", "estafeta_large_message = 20000", "400000"),  # each message in a file of its own
    ],
    ids=["small", "minfree", "large"],
)
def test_a_full_queue_refuses_and_loses_nothing(size: str, main: str, leave: str) -> None:
    play(full_queue, size, main, leave, timeout=150)


@pytest.mark.root
@needs_room
@pytest.mark.parametrize("size", ["1500", "40000"])
def test_a_queue_that_fills_while_mail_is_delivered(size: str) -> None:
    play(full_while_delivering, size, timeout=150)


@pytest.mark.root
@needs_room
def test_a_restart_when_full() -> None:
    play(survives_a_restart_when_full, timeout=150)


@pytest.mark.root
@needs_room
@pytest.mark.parametrize("what", ["incoming", "active", "maildrop"])
def test_a_part_of_the_queue_turns_read_only(what: str) -> None:
    play(read_only, what, timeout=150)


@pytest.mark.root
@needs_room
def test_a_full_mailbox_makes_mail_wait() -> None:
    play(mailbox_full, timeout=150)


@pytest.mark.root
@needs_room
def test_a_write_that_fails_in_the_middle() -> None:
    play(limited_files, timeout=150)
