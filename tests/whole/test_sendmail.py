"""From sendmail(1) to the mailbox, through maildrop, pickup, spool and queue manager."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.site import Site

LETTER = b"To: ann\nSubject: hello\n\nHello.\n.\nnot part of it\n"


def sendmail(site: Site, *words: str, stdin: bytes = LETTER) -> subprocess.CompletedProcess[bytes]:
    return site.command("sendmail", *words, stdin=stdin)


def accepted(site: Site, *words: str, stdin: bytes = LETTER) -> None:
    done = sendmail(site, *words, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_letter_from_here(tmp_path: Path) -> None:
    with Site(tmp_path, {"myorigin": "example.test"}) as site:
        accepted(site, "-F", "Bob B.", "-f", "bob", "ann", stdin=LETTER)
        (mail,) = site.wait_for_mail("ann@example.test")
        text = mail.decode()
        uid = os.getuid()
        assert re.search(
            rf"^Received: by mail\.example\.test \(Estafeta, from userid {uid}\)\n"
            r"\tid [0-9A-F]+; \w{3}, .+\n"
            r"To: ann@example\.test\nSubject: hello\n"
            r"Message-Id: <\d{14}\.[0-9A-F]+@mail\.example\.test>\nDate: .+\n"
            r'From: "Bob B\." <bob@example\.test>\n\nHello\.\n\Z',
            text,
            re.MULTILINE,
        ), text
        assert "X-Original-To: ann\n" in text
        queue_id = site.wait_for(rf"pickup\[\d+\]: ([0-9A-F]+): uid={uid} from=<bob>$")[1]
        site.wait_for(rf"cleanup\[\d+\]: {queue_id}: message-id=<\d{{14}}\.{queue_id}@mail\.example\.test>$")
        site.wait_for(rf"qmgr\[\d+\]: {queue_id}: from=<bob@example\.test>, size=\d+, nrcpt=1 \(queue active\)$")
        site.wait_until(lambda: not os.listdir(site.queue / "maildrop"))


def test_mail_waits_while_the_system_is_down(tmp_path: Path) -> None:
    site = Site(tmp_path)
    accepted(site, "ann@example.test")
    assert len(os.listdir(site.queue / "maildrop")) == 1
    with site:
        site.wait_for_mail("ann@example.test")
        site.wait_until(lambda: not os.listdir(site.queue / "maildrop"))


def test_recipients_from_the_header(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        accepted(site, "-t", stdin=b"To: Ann <ann@example.test>\nBcc: cat@example.test\n\nHello.\n")
        (mail,) = site.wait_for_mail("cat@example.test")
        assert b"Bcc" not in mail
        site.wait_for_mail("ann@example.test")


def test_a_letter_that_goes_in_circles_is_returned(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        accepted(site, "-f", "bob@example.test", "ann@example.test", stdin=b"Received: a\n" * 51 + b"\nHello.\n")
        (report,) = site.wait_for_mail("bob@example.test")
        assert b"too many hops" in report
        assert site.mail("ann@example.test") == []


def test_a_foreign_file_is_left_alone(tmp_path: Path) -> None:
    site = Site(tmp_path)
    foreign = site.queue / "maildrop" / "202368.7151"
    foreign.write_bytes(b"CN another program's queue file\n" * 4)
    foreign.chmod(0o744)
    with site:
        accepted(site, "ann@example.test")
        site.wait_for_mail("ann@example.test")
        site.wait_for(r"warning: maildrop/202368\.7151: unknown file format.*left alone")
        assert foreign.exists()


def test_too_big(tmp_path: Path) -> None:
    site = Site(tmp_path, {"message_size_limit": "20000"})
    done = sendmail(site, "ann@example.test", stdin=b"x" * 30000)
    assert done.returncode == 75
    assert b"message file too big" in done.stderr
    assert os.listdir(site.queue / "maildrop") == []


def test_no_recipients(tmp_path: Path) -> None:
    site = Site(tmp_path)
    done = sendmail(site)
    assert done.returncode == 75
    assert b"Recipient addresses must be specified on the command line or via the -t option" in done.stderr
    done = sendmail(site, "-t", stdin=b"Subject: x\n\nTo: ann@example.test\n")
    assert done.returncode == 75
    assert b"No recipient addresses found in message header" in done.stderr


def test_submission_may_be_limited_to_some(tmp_path: Path) -> None:
    name = pwd.getpwuid(os.getuid()).pw_name
    site = Site(tmp_path, {"authorized_submit_users": f"!{name}, static:anyone"})
    done = sendmail(site, "ann@example.test")
    assert done.returncode == 75
    assert f"User {name}({os.getuid()}) is not allowed to submit mail".encode() in done.stderr


def test_virtual_alias_that_is_broken_keeps_the_letter(tmp_path: Path) -> None:
    with Site(tmp_path, {"virtual_alias_maps": "fail:broken"}) as site:
        accepted(site, "ann@example.test")
        site.wait_for(r"the message stays and is tried again")
        assert len(os.listdir(site.queue / "maildrop")) == 1


def as_nobody(site: Site, *words: str) -> subprocess.CompletedProcess[bytes]:
    """The identity changes after the imports, as nobody may be unable to read the program where tests run."""
    account = pwd.getpwnam("nobody")
    program = (
        "import os, sys; from estafeta.commands.sendmail import main; "
        f"os.setgroups([]); os.setgid({account.pw_gid}); os.setuid({account.pw_uid}); sys.exit(main())"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        env=site.environment,
        input=LETTER,
        capture_output=True,
        timeout=30,
        check=False,
    )


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_an_ordinary_user_where_the_maildrop_is_open(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        done = as_nobody(site, "ann@example.test")
        assert done.returncode == 75
        assert b"chmod 1733" in done.stderr
        (site.queue / "maildrop").chmod(0o1733)
        done = as_nobody(site, "ann@example.test")
        assert (done.returncode, done.stderr) == (0, b"")
        (mail,) = site.wait_for_mail("ann@example.test")
        assert f"from userid {pwd.getpwnam('nobody').pw_uid})".encode() in mail
        site.wait_until(lambda: not os.listdir(site.queue / "maildrop"))


def test_smtp_on_standard_input(tmp_path: Path) -> None:
    talk = (
        b"EHLO x\r\nMAIL FROM:<bob@example.test>\r\nRCPT TO:<ann@example.test>\r\nRCPT TO:<no such>\r\n"
        b"DATA\r\nSubject: hello\r\n\r\nHello.\r\n.\r\nQUIT\r\n"
    )
    site = Site(tmp_path)
    done = site.command("sendmail", "-bs", stdin=talk)
    assert (done.returncode, done.stderr) == (0, b"")
    replies = done.stdout.decode().splitlines()
    assert replies[0] == "220 mail.example.test ESMTP Estafeta"
    assert replies[-6:-4] == ["250 2.1.0 Ok", "250 2.1.5 Ok"]
    assert replies[-4].startswith("501 5.1.3 ")
    assert replies[-3].startswith("354 ")
    assert replies[-2].startswith("250 2.0.0 Ok: queued as ")
    assert replies[-1] == "221 2.0.0 Bye"
    with site:
        (mail,) = site.wait_for_mail("ann@example.test")
        assert re.search(
            rb"^Received: by mail\.example\.test \(Estafeta, from userid \d+\)\n\tid .+\n"
            rb"Received: from x \(localhost \[127\.0\.0\.1\]\)\n\tby mail\.example\.test",
            mail,
            re.MULTILINE,
        ), mail


def test_smtp_on_standard_input_ends_with_the_input(tmp_path: Path) -> None:
    site = Site(tmp_path)
    done = site.command("sendmail", "-bs", stdin=b"EHLO x\r\nRCPT TO:<c@d>\r\n")
    assert done.returncode == 0
    assert done.stdout.endswith(b"503 5.5.1 Error: need MAIL command\r\n")
    assert os.listdir(site.queue / "maildrop") == []


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a folder of another owner")
def test_a_drop_file_that_cannot_be_removed_is_taken_in_once(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.wait_for(r"daemon started")
        # As after a careless chown: pickup may read what is there, and not remove it.
        os.chown(site.queue / "maildrop", 0, -1)
        (site.queue / "maildrop").chmod(0o1777)
        for name in ("first", "second", "third"):
            done = sendmail(site, f"{name}@example.test", stdin=b"Subject: x\n\nx\n")
            assert done.returncode == 0
            site.wait_for_mail(f"{name}@example.test")
        assert re.search(r"warning: remove maildrop/\w+: Operation not permitted: .*set-permissions", site.log)
        os.chown(site.queue / "maildrop", pwd.getpwnam(site.owner).pw_uid, -1)
        sendmail(site, "last@example.test", stdin=b"Subject: x\n\nx\n")
        site.wait_for_mail("last@example.test")
        site.wait_until(lambda: not list((site.queue / "maildrop").iterdir()), what="files are left")
        assert [len(site.mail(f"{name}@example.test")) for name in ("first", "second", "third")] == [1, 1, 1]
