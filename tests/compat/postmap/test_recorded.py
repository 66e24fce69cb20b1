"""Our postmap, postalias and newaliases against what the real ones answered (recorded.json)."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.compat.postmap.cases import CASES, File, Run
from tests.compat.postmap.record import MAIN_CF, RECORDED

from estafeta.commands import newaliases, postalias, postmap

COMMANDS = {"postmap": postmap.main, "postalias": postalias.main, "newaliases": newaliases.main}
ANSWERS: dict[str, list[dict[str, Any]]] = json.loads(RECORDED.read_text())


def normal(text: str) -> list[str]:
    text = re.sub(r"(YP_LAST_MODIFIED:?\t)\d+", r"\1TIME", text)
    text = re.sub(r"(YP_MASTER_NAME:?\t).+", r"\1HOST", text)
    return text.splitlines()


def ask(step: Run, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    stdin, stdout, stderr = (io.TextIOWrapper(io.BytesIO(data)) for data in (step.stdin, b"", b""))
    monkeypatch.setattr("sys.stdin", stdin)
    monkeypatch.setattr("sys.stdout", stdout)
    monkeypatch.setattr("sys.stderr", stderr)
    status = COMMANDS[step.words[0]](step.words[1:])
    texts = []
    for stream in (stdout, stderr):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode("utf-8", "backslashreplace"))  # type: ignore[attr-defined]
    return {"words": step.words, "status": status, "stdout": texts[0], "stderr": texts[1]}


@pytest.mark.parametrize("name", CASES)
def test_as_recorded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    (tmp_path / "main.cf").write_text(MAIN_CF.replace("FOLDER", str(tmp_path)))
    (tmp_path / "master.cf").write_text("")
    expected = iter(ANSWERS[name])
    for step in CASES[name]:
        if isinstance(step, File):
            (tmp_path / step.name).write_bytes(step.content)
            continue
        wanted = next(expected)
        assert wanted["words"] == step.words, "cases.py and recorded.json differ: record anew"
        got = ask(step, monkeypatch)
        assert normal(got["stdout"]) == normal(wanted["stdout"]), step.words
        # A table that Postfix opens twice warns twice; once is enough.
        said = normal(got["stderr"].replace(str(tmp_path), "FOLDER"))
        assert set(said) == set(normal(wanted["stderr"])), step.words
        assert got["status"] == wanted["status"], step.words
    assert next(expected, None) is None
