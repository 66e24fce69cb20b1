"""Every command says what it is for."""

from __future__ import annotations

import subprocess

import pytest

from estafeta.commands.estafeta import COMMANDS, main
from estafeta.commands.estafeta.completion import SHELLS
from estafeta.commands.help import HELP


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_is_answered(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {command}")


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_completion_knows_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(HELP) == set(COMMANDS)
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert " ".join(sorted(HELP)) in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script.encode(), check=True)
