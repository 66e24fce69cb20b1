"""Handovers: deliveries that outlive the process that ordered them.

A qmgr that is replaced while agents still deliver gives the spool to the next one at once, and lives on only to hear
the end of those deliveries. `active/SERIAL.handover` says what it still waits for, then what it has heard; its lock,
held as long as that process lives, says that more may come. The next qmgr takes up everything but those recipients,
and those when the lock is free: with what was heard, or as if they had not been tried. Until then it finishes none of
the messages in it, so that a third qmgr, which may find the file as well, does not repeat what the second has done.

Frames as in `progress.py`: the first holds a dict of Kept, the others a dict of dicts of Heard.

Everything here blocks.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

import msgspec

from estafeta.base.durable import fsync_folder, write_all
from estafeta.mail.envelope import Told
from estafeta.queue.ids import take_serial
from estafeta.queue.place import Place
from estafeta.queue.progress import FOLDER, frame, frames

SUFFIX = ".handover"

DELETE, HOLD, REQUEUE, EXPIRE = "delete", "hold", "requeue", "expire"
"""What an operator has asked for and what is to be done when nobody delivers the message any more."""


Heard = Told
"""What became of one recipient, as the agent said it."""


class Kept(msgspec.Struct, array_like=True):
    """A message that the old process knows more about than the spool does."""

    place: Place
    recipients: list[int]
    """Indices of the recipients that agents have now."""
    heard: dict[int, Heard] = msgspec.field(default_factory=dict)
    """What is known of others: they are put off, or delivered and the sender is to be told."""
    wishes: list[str] = msgspec.field(default_factory=list)


Results = dict[str, dict[int, Heard]]
"""Queue id -> index of a recipient -> what became of it."""

_encode = msgspec.msgpack.Encoder().encode
_decode_kept = msgspec.msgpack.Decoder(dict[str, Kept]).decode
_decode_results = msgspec.msgpack.Decoder(Results).decode


class HandoverWriter:
    """The old process's side."""

    def __init__(self, kept: dict[str, Kept], *, directory: str = ".") -> None:
        """Make the file, locked and durable. Raises OSError, and there is no file then."""
        self.path = os.path.join(directory, FOLDER, f"{take_serial(directory):012X}{SUFFIX}")
        self._fd = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = 0
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._append(_encode(kept))
            fsync_folder(os.path.dirname(self.path))
        except OSError:
            self.close()
            os.unlink(self.path)
            raise

    def add(self, results: Results) -> None:
        """These were heard. Durable on return. Raises OSError: then nothing of it counts."""
        self._append(_encode(results))

    def close(self) -> None:
        """Nothing more comes; the next process takes over what is left."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, packed: bytes) -> None:
        framed = frame(packed)
        try:
            write_all(self._fd, (framed,))
            os.fdatasync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(framed)


class Handover:
    """The next process's side: one file that it found."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.kept: dict[str, Kept] = {}
        self.results: Results = {}
        """What was heard of recipients that agents had."""
        self.read()

    def ended(self) -> bool:
        """Whether the old process is gone, so that the file says all that it ever will."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def read(self) -> None:
        """Read the file from its beginning. A frame that is not whole was never synced."""
        pieces = frames(os.pread(self._fd, os.fstat(self._fd).st_size, 0))
        try:
            self.kept = _decode_kept(next(pieces, b"\x80"))
            for piece in pieces:
                for queue_id, some in _decode_results(piece).items():
                    self.results.setdefault(queue_id, {}).update(some)
        except (msgspec.DecodeError, msgspec.ValidationError):
            return  # as for marks: what cannot be read was not said

    def remove(self) -> None:
        """What it says is on stable storage elsewhere: the file goes, for good."""
        with suppress(FileNotFoundError):  # the second attempt, after a failure of the sync
            os.unlink(self._path)
        fsync_folder(os.path.dirname(self._path))
        self.close()

    def close(self) -> None:
        os.close(self._fd)


def find(directory: str) -> list[Handover]:
    """Every handover there is, oldest first."""
    folder = os.path.join(directory, FOLDER)
    return [Handover(os.path.join(folder, name)) for name in sorted(os.listdir(folder)) if name.endswith(SUFFIX)]
