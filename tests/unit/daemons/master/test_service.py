"""A running service, as far as it can be looked at without processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.talk.stage import logged

from estafeta.daemons.master.plan import make_plan
from estafeta.daemons.master.service import RunningService
from estafeta.daemons.master.sockets import Sockets
from estafeta.daemons.master.worker import Worker
from estafeta.skeleton.process import CROWDED

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
