"""postconf answers as the recorded one did."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from estafeta.commands.postconf import main

_spec = importlib.util.spec_from_file_location("postconf_cases", Path(__file__).parent / "cases.py")
assert _spec and _spec.loader
cases = importlib.util.module_from_spec(_spec)
sys.modules["postconf_cases"] = cases
_spec.loader.exec_module(cases)

RUNS = [
    pytest.param(case, run, id=f"{case.path.stem}:{run.command}")
    for case in map(cases.read, sorted(cases.FOLDER.glob("*.case")))
    for run in case.runs
]


@pytest.mark.parametrize(("case", "run"), RUNS)
def test_recorded_answer(case, run, tmp_path, monkeypatch, capsys):
    case.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAIL_CONFIG", raising=False)
    status = main(run.words)
    out, err = capsys.readouterr()
    assert out == run.expected("stdout")
    _same_messages(run.expected("stderr"), cases.tidy_stderr(err, "postconf"))
    assert status == run.status
    for name, before in case.files.items():
        after = (tmp_path / "conf" / name).read_bytes().decode("utf-8", "surrogateescape")
        assert after == (run.expected(f"after {name}") or before)


def _same_messages(expected: str, said: str) -> None:
    ours = said.splitlines()
    theirs = expected.splitlines()
    unexplained = [line for line in ours if not any(line.startswith(one) for one in theirs)]
    missing = [line for line in theirs if not any(one.startswith(line) for one in ours)]
    assert (missing, unexplained) == ([], [])
