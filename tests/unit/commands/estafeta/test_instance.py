"""What `estafeta up` writes is complete, readable by ourselves, and written once."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from estafeta.commands.estafeta import COMMANDS, OWN, completion, instance, main, up
from estafeta.commands.postfix import check
from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that service accounts can reach, which pytest's own is not."""
    made = Path(tempfile.mkdtemp(prefix="ef-up-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def test_a_new_instance_passes_the_check(folder: Path) -> None:
    assert instance.make(folder, 2525, "example.test")
    conf = check.check_configuration(str(folder / "etc"))
    assert conf.virtual_mailbox_domains == ("example.test",)
    assert conf.warnings == ()
    assert up.smtp_port(folder / "etc", conf) == 2525
    assert list(check.wrong_rights(conf)) == []


def test_a_second_start_changes_nothing(folder: Path) -> None:
    instance.make(folder, 2525, "example.test")
    with (folder / "etc/main.cf").open("a") as file:
        file.write("# mine\n")
    assert not instance.make(folder, 2600, "other.test")
    assert (folder / "etc/main.cf").read_text().endswith("# mine\n")


def test_the_port_can_be_changed(folder: Path) -> None:
    instance.make(folder, 2525, "example.test")
    up.change_port(folder / "etc", 2600)
    assert up.smtp_port(folder / "etc", Config.load(str(folder / "etc"))) == 2600


def test_the_port_of_postscreen_can_be_changed_and_other_ports_stay(folder: Path) -> None:
    instance.make(folder, 2525, "example.test")
    path = folder / "etc" / "master.cf"
    text = path.read_text().replace("-       smtpd\n", "1       postscreen\n127.0.0.1:2465 inet n - n - - smtpd\n", 1)
    path.write_text(text)
    up.change_port(folder / "etc", 2600)
    assert "127.0.0.1:2600 " in path.read_text() and "127.0.0.1:2465 " in path.read_text()
    assert up.smtp_port(folder / "etc", Config.load(str(folder / "etc"))) == 2600


@pytest.mark.parametrize("domain", ["", "a b", "x\nmail_owner = root", "-x"])
def test_what_is_no_domain(folder: Path, domain: str) -> None:
    with pytest.raises(ConfigError, match="is no domain"):
        instance.make(folder, 2525, domain)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_root_the_folder_must_be_within_reach_of_services(folder: Path) -> None:
    assert instance.out_of_reach(folder / "inner") is None
    folder.chmod(0o700)
    assert instance.out_of_reach(folder / "inner") == folder


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in (*COMMANDS, *OWN))
    assert main(["nonsense"]) == 64


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("estafeta u", "up"),
        ("postfix rel", "reload"),
        ("estafeta postfix stat", "status"),
        ("estafeta completion z", "zsh"),
        ("estafeta auth t", "test"),
        ("postfix up", "upgrade-configuration"),
    ],
)
def test_bash_completes(words: str, expected: str) -> None:
    script = completion.script("bash", [*COMMANDS, *OWN])
    typed = words.split()
    asked = f'COMP_WORDS=({words}); COMP_CWORD={len(typed) - 1}; _estafeta; echo "${{COMPREPLY[*]}}"'
    done = subprocess.run(["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.split() == [expected]
