"""The directories of a queue, and what is wrong with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from estafeta.commands.postfix import check, layout
from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError


def conf_of(folder: Path) -> Config:
    conf = Config.for_test(
        queue_directory=str(folder / "queue"),
        data_directory=str(folder / "data"),
        mail_owner="daemon",
        setgid_group="daemon",
    )
    (folder / "etc").mkdir(exist_ok=True)
    conf.config_directory = str(folder / "etc")
    return conf


def test_missing_directories_are_made_with_their_modes(tmp_path: Path) -> None:
    conf = conf_of(tmp_path)
    made = layout.make_missing(conf)
    queue = tmp_path / "queue"
    modes = {path.name: path.stat().st_mode & 0o1777 for path in queue.iterdir()}
    assert modes.pop("maildrop") == 0o1733
    assert modes.pop("public") == 0o710
    assert modes.pop("pid") == 0o755
    assert set(modes) >= {"incoming", "active", "deferred", "hold", "corrupt", "private"}
    assert set(modes.values()) == {0o700}
    assert tmp_path / "data" in made
    assert layout.make_missing(conf) == []
    assert list(check.wrong_rights(conf)) == []


def test_a_directory_that_others_may_write_is_named(tmp_path: Path) -> None:
    conf = conf_of(tmp_path)
    layout.make_missing(conf)
    (tmp_path / "queue/deferred").chmod(0o777)
    (tmp_path / "etc/main.cf").write_text("")
    (tmp_path / "etc/main.cf").chmod(0o666)
    assert list(check.wrong_rights(conf)) == [
        f"group or other writable: {tmp_path}/queue/deferred: run 'postfix set-permissions'",
        f"group or other writable: {tmp_path}/etc/main.cf: chmod go-w {tmp_path}/etc/main.cf",
    ]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_wrong_owners_are_named(tmp_path: Path) -> None:
    conf = conf_of(tmp_path)
    layout.make_missing(conf)
    (tmp_path / "queue/deferred/ABC").write_text("")
    os.chown(tmp_path / "queue/public", 0, 0)
    found = list(check.wrong_rights(conf))
    assert f"not owned by daemon: {tmp_path}/queue/deferred/ABC: run 'postfix set-permissions'" in found
    assert f"not owned by daemon: {tmp_path}/queue/public: run 'postfix set-permissions'" in found
    assert f"not owned by group daemon: {tmp_path}/queue/public: run 'postfix set-permissions'" in found
    os.chown(tmp_path / "queue/active", 0, 0)
    with pytest.raises(ConfigError, match=r"queue/active is not owned by daemon: run 'postfix set-permissions'"):
        check.fatal_rights(conf)


def test_a_log_file_needs_the_postlog_service(tmp_path: Path) -> None:
    conf = Config.for_test(maillog_file="/var/log/mail.log")
    with pytest.raises(ConfigError, match=r"missing 'postlog' service.*add 'postlog unix-dgram n - n - 1 postlogd'"):
        check.check_log(conf, [])


def test_a_log_that_goes_nowhere_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert "nothing is logged" in next(check.unheard(Config.for_test(), str(path)))
    assert list(check.unheard(Config.for_test(maillog_file="/var/log/mail.log"), str(path))) == []
    path.write_text("")
    assert list(check.unheard(Config.for_test(), str(path))) == []


def test_mail_that_postfix_has_left_is_told(tmp_path: Path) -> None:
    conf = conf_of(tmp_path)
    layout.make_missing(conf)
    assert list(check.mail_of_postfix(conf)) == []
    (tmp_path / "queue/deferred/7").mkdir()
    for name in ("74958250470", "77339250473"):
        (tmp_path / "queue/deferred/7" / name).write_bytes(b"CO" + b" " * 40)
        (tmp_path / "queue/deferred/7" / name).chmod(0o700)
    assert list(check.mail_of_postfix(conf)) == [
        f"{tmp_path}/queue/deferred: 2 messages of Postfix, left alone and not shown by mailq: to have them delivered, "
        "stop this mail system and start Postfix"
    ]
