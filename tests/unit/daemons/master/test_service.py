"""A running service, as far as it can be looked at without processes."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import NoReturn

import pytest
from tests.talk.stage import logged

from estafeta.daemons.master.plan import make_plan
from estafeta.daemons.master.service import RunningService
from estafeta.daemons.master.sockets import Sockets
from estafeta.daemons.master.worker import Worker
from estafeta.skeleton.log_targets import Target
from estafeta.skeleton.process import CROWDED, Launch

MAIN = "myhostname = a.example\ninet_interfaces = {}\nmaillog_file = /dev/stdout\n"


def service(folder: Path, line: str, interfaces: str = "192.0.2.1") -> RunningService:
    (folder / "main.cf").write_text(MAIN.format(interfaces))
    (folder / "master.cf").write_text(line)
    plan = make_plan(str(folder))
    return RunningService(plan.entries[0], Sockets(()), plan)


def worker() -> Worker:
    return Worker(1, 0, 0, None, "smtpd")  # type: ignore[arg-type]


def test_a_crowd_is_warned_of_once_in_a_while(tmp_path: Path) -> None:
    crowded = service(tmp_path, "smtp inet n - n - 30 smtpd\n")
    with logged() as lines:
        crowded.heard(worker(), CROWDED)
        crowded.heard(worker(), CROWDED)
    assert lines == [
        'warning: service "smtp" (25) has reached its process limit "30": new clients may experience noticeable delays',
        "warning: to avoid this condition, increase the process count in master.cf or reduce the service time per "
        "client",
        "warning: see http://www.postfix.org/STRESS_README.html for examples of stress-adapting configuration settings",
    ]


@pytest.mark.parametrize(
    ("line", "interfaces", "public"),
    [
        ("smtp inet n - n - 30 smtpd\n", "192.0.2.1", True),
        ("smtp inet n - n - 30 smtpd\n", "127.0.0.1", False),
        ("smtp inet n - n - 1 smtpd\n", "192.0.2.1", False),
        ("smtp unix n - n - 30 smtpd\n", "192.0.2.1", False),
    ],
)
def test_only_public_services_are_crowded(tmp_path: Path, line: str, interfaces: str, public: bool) -> None:
    assert service(tmp_path, line, interfaces).public is public


class Nowhere(Target):
    """A log that nobody reads."""


def refuse(launch: Launch) -> NoReturn:
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def test_a_process_that_the_system_refuses_is_tried_again_before_the_service_is_throttled(tmp_path: Path) -> None:
    running = service(tmp_path, "smtp inet n - n - 30 smtpd -o fork_attempts=3 -o fork_delay=7\n")
    running.fork = refuse
    pauses = []
    with logged() as lines:
        for _ in range(4):
            assert running.start(0, Nowhere()) is None
            assert running.throttled
            assert list(running.wanted()) == []
            pauses.append(running.pause)
            running.throttled = False
    assert lines == ["warning: fork: Resource temporarily unavailable -- throttling"]
    # After the third the count begins anew.
    assert pauses == [7, 7, 60, 7]


def test_one_process_that_is_granted_forgives_the_refusals_before_it(tmp_path: Path) -> None:
    running = service(tmp_path, "smtp inet n - n - 30 smtpd -o fork_attempts=2\n")
    running.fork = refuse
    assert running.start(0, Nowhere()) is None
    ours, theirs = socket.socketpair()
    running.fork = lambda launch: (1, ours)
    assert running.start(0, Nowhere()) is not None
    running.fork = refuse
    with logged() as lines:
        assert running.start(0, Nowhere()) is None
    assert lines == []
    assert running.pause == 1
    ours.close()
    theirs.close()
