"""Two masters never share a queue, and each writes its number as Postfix does."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError
from estafeta.daemons.master import locks


def conf_of(folder: Path) -> Config:
    (folder / "pid").mkdir()
    return Config.for_test(queue_directory=str(folder), data_directory=str(folder), mail_owner="daemon")


def test_the_pid_file_has_the_form_of_postfix(tmp_path: Path) -> None:
    held = locks.take(conf_of(tmp_path))
    try:
        assert (tmp_path / "pid/master.pid").read_text() == f"{os.getpid():>32}\n"
        assert (tmp_path / "master.lock").read_text() == f"{os.getpid():>32}\n"
        assert (tmp_path / "pid/master.pid").stat().st_mode & 0o777 == 0o600
    finally:
        for descriptor in held:
            os.close(descriptor)


def test_a_held_lock_is_seen_and_refused(tmp_path: Path) -> None:
    conf = conf_of(tmp_path)
    assert locks.running_master(conf) == 0
    held = locks.take(conf)
    try:
        assert locks.running_master(conf) == os.getpid()
        message = rf"master\.pid: unable to set exclusive lock: it is held by process {os.getpid()};"
        with pytest.raises(ConfigError, match=message):
            locks.take(conf)
    finally:
        for descriptor in held:
            os.close(descriptor)
    assert locks.running_master(conf) == 0


def test_a_stale_pid_file_means_nothing(tmp_path: Path) -> None:
    conf = conf_of(tmp_path)
    (tmp_path / "pid/master.pid").write_text("                               1\n")
    assert locks.running_master(conf) == 0
    for descriptor in locks.take(conf):
        os.close(descriptor)
    assert re.search(rf"^ +{os.getpid()}$", (tmp_path / "pid/master.pid").read_text())


def test_a_missing_directory_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    conf = Config.for_test(queue_directory=str(tmp_path / "none"), data_directory=str(tmp_path))
    with pytest.raises(ConfigError, match=r"no such directory: run 'postfix check' to make it"):
        locks.take(conf)
