"""Several instances on one machine: postmulti makes, starts, stops and removes them; postfix goes through it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.room import configure, needs_room, play, run

MASTER = """\
qmgr unix n - n 300 1 qmgr
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
rewrite unix - - n - - trivial-rewrite
discard unix - - n - - discard
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
"""
MAIN = """\
compatibility_level = 3.6
myhostname = mail.example.test
default_transport = discard:
"""
LISTED = "{:<15} {:<15} {:<9} {}\n"


def two_instances() -> None:
    configure(MAIN, MASTER)
    run("postfix", "set-permissions")
    primary = LISTED.format("-", "-", "y", "/etc/postfix")
    assert run("postmulti", "-l") == primary
    assert "run 'postmulti -e init' first" in run("postmulti", "-e", "create", "-I", "postfix-out", status=1)
    run("postmulti", "-e", "init")
    assert "must begin with postfix-" in run("postmulti", "-e", "create", "-I", "out", status=1)
    run("postmulti", "-e", "create", "-I", "postfix-out", "-G", "mta")
    assert "already in use" in run("postmulti", "-e", "create", "-I", "postfix-out", status=1)
    second = LISTED.format("postfix-out", "mta", "n", "/etc/postfix-out")
    assert run("postmulti", "-l") == primary + second
    assert run("postmulti", "-lR") == second + primary
    assert run("postmulti", "-l", "-g", "mta") == run("postmulti", "-l", "-i", "/etc/postfix-out") == second
    assert run("postmulti", "-l", "-i", "-") == primary
    shown = run("postmulti", "-i", "postfix-out", "-x", "/bin/sh", "-c", "echo $queue_directory $multi_instance_group")
    assert shown == "/var/spool/postfix-out mta\n"

    run("postfix", "start")
    run("postfix", "-c", "/etc/postfix-out", "status", status=1)
    run("postmulti", "-e", "enable", "-i", "postfix-out")
    run("postmulti", "-i", "postfix-out", "-p", "start")
    for directory in ("/etc/postfix", "/etc/postfix-out"):
        run("postfix", "-c", directory, "status")
    assert "is enabled" in run("postmulti", "-e", "destroy", "-i", "postfix-out", status=1)
    run("postmulti", "-e", "disable", "-i", "postfix-out")
    assert "is running" in run("postmulti", "-e", "destroy", "-i", "postfix-out", status=1)
    run("postmulti", "-e", "enable", "-i", "postfix-out")
    run("postfix", "stop")
    for directory in ("/etc/postfix", "/etc/postfix-out"):
        run("postfix", "-c", directory, "status", status=1)
    run("postmulti", "-e", "disable", "-i", "postfix-out")
    run("postmulti", "-e", "assign", "-i", "postfix-out", "-I", "postfix-new", "-G", "-")
    assert run("postmulti", "-l", "-i", "postfix-new") == LISTED.format("postfix-new", "-", "n", "/etc/postfix-out")
    strange = Path("/var/spool/postfix-out/deferred/A1B2C3")
    strange.write_text("a message of another system")
    assert "holds messages" in run("postmulti", "-e", "destroy", "-i", "postfix-new", status=1)
    strange.unlink()
    run("postmulti", "-e", "destroy", "-i", "postfix-new")
    for place in ("/etc/postfix-out", "/var/spool/postfix-out", "/var/lib/postfix-out"):
        assert not Path(place).exists(), place
    assert run("postmulti", "-l") == primary


@pytest.mark.root
@needs_room
def test_two_instances() -> None:
    play(two_instances)
