"""The progress journal in active/: which recipients are done, which records are released.

Marks are collected, written together several times a second, and synced at least once in each sync interval: a process
that dies repeats the deliveries of a moment, a power cut those of the interval. A file begins with a snapshot of all
that still matters, so that older files can go.

    length  checksum  msgpack of Marks
    4       4         (big-endian; CRC-32 of the msgpack)
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

import msgspec

from estafeta.base import log
from estafeta.base.durable import fsync_folder, write_all
from estafeta.mail.envelope import Trouble
from estafeta.queue.ids import take_serial

FOLDER = "active"
SUFFIX = ".progress"
ROTATE_SIZE = 16 * 1024 * 1024
"""Bytes after which a new file is begun with a snapshot."""


class Marks(msgspec.Struct, array_like=True):
    """What happened in one interval."""

    released: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """Segment -> offsets of the records that are finished with."""
    done: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """Queue id -> indices of recipients that need nothing more."""
    failed: dict[str, dict[int, Trouble]] = msgspec.field(default_factory=dict)
    """Queue id -> recipients that failed for good, of which the sender has not been told yet."""

    def __bool__(self) -> bool:
        return bool(self.released or self.done or self.failed)

    def add(self, later: Marks) -> None:
        """Take in what happened after."""
        for path, offsets in later.released.items():
            self.released.setdefault(path, []).extend(offsets)
        for queue_id, indices in later.done.items():
            self.done.setdefault(queue_id, []).extend(indices)
            failed = self.failed.get(queue_id, {})
            for index in indices:
                failed.pop(index, None)
        for queue_id, troubles in later.failed.items():
            self.failed.setdefault(queue_id, {}).update(troubles)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Marks).decode


def frame(packed: bytes) -> bytes:
    """Bytes that tell whether they are whole."""
    return len(packed).to_bytes(4, "big") + zlib.crc32(packed).to_bytes(4, "big") + packed


def frames(data: bytes) -> Iterator[bytes]:
    """What is in every intact frame; what follows the first damaged one was never synced."""
    start = 0
    while len(data) - start >= 8:
        length = int.from_bytes(data[start : start + 4], "big")
        packed = data[start + 8 : start + 8 + length]
        if len(packed) < length or zlib.crc32(packed) != int.from_bytes(data[start + 4 : start + 8], "big"):
            return
        yield packed
        start += 8 + length


def _marks(data: bytes) -> Iterator[Marks]:
    try:
        yield from map(_decode, frames(data))
    except (msgspec.DecodeError, msgspec.ValidationError):
        return


class ProgressJournal:
    """The file that is open for marks. All methods block: they are called from one thread at a time."""

    def __init__(self, *, directory: str = ".") -> None:
        self._directory = directory
        self._fd = -1
        self._size = 0
        self._path = ""

    def replay(self) -> Marks:
        """Everything that the files say, oldest first."""
        marks = Marks()
        for path in self._files():
            with open(path, "rb") as file:
                for later in _marks(file.read()):
                    marks.add(later)
        return marks

    def begin(self, snapshot: Marks) -> None:
        """A new file that holds `snapshot`; then the older ones go. Raises OSError: the old file stays in use."""
        older = self._files()
        path = os.path.join(self._directory, FOLDER, f"{take_serial(self._directory):012X}{SUFFIX}")
        framed = frame(_encode(snapshot))
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, (framed,))
            os.fdatasync(fd)
            fsync_folder(os.path.dirname(path))
        except OSError:
            os.close(fd)
            os.unlink(path)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size, self._path = fd, len(framed), path
        for old in older:
            os.unlink(old)

    def write(self, marks: Marks) -> None:
        """Append. Raises OSError; the caller keeps the marks and writes them again."""
        framed = frame(_encode(marks))
        try:
            write_all(self._fd, (framed,))
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(framed)

    def sync(self) -> None:
        """Make durable what was written. Raises OSError: what was written since the last time is then in doubt."""
        os.fdatasync(self._fd)

    @property
    def full(self) -> bool:
        return self._size > ROTATE_SIZE

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _files(self) -> list[str]:
        folder = os.path.join(self._directory, FOLDER)
        try:
            return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(SUFFIX))
        except FileNotFoundError:
            log.warning(f"{folder}: no such directory: run 'postfix check' to make it")
            raise
