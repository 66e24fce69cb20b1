"""`estafeta passwd` and `estafeta auth test`."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from estafeta.accounts.hashes import Stored, verify
from estafeta.commands.estafeta import auth, main, passwd


class Typed:
    """Standard input that is no terminal."""

    def __init__(self, text: str) -> None:
        self.buffer = io.BytesIO(text.encode())

    def isatty(self) -> bool:
        return False


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch):
    return lambda text: monkeypatch.setattr("sys.stdin", Typed(text))


def test_a_password_is_set_and_changed_and_removed(tmp_path: Path, say) -> None:
    path = tmp_path / "users"
    path.write_text("# comment\neva:{PLAIN}x:1000:1000\n")
    path.chmod(0o640)
    say("uno\n")
    assert main(["passwd", str(path), "ana"]) == 0
    say("dos\n")
    assert main(["passwd", "--scheme", "ssha512", str(path), "eva"]) == 0
    lines = path.read_text().splitlines()
    assert lines[0] == "# comment"
    assert lines[1].startswith("eva:{SSHA512}") and lines[1].endswith(":1000:1000")
    user, _, stored = lines[2].partition(":")
    assert user == "ana" and verify(Stored.parse(stored), "uno")
    assert path.stat().st_mode & 0o777 == 0o640
    assert main(["passwd", "--delete", str(path), "ana"]) == 0
    assert main(["passwd", "--delete", str(path), "ana"]) == 1
    assert "ana" not in path.read_text()
    assert os.listdir(tmp_path) == ["users"]


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path, say) -> None:
    say("uno\n")
    assert passwd.main([str(tmp_path / "users"), "ana"]) == 0
    assert (tmp_path / "users").stat().st_mode & 0o777 == 0o600


def test_what_the_file_cannot_hold_changes_nothing(tmp_path: Path, say, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "users"
    path.write_text("eva:{PLAIN}x\n")
    for words, text, status in (
        (["--scheme", "plain", str(path), "ana"], "a:b\n", 1),
        ([str(path), "ana"], "\n", 1),
        ([str(path), "a:b"], "uno\n", 64),
        ([str(path), "#ana"], "uno\n", 64),
        ([str(tmp_path / "no" / "users"), "ana"], "uno\n", 1),
    ):
        say(text)
        assert passwd.main(words) == status
    assert path.read_text() == "eva:{PLAIN}x\n"
    assert "a:b\n" not in capsys.readouterr().err.replace("'a:b'", "")


def test_a_login_is_tried(tmp_path: Path, say, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "main.cf").write_text(
        f"smtpd_sasl_type = estafeta\nestafeta_auth_failure_delay = 0\nqueue_directory = {tmp_path}\n"
    )
    (tmp_path / "users").write_text("ana:{PLAIN}uno\n")
    for words, text, status, said in (
        (["ana"], "uno\n", auth.LET_IN, "let in, as ana"),
        (["ana"], "dos\n", auth.REFUSED, "refused: authentication failure"),
        (
            ["-o", f"smtpd_sasl_path=passwd-file:{tmp_path}/none", "ana"],
            "uno\n",
            auth.LATER,
            "; make it: estafeta passwd",
        ),
        (["-o", "smtpd_sasl_path=sql:/none", "ana"], "uno\n", auth.BAD_CONFIGURATION, "open /none: No such file"),
        (["-o", "smtpd_sasl_path=nonsense", "ana"], "uno\n", auth.BAD_CONFIGURATION, "nonsense: write one of"),
    ):
        say(text)
        assert main(["auth", "test", "-c", str(tmp_path), *words]) == status
        printed = capsys.readouterr()
        assert said in printed.out + printed.err


def test_the_configuration_is_that_of_the_environment_where_none_is_named(
    tmp_path: Path, say, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "main.cf").write_text("smtpd_sasl_type = estafeta\nestafeta_auth_failure_delay = 0\n")
    (tmp_path / "users").write_text("ana:{PLAIN}uno\n")
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    say("uno\n")
    assert main(["auth", "test", "ana"]) == auth.LET_IN
