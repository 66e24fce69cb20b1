"""The command that -D runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.talk.stage import logged

from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError
from estafeta.skeleton.debugger import command_for, run_debugger


def test_the_command_names_the_process_and_keeps_what_is_for_the_shell() -> None:
    conf = Config.for_test(debugger_command="gdb $daemon_directory/$process_name $process_id; echo $$HOME")
    assert command_for(conf, "smtpd", 4711) == f"gdb {conf.daemon_directory}/smtpd 4711; echo $HOME"


def test_names_may_come_by_way_of_another_parameter() -> None:
    conf = Config.for_test(debugger_command="strace -p $who", who="$process_id")
    assert command_for(conf, "qmgr", 12) == "strace -p 12"


def test_without_a_command_the_start_fails() -> None:
    with pytest.raises(ConfigError, match=r"no debugger_command variable set up: set it in /test/main.cf"):
        command_for(Config.for_test(), "smtpd", 1)


def test_the_command_is_logged_and_waited_for(tmp_path: Path) -> None:
    conf = Config.for_test(debugger_command=f"echo $process_name $process_id > {tmp_path}/seen")
    with logged() as lines:
        run_debugger(conf, "local")
    assert lines == [f"running: echo local {os.getpid()} > {tmp_path}/seen"]
    assert (tmp_path / "seen").read_text() == f"local {os.getpid()}\n"
