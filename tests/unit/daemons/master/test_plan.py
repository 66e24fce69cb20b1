"""What is to run, by what the configuration says."""

from __future__ import annotations

from pathlib import Path

import pytest

from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError
from estafeta.config.master_cf import ServiceEntry
from estafeta.daemons.index import AGENTS, LATER, PROGRAMS, RESIDENT, SINGLE
from estafeta.daemons.master.plan import is_disabled, is_served, make_plan, target_of, worker_count


def entry(name: str = "smtp", kind: str = "inet", program: str = "smtpd", maxproc: int = 100) -> ServiceEntry:
    return ServiceEntry(name, kind, False, True, False, 0, True, maxproc, program)


def written(folder: Path, main: str, master: str) -> str:
    (folder / "main.cf").write_text(main)
    (folder / "master.cf").write_text(master)
    return str(folder)


@pytest.mark.parametrize(
    ("patterns", "disabled"),
    [
        (("inet",), True),
        (("smtp/inet",), True),
        (("smtp/unix", "unix"), False),
        (("!smtp/inet", "inet"), False),
        ((), False),
    ],
)
def test_master_service_disable(patterns: tuple[str, ...], disabled: bool) -> None:
    assert is_disabled(entry(), patterns) is disabled


def test_no_more_processes_than_clients() -> None:
    conf = Config.for_test(estafeta_worker_processes="4")
    assert worker_count(entry(maxproc=100), conf) == 4
    assert worker_count(entry(maxproc=0), conf) == 4
    assert worker_count(entry(maxproc=2), conf) == 2
    assert worker_count(entry("qmgr", "unix", "qmgr", maxproc=50), conf) == 1


def test_programs_that_run_nothing_have_sockets_and_no_target() -> None:
    assert is_served(entry(program="trivial-rewrite"))
    assert target_of("trivial-rewrite") is None


def test_an_agent_to_come_puts_mail_off_and_a_server_to_come_has_no_socket() -> None:
    for program in LATER:
        assert is_served(entry(program=program)) is (program in AGENTS)


def test_an_unknown_program_has_no_socket() -> None:
    assert not is_served(entry(program="sendmale"))


def test_the_special_programs_are_programs() -> None:
    assert set(PROGRAMS) | set(LATER) >= AGENTS | SINGLE | RESIDENT


def test_a_plan_has_the_settings_of_each_entry(tmp_path: Path) -> None:
    directory = written(
        tmp_path,
        "compatibility_level = 3.6\nmyhostname = a.example\n",
        "25 inet n - n - - smtpd -o myhostname=b.example\n26 inet n - n - - smtpd\n",
    )
    plan = make_plan(directory)
    assert [plan.conf_of(one).myhostname for one in plan.entries] == ["b.example", "a.example"]


@pytest.mark.parametrize(
    ("main", "master", "message"),
    [
        ("maximal_queue_lifetime = x\n", "25 inet n - n - - smtpd\n", r"main\.cf, line 2: maximal_queue_lifetime"),
        ("", "25 inet n - n\n", r"master\.cf, line 1"),
        ("", "\n25 inet n - n - - smtpd -o max_idle=x\n", r"master\.cf, line 2: .*max_idle"),
        ("", "# nothing\n", r"master\.cf: no services"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused_as_a_whole(
    tmp_path: Path, main: str, master: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(written(tmp_path, "compatibility_level = 3.6\n" + main, master))


def test_stress_of_a_public_service_is_not_for_main_cf_to_say(tmp_path: Path) -> None:
    main = "myhostname = a.example\ninet_interfaces = 192.0.2.1\nstress = yes\nmaillog_file = /dev/stdout\n"
    master = (
        "25 inet n - n - - smtpd\n"
        "26 inet n - n - - smtpd -o stress=yes\n"
        "127.0.0.1:27 inet n - n - - smtpd\n"
        "28 inet n - n - 1 smtpd\n"
    )
    plan = make_plan(written(tmp_path, main, master))
    assert [plan.conf_of(entry).stress for entry in plan.entries] == ["", "yes", "yes", "yes"]
    assert [plan.conf_of(entry).smtpd_hard_error_limit for entry in plan.entries] == [20, 1, 1, 1]
