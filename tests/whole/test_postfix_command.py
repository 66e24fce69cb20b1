"""postfix(1) and postlog(1): a mail system started and stopped the way an administrator does it."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.site import Site

MASTER = """
qmgr unix n - n 300 1 qmgr
pickup unix n - n 60 1 pickup
rewrite unix - - n - - trivial-rewrite
postlog unix-dgram n - n - 1 postlogd
"""
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Configured, not started."""
    made = Site(tmp_path, master=MASTER)
    yield made
    made.command("postfix", "stop")
    made.__exit__(None, None, None)


def postfix(site: Site, *words: str) -> tuple[int, str]:
    done = site.command("postfix", *words)
    assert done.stdout == b""
    return done.returncode, done.stderr.decode()


def test_start_status_reload_stop(site: Site) -> None:
    assert postfix(site, "status") == (1, "")
    site.wait_for(r"postfix/postfix-script\[\d+\]: the Postfix mail system is not running$")
    assert postfix(site, "start") == (0, "")
    site.wait_for(r"postfix/postfix-script\[\d+\]: starting the Postfix mail system$")
    site.wait_for(rf"postfix/master\[(\d+)\]: daemon started -- version \S+, configuration {site.config}$")
    assert postfix(site, "status") == (0, "")
    pid = site.wait_for(r"postfix-script\[\d+\]: the Postfix mail system is running: PID: (\d+)$")[1]
    assert (site.queue / "pid/master.pid").read_text().split() == [pid]
    assert postfix(site, "start") == (1, "postfix/postfix-script: fatal: the Postfix mail system is already running\n")
    assert postfix(site, "reload") == (0, "")
    site.wait_for(r"postfix-script\[\d+\]: refreshing the Postfix mail system$")
    site.wait_for(r"master\[\d+\]: reload -- version")
    assert postfix(site, "stop") == (0, "")
    site.wait_for(r"postfix-script\[\d+\]: stopping the Postfix mail system$")
    site.wait_for(r"master\[\d+\]: terminating on signal 15$")
    for command in ("stop", "abort", "reload"):
        assert postfix(site, command) == (1, "postfix/postfix-script: fatal: the Postfix mail system is not running\n")


def test_abort(site: Site) -> None:
    postfix(site, "start")
    assert postfix(site, "abort") == (0, "")
    site.wait_for(r"postfix-script\[\d+\]: aborting the Postfix mail system$")
    assert postfix(site, "status")[0] == 1


def test_start_makes_a_missing_queue(site: Site) -> None:
    (site.queue / "deferred").rmdir()
    (site.queue / "pid").rmdir()
    assert postfix(site, "start") == (0, "")
    assert (site.queue / "deferred").is_dir()
    site.wait_for(r"created missing directories: .*/queue/deferred")


def test_reload_tells_of_mistyped_names(site: Site) -> None:
    postfix(site, "start")
    with (site.config / "main.cf").open("a") as file:
        file.write("mynetwork = 192.0.2.0/24\n")
    status, text = postfix(site, "reload")
    assert status == 0
    assert "unused parameter: mynetwork=192.0.2.0/24: did you mean mynetworks?" in text
    assert postfix(site, "stop") == (0, "")


def test_reload_refuses_a_bad_configuration(site: Site) -> None:
    postfix(site, "start")
    with (site.config / "main.cf").open("a") as file:
        file.write("maximal_queue_lifetime = x\n")
    status, text = postfix(site, "reload")
    assert status == 1
    assert "main.cf, line" in text and "keeps its old configuration" in text
    assert "reload --" not in site.log
    assert postfix(site, "status") == (0, "")
    assert postfix(site, "stop") == (0, "")


@pytest.mark.parametrize(
    ("main", "master", "message"),
    [
        ("smtpd_timeout = x\n", MASTER, "main.cf, line"),
        ("", "smtp inet y\n", "master.cf, line 1"),
        ("", "rewrite unix - - n - - trivial-rewrite\n", "missing 'postlog' service"),
        ("maillog_file_prefixes = /nowhere\n", MASTER, "does not match any of maillog_file_prefixes"),
    ],
)
def test_what_cannot_work_does_not_start(site: Site, main: str, master: str, message: str) -> None:
    with (site.config / "main.cf").open("a") as file:
        file.write(main)
    (site.config / "master.cf").write_text(master)
    status, text = postfix(site, "start")
    assert status == 1
    assert message in text
    assert postfix(site, "status")[0] == 1


def test_check_warns_and_passes(site: Site) -> None:
    (site.config / "main.cf").chmod(0o666)
    (site.queue / "corrupt" / "ABC").write_text("")
    status, text = postfix(site, "check")
    assert status == 0
    assert "warning: group or other writable: " in text
    assert "warning: damaged message: " in text


def test_wrong_command_lines(site: Site) -> None:
    status, text = postfix(site, "bogus")
    assert status == 1
    assert "fatal: unknown command: 'bogus'. Usage: postfix start (or stop, reload, abort, " in text
    assert postfix(site)[0] == 1
    status, text = postfix(site, "-x")
    assert (status, text.splitlines()[0]) == (1, "postfix: invalid option -- 'x'")
    status, text = postfix(site, "-c", "/no/such/place", "start")
    assert status == 1
    assert "/no/such/place/main.cf: No such file or directory" in text


@pytest.mark.root
@ROOT
def test_missing_accounts_stop_the_start_with_a_remedy(site: Site) -> None:
    with (site.config / "main.cf").open("a") as file:
        file.write("setgid_group = no-such-group\n")
    status, text = postfix(site, "start")
    assert status == 1
    assert "unknown group 'no-such-group': make it, as in 'groupadd" in text


@pytest.mark.root
@ROOT
def test_set_permissions_mends_what_check_finds(site: Site) -> None:
    os.chown(site.queue / "active", 0, 0)
    status, text = postfix(site, "check")
    assert status == 1
    assert "run 'postfix set-permissions'" in text
    assert postfix(site, "set-permissions") == (0, "")
    assert postfix(site, "check") == (0, "")


def test_logrotate(site: Site) -> None:
    postfix(site, "start")
    site.wait_for("daemon started")
    assert postfix(site, "logrotate") == (0, "")
    finished = list(site.folder.glob("mail.log.*.gz"))
    assert len(finished) == 1
    assert b"daemon started" in gzip.decompress(finished[0].read_bytes())
    assert "daemon started" not in site.log
    site.wait_until(lambda: site.log_file.exists())
    postfix(site, "stop")
    site.wait_for("terminating on signal 15")


def test_start_fg_stays_and_logs_to_the_terminal(tmp_path: Path) -> None:
    main = {"maillog_file": "/dev/stdout", "maillog_file_prefixes": "/dev/stdout"}
    site = Site(tmp_path, main, MASTER)
    started = [sys.executable, "-m", "estafeta.commands.postfix", "start-fg"]
    with subprocess.Popen(started, env=site.environment, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert b"daemon started" in next(line for line in running.stdout if b"daemon started" in line)
        assert site.command("postlog", "to the", "terminal").returncode in (0, 1)
        running.terminate()
        rest = running.stdout.read()
        assert b"terminating on signal 15" in rest
        assert running.wait(20) == 0
    site.__exit__(None, None, None)


# --- postlog


def test_postlog_writes_through_the_service(site: Site) -> None:
    postfix(site, "start")
    assert site.command("postlog", "hello", "there").returncode == 0
    site.wait_for(r"^\w{3} [ \d]\d \d\d:\d\d:\d\d mail postfix/postlog\[\d+\]: hello there$")
    assert site.command("postlog", "-p", "warn", "-t", "my/script", stdin=b"one\ntwo\n").returncode == 0
    site.wait_for(r" mail my/script\[\d+\]: warning: one\n.* mail my/script\[\d+\]: warning: two$")
    postfix(site, "stop")


def test_postlog_refuses_an_unknown_severity(site: Site) -> None:
    done = site.command("postlog", "-p", "loud", "x")
    assert done.returncode == 1
    assert b'postlog: fatal: bad severity: "loud"' in done.stderr
