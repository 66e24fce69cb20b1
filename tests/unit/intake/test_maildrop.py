"""The maildrop: a message is there whole or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from estafeta.intake.maildrop import STALE, BadDrop, Draft, Drop, Dropped, ready
from estafeta.mail.envelope import Envelope, Recipient

DROP = Drop(Envelope("", 1.0, "joe", [Recipient("a@b.c")]), "Joe Doe")


def dropped(folder: Path, *pieces: bytes) -> str:
    draft = Draft(str(folder))
    for piece in pieces:
        draft.write(piece)
    draft.commit(DROP)
    return draft.path


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    path = dropped(tmp_path, b"Subject: x\r\n", b"\r\nbody\r\n")
    assert ready(str(tmp_path)) == [os.path.basename(path)]
    found = Dropped(path)
    assert found.drop == DROP
    assert b"".join(found.content()) == b"Subject: x\r\n\r\nbody\r\n"
    assert found.uid == os.getuid()
    found.close()


def test_a_draft_is_not_there_yet(tmp_path: Path) -> None:
    draft = Draft(str(tmp_path))
    draft.write(b"x\r\n")
    assert ready(str(tmp_path)) == []
    draft.abandon()
    assert list(tmp_path.iterdir()) == []


def test_an_old_draft_is_removed(tmp_path: Path) -> None:
    draft = Draft(str(tmp_path))
    ready(str(tmp_path), now=time.time() + STALE - 10)
    assert os.path.exists(draft.path)
    ready(str(tmp_path), now=time.time() + STALE + 10)
    assert not os.path.exists(draft.path)


def test_damage_is_found(tmp_path: Path) -> None:
    path = dropped(tmp_path, b"Subject: x\r\n\r\nbody\r\n")
    whole = Path(path).read_bytes()
    for at in range(len(whole)):
        Path(path).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(BadDrop):
            Dropped(path)
    for length in range(len(whole)):
        Path(path).write_bytes(whole[:length])
        with pytest.raises(BadDrop):
            Dropped(path)


def test_foreign_files_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "A"
    path.write_bytes(b"CN this is another mail system's\n" * 3)
    with pytest.raises(BadDrop) as caught:
        Dropped(str(path))
    assert caught.value.foreign


def test_links_are_refused(tmp_path: Path) -> None:
    path = dropped(tmp_path, b"x\r\n")
    os.link(path, tmp_path / "B")
    with pytest.raises(BadDrop):
        Dropped(path)
    os.symlink("/etc/passwd", tmp_path / "C")
    with pytest.raises(OSError):
        Dropped(str(tmp_path / "C"))
    assert "C" not in ready(str(tmp_path))


def test_nothing_is_left_of_a_draft_that_cannot_even_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, buffers: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("estafeta.intake.maildrop.write_all", full)
    with pytest.raises(OSError, match="No space"):
        Draft(str(tmp_path))
    assert not list(tmp_path.iterdir())
