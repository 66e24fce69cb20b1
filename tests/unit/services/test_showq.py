"""The list of the queue: what cannot be read is left out, and hides nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from estafeta.base import log
from estafeta.mail import envelope as envelopes
from estafeta.mail.envelope import Envelope, Recipient
from estafeta.queue import record
from estafeta.services.showq import listing

NOBODY = 65534


def test_a_file_of_another_owner_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("incoming", "active", "deferred/A", "hold", "maildrop"):
        Path(folder).mkdir(parents=True)
    for name in ("A1", "A2", "A3"):
        packed = envelopes.encode(Envelope(name, 1.0, "s@x", [Recipient("r@x")]))
        Path("deferred/A", name).write_bytes(b"".join(record.pack(record.MESSAGE, b"S: x\r\n", [b""], packed)))
        Path("deferred/A", name).chmod(0o644)
    Path("deferred/A/A2").chmod(0)
    lines: list[str] = []
    before = log.install(lambda level, text, program=None: lines.append(text))
    as_root = os.geteuid() == 0
    try:
        if as_root:
            os.chown(".", NOBODY, -1)
            os.seteuid(NOBODY)
        assert sorted(each.queue_id for each in listing()) == ["A1", "A3"]
    finally:
        if as_root:
            os.seteuid(0)
        log.install(before)
    assert any(line.startswith("deferred/A/A2: Permission denied") for line in lines)
