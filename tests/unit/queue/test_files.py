"""Message files as a listing reads them: the same answers as `load`, at fewer system calls."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from estafeta.mail import envelope as envelopes
from estafeta.mail.envelope import Envelope, Recipient
from estafeta.queue import record
from estafeta.queue.files import READ_AT_ONCE, MessageFiles
from estafeta.queue.record import Damaged, Foreign
from estafeta.queue.spool import MessageGone


@pytest.fixture
def files(tmp_path: Path) -> MessageFiles:
    (tmp_path / "deferred/A").mkdir(parents=True)
    return MessageFiles(directory=str(tmp_path), hash_names=("deferred",), hash_depth=1)


def _write(tmp_path: Path, body: bytes, *senders: str) -> str:
    """A message file with an amendment for each sender after the first."""
    path = "deferred/A/A1"
    packed = [envelopes.encode(Envelope("A1", 1.0, sender, [Recipient("b@x")])) for sender in senders]
    pieces = record.pack(record.MESSAGE, b"Subject: x\r\n\r\n", [body], packed[0])
    for each in packed[1:]:
        pieces += record.pack(record.AMENDMENT, b"", (), each)
    (tmp_path / path).write_bytes(b"".join(pieces))
    return path


@pytest.mark.parametrize("size", [3, READ_AT_ONCE * 2])
@pytest.mark.parametrize("senders", [("first@x",), ("first@x", "second@x", "third@x")])
def test_the_envelope_is_the_last_one(files: MessageFiles, tmp_path: Path, size: int, senders: tuple[str, ...]) -> None:
    path = _write(tmp_path, b"y" * size, *senders)
    assert files.envelope(path).sender == senders[-1]
    assert files.envelope(path) == files.load(path)[1]


def test_damage_and_absence_are_told_as_load_tells_them(files: MessageFiles, tmp_path: Path) -> None:
    path = _write(tmp_path, b"yyy", "a@x")
    data = bytearray((tmp_path / path).read_bytes())
    data[record.HEADER_SIZE + 2] ^= 1
    (tmp_path / path).write_bytes(data)
    with pytest.raises(Damaged):
        files.envelope(path)
    (tmp_path / path).write_bytes(data[:10])
    with pytest.raises(Damaged):
        files.envelope(path)
    os.unlink(tmp_path / path)
    with pytest.raises(MessageGone):
        files.envelope(path)


def test_names_are_those_of_the_listing(files: MessageFiles, tmp_path: Path) -> None:
    _write(tmp_path, b"yyy", "a@x")
    (tmp_path / "deferred/B2").write_bytes(b"")
    (tmp_path / "deferred/B2.tmp").write_bytes(b"")
    assert sorted(files.names("deferred")) == sorted((name, path) for name, _, path in files.listing("deferred"))
    assert len(list(files.names("deferred"))) == 2


def test_mail_of_postfix_is_told_apart_and_named(files: MessageFiles, tmp_path: Path) -> None:
    _write(tmp_path, b"yyy", "a@x")
    (tmp_path / "deferred/A/A1").chmod(0o700)  # as somebody may have copied it
    (tmp_path / "deferred/A/A2").write_bytes(b"CO" + b" " * 40)
    (tmp_path / "deferred/A/A2").chmod(0o700)
    assert list(files.foreign("deferred")) == ["deferred/A/A2"]
    assert list(files.foreign("hold")) == []
    for read in (files.envelope, files.load):
        with pytest.raises(Foreign, match="deferred/A/A2: not a queue file of ours"):
            read("deferred/A/A2")
