"""What `estafeta up` tells its user to type."""

from __future__ import annotations

import pytest

from estafeta.commands.estafeta.up import commands_folder


def test_commands_are_named_so_that_a_shell_finds_them(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for called, said in (
        (".venv/bin/estafeta", f"{tmp_path}/.venv/bin/"),
        ("/usr/bin/estafeta", ""),
        ("/opt/x/estafeta", "/opt/x/"),
        ("/x/__main__.py", ""),
    ):
        monkeypatch.setattr("sys.argv", [called, "up"])
        assert commands_folder() == said
