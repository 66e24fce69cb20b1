"""The maildrop: where `sendmail` leaves mail until pickup takes it in. Works while the mail system is down.

A file is one record of the queue's own format (queue/record.py) without a header block: content with CRLF lines, then
the packed `Drop`. It is written with mode 0600 and gets mode 0744 only when all of it is on stable storage, so pickup
never takes half a message. The owner of the file is the submitter; nothing in the file can claim another, unless the
mail system itself owns it.

    draft created (0600) -> content -> Drop, header, fsync -> 0744, fsync of file and folder -> sendmail exits 0
    crash before 0744: the draft is not a message; pickup removes it after a day
    crash after: pickup finds it, and removes it after its message is in the spool; a crash between the two
    delivers it twice
"""

from __future__ import annotations

import os
import secrets
import stat
import time
import zlib
from collections.abc import Iterator

import msgspec

from estafeta.base.durable import fsync_folder, syncfs_of, write_all
from estafeta.mail.envelope import Envelope
from estafeta.queue import record

FOLDER = "maildrop"
READY = 0o744
"""Mode of a finished file. The folder itself cannot be listed by others."""

STALE = 86400.0
"""Seconds after which an unfinished draft is nobody's any more."""

PIECE = 64 * 1024
LARGEST_DROP = 64 * 1024 * 1024


class Drop(msgspec.Struct, array_like=True):
    """What is known of a submitted message apart from its content. New fields go at the end, with a default."""

    envelope: Envelope
    """queue_id is empty; owner_uid counts only in a file that the mail system owns."""
    full_name: str = ""


class BadDrop(Exception):
    """Not a message of ours, or damaged. `foreign`: another program's format, to be left alone."""

    def __init__(self, text: str, *, foreign: bool = False) -> None:
        super().__init__(text)
        self.foreign = foreign


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Drop).decode


def new_name() -> str:
    """A name that nobody else makes; names sort by time."""
    return f"{int(time.time() * 1_000_000):X}{secrets.token_hex(4).upper()}"


class Draft:
    """A message being written. `commit` or `abandon` ends it."""

    def __init__(self, folder: str, name: str = "") -> None:
        """Create a file, by default with a name of its own. Raises OSError."""
        self._folder = folder
        for _ in range(100):
            self.path = os.path.join(folder, name or new_name())
            try:
                self._fd = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
                break
            except FileExistsError:
                if name:
                    raise
        else:
            raise FileExistsError(f"{folder}: no free name")
        self._length = 0
        self._crc = 0
        try:
            write_all(self._fd, [bytes(record.HEADER_SIZE)])
        except OSError:
            self.abandon()
            raise

    @property
    def length(self) -> int:
        """Bytes of content so far."""
        return self._length

    def write(self, content: bytes) -> None:
        """Append content, CRLF lines. Raises OSError."""
        self._crc = zlib.crc32(content, self._crc)
        self._length += len(content)
        write_all(self._fd, [content])

    def commit(self, drop: Drop) -> None:
        """Complete the file; it is on stable storage when this returns. Raises OSError."""
        packed = _encode(drop)
        write_all(self._fd, [packed])
        crc = record.seal(zlib.crc32(packed, self._crc), record.MESSAGE, 0, self._length, len(packed))
        header = record.HEADER.pack(record.MAGIC, record.VERSION, record.MESSAGE, 0, self._length, len(packed), crc)
        os.pwrite(self._fd, header, 0)
        os.fsync(self._fd)
        os.fchmod(self._fd, READY)
        os.fsync(self._fd)
        try:
            fsync_folder(self._folder)
        except PermissionError:
            # Who may only drop mail into the folder cannot open it to sync it; the whole file system can be.
            syncfs_of(self._fd)
        os.close(self._fd)  # only now may sendmail exit 0
        self._fd = -1

    def abandon(self) -> None:
        """Remove the draft."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            os.unlink(self.path)


class Dropped:
    """A finished message, opened for reading."""

    def __init__(self, path: str) -> None:
        """Read and check the file. Raises BadDrop, FileNotFoundError, or OSError."""
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(self._fd)
            if not stat.S_ISREG(status.st_mode):
                raise BadDrop("not a regular file")
            if status.st_nlink != 1:
                raise BadDrop("file has more than one link")
            self.uid = status.st_uid
            self.modified = status.st_mtime
            self.drop, self.length = self._checked(status.st_size)
        except BaseException:
            self.close()
            raise

    def _checked(self, size: int) -> tuple[Drop, int]:
        try:
            header = record.parse_header(os.pread(self._fd, record.HEADER_SIZE, 0))
        except record.Damaged as problem:
            raise BadDrop(f"unknown file format: {problem}", foreign=True) from None
        if header.head or header.flags != record.MESSAGE or header.size != size or header.envelope > LARGEST_DROP:
            raise BadDrop("lengths do not fit")
        if not record.intact(header, self._read(record.HEADER_SIZE, size)):
            raise BadDrop("wrong checksum")
        packed = os.pread(self._fd, header.envelope, record.HEADER_SIZE + header.body)
        try:
            return _decode(packed), header.body
        except msgspec.MsgspecError as problem:
            raise BadDrop(f"envelope: {problem}") from None

    def content(self) -> Iterator[bytes]:
        """The content in pieces."""
        return self._read(record.HEADER_SIZE, record.HEADER_SIZE + self.length)

    def _read(self, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            piece = os.pread(self._fd, min(PIECE, end - start), start)
            if not piece:
                raise BadDrop("file is shorter than it was")
            start += len(piece)
            yield piece

    def close(self) -> None:
        os.close(self._fd)


def ready(folder: str = FOLDER, *, now: float | None = None) -> list[str]:
    """The names of finished messages, oldest first. Drafts unfinished for a day are removed. Raises OSError."""
    moment = time.time() if now is None else now
    found: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # another worker was faster
            if not stat.S_ISREG(status.st_mode):
                continue
            if status.st_mode & stat.S_IXUSR:
                found.append(entry.name)
            elif moment - status.st_mtime > STALE:
                os.unlink(entry.path)
    return sorted(found)
