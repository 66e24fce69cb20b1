"""Message files: one message each, in deferred/ and hold/ (and, while it is large and new, in incoming/).

A file is one record, possibly followed by amendments: records without content whose envelope replaces the one before.
So putting a message off again costs a short append, whatever its size. The file's modification time is the moment
before which it is not tried again, as in Postfix. Everything here blocks.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

from estafeta.base import log
from estafeta.base.durable import fsync_folder, syncfs, write_all
from estafeta.mail import envelope as envelopes
from estafeta.mail.envelope import Envelope
from estafeta.queue import record
from estafeta.queue.place import Place
from estafeta.queue.spool import MessageGone, Reader

SYNCFS_FROM = 8
"""A batch of this many files is made durable with one syncfs instead of one fsync each."""
READ_AT_ONCE = 65536
"""Bytes. A shorter file costs a listing one read."""
AMENDMENTS_LIMIT = 65536
"""Bytes of amendments, beyond the size of the record itself, after which a file is written anew."""


class MessageFiles:
    """The message files of one queue directory."""

    def __init__(self, *, directory: str, hash_names: Sequence[str], hash_depth: int) -> None:
        self._directory = directory
        self._hash_names = frozenset(hash_names)
        self._hash_depth = hash_depth
        self._reader = Reader(directory=directory)

    def path(self, queue: str, queue_id: str) -> str:
        """Where a message file of this queue belongs: `deferred/A/A1B2C3`. Relative to the queue directory."""
        if queue not in self._hash_names:
            return f"{queue}/{queue_id}"
        # The microseconds come first in a short id and from the seventh character in a long one: they spread evenly.
        spread = queue_id if "z" not in queue_id else queue_id[6:]
        return "/".join((queue, *spread[: self._hash_depth], queue_id))

    def stands(self, queue: str, queue_id: str) -> bool:
        """Whether the message has a file in this queue, where the present settings put it."""
        return os.path.exists(self._full(self.path(queue, queue_id)))

    def find(self, queue: str, queue_id: str) -> str | None:
        """The path of a message file, wherever an earlier hash_queue_depth put it."""
        expected = self.path(queue, queue_id)
        if os.path.exists(self._full(expected)):
            return expected
        return next((path for name, _, path in self.listing(queue) if name == queue_id), None)

    def listing(self, queue: str) -> Iterator[tuple[str, float, str]]:
        """(queue id, modification time, path) of every message file of a queue, in no order."""
        for entry, path in self._entries(queue):
            with suppress(FileNotFoundError):
                yield entry.name, entry.stat(follow_symlinks=False).st_mtime, path

    def foreign(self, queue: str) -> Iterator[str]:
        """The files of a queue that Postfix wrote. It marks a whole one as executable: only such ones are opened."""
        for entry, path in self._entries(queue):
            with suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mode & stat.S_IXUSR and not self._is_ours(path):
                    yield path

    def load(self, path: str) -> tuple[Place, Envelope]:
        """Read a message file, checking every byte. Raises MessageGone, record.Damaged, OSError."""
        try:
            fd = os.open(self._full(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise MessageGone(error.errno, error.strerror, path) from error
        try:
            place, packed, end = _read_record(fd, path, 0)
            for amendment, _ in _amendments(fd, path, end):
                packed = amendment
            return place, envelopes.decode(packed)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise record.Damaged(f"{path}: the envelope is unreadable: {error}") from error
        finally:
            os.close(fd)

    def names(self, queue: str) -> Iterator[tuple[str, str]]:
        """(queue id, path) of every message file of a queue, in no order: `listing` without a look at each file."""
        for entry, path in self._entries(queue):
            yield entry.name, path

    def _entries(self, queue: str) -> Iterator[tuple[os.DirEntry[str], str]]:
        folders = [queue]
        while folders:
            folder = folders.pop()
            try:
                entries = list(os.scandir(self._full(folder)))
            except FileNotFoundError:
                continue
            except OSError as error:
                if folder == queue:
                    raise
                log.warning(f"{folder}: {error.strerror}: the mail in it waits; check its owner")
                continue
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if len(entry.name) == 1:
                        folders.append(f"{folder}/{entry.name}")
                elif entry.name.isalnum() and entry.is_file(follow_symlinks=False):
                    yield entry, f"{folder}/{entry.name}"

    def envelope(self, path: str) -> Envelope:
        """The envelope as it stands now, for who only looks. A small file is read in one go. Raises as `load` does."""
        try:
            fd = os.open(self._full(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise MessageGone(error.errno, error.strerror, path) from error
        try:
            data = os.read(fd, READ_AT_ONCE)
        finally:
            os.close(fd)
        if len(data) < READ_AT_ONCE:
            header = _header(data, path)
            end = header.size
            # With something behind the record, or damage, `load` is the judge.
            if end == len(data) and record.intact(header, (memoryview(data)[record.HEADER_SIZE :],)):
                try:
                    return envelopes.decode(memoryview(data)[end - header.envelope :])
                except (msgspec.DecodeError, msgspec.ValidationError) as error:
                    raise record.Damaged(f"{path}: the envelope is unreadable: {error}") from error
        return self.load(path)[1]

    def store(self, queue: str, moves: Sequence[tuple[Place, Envelope]]) -> list[Place]:
        """Put messages into a queue, with these envelopes, as one batch. All durable on return, or OSError.

        Message files are amended and renamed; journal records are copied to a new file (the caller releases them then).
        """
        together = len(moves) >= SYNCFS_FROM
        drafts: list[tuple[str, str]] = []
        places: list[Place] = []
        try:
            for place, envelope in moves:
                final = self.path(queue, envelope.queue_id)
                self._make_folder(os.path.dirname(final))
                draft = self._draft_name(place, final)
                drafts.append((draft, final))
                places.append(self._write_draft(place, envelope, draft, final, sync=not together))
            if together:
                syncfs(self._directory)
            for draft, final in drafts:
                if draft != final:
                    os.rename(self._full(draft), self._full(final))
            folders = {os.path.dirname(name) for draft, final in drafts if draft != final for name in (draft, final)}
            for folder in folders:
                fsync_folder(self._full(folder))
        except (OSError, record.Damaged):
            for draft, _ in drafts:
                if draft.endswith(".tmp"):
                    with suppress(FileNotFoundError):
                        os.unlink(self._full(draft))
            raise
        return places

    def unlink(self, path: str) -> None:
        """Remove a file; it may be gone already."""
        try:
            os.unlink(self._full(path))
        except FileNotFoundError:
            pass

    def to_corrupt(self, path: str) -> str:
        """Move a file to corrupt/, whole, under a name that is free there; returns the new path."""
        name = os.path.basename(path)
        target = f"corrupt/{name}"
        number = 1
        while os.path.lexists(self._full(target)):
            target = f"corrupt/{name}.{number}"
            number += 1
        os.rename(self._full(path), self._full(target))
        return target

    def _draft_name(self, place: Place, final: str) -> str:
        """Where to write: the message's own file, if it has one that can take another amendment, else a new one."""
        if place.offset or place.path.endswith(".journal"):
            return f"{final}.tmp"
        size = _size(place)
        amended = os.stat(self._full(place.path), follow_symlinks=False).st_size - size
        return place.path if amended <= max(AMENDMENTS_LIMIT, size) else f"{final}.tmp"

    def _write_draft(self, place: Place, envelope: Envelope, draft: str, final: str, *, sync: bool) -> Place:
        """A file with the new envelope; where the message is once it has its final name. Of many files none stays open,
        as a batch may be larger than what a process may have open."""
        flags = os.O_APPEND | os.O_NOFOLLOW if draft == place.path else os.O_CREAT | os.O_TRUNC
        fd = os.open(self._full(draft), flags | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            packed = envelopes.encode(envelope)
            if draft == place.path:
                self._amend(fd, place, packed)
                new_place = Place(final, 0, place.head, place.body, place.envelope)
            else:
                new_place = self._copy(fd, place, packed, final)
            os.utime(fd, (envelope.arrived, envelope.attempt_after or envelope.arrived))
            if sync:
                os.fsync(fd)
            return new_place
        finally:
            os.close(fd)

    def _amend(self, fd: int, place: Place, packed: bytes) -> None:
        size = _size(place)
        # A torn amendment from before a crash would hide what is appended behind it.
        os.ftruncate(fd, max((end for _, end in _amendments(fd, place.path, size)), default=size))
        write_all(fd, record.pack(record.AMENDMENT, b"", (), packed))

    def _copy(self, fd: int, place: Place, packed: bytes, final: str) -> Place:
        """The content of `place` and this envelope to an empty file that gets the name `final`."""
        head = self._reader.head(place)
        length, crc = 0, 0
        os.lseek(fd, record.HEADER_SIZE, os.SEEK_SET)
        for piece in self._reader.pieces(place):
            length += write_all(fd, (piece,))
            crc = zlib.crc32(piece, crc)
        write_all(fd, (packed,))
        crc = record.seal(zlib.crc32(packed, crc), record.MESSAGE, len(head), length - len(head), len(packed))
        header = record.HEADER.pack(
            record.MAGIC, record.VERSION, record.MESSAGE, len(head), length - len(head), len(packed), crc
        )
        os.pwrite(fd, header, 0)
        return Place(final, 0, len(head), length - len(head), len(packed))

    def _is_ours(self, path: str) -> bool:
        with open(self._full(path), "rb") as file:
            return file.read(len(record.MAGIC)) == record.MAGIC

    def _make_folder(self, folder: str) -> None:
        if not os.path.isdir(self._full(folder)):
            os.makedirs(self._full(folder), mode=0o700, exist_ok=True)
            fsync_folder(os.path.dirname(self._full(folder)))

    def _full(self, path: str) -> str:
        return os.path.join(self._directory, path)


def _size(place: Place) -> int:
    """Bytes of the record at `place`."""
    return record.HEADER_SIZE + place.head + place.body + place.envelope


def _read_record(fd: int, path: str, offset: int) -> tuple[Place, bytes, int]:
    """The record at `offset`, checked: (place, packed envelope, end of the record). Raises Damaged."""
    header = _header(os.pread(fd, record.HEADER_SIZE, offset), path)
    end = offset + header.size
    if end > os.fstat(fd).st_size:
        raise record.Damaged(f"{path}: truncated")
    start = offset + record.HEADER_SIZE
    packed_at = end - header.envelope
    content = _chunks(fd, start, packed_at)
    packed = os.pread(fd, header.envelope, packed_at)

    def everything() -> Iterator[bytes]:
        yield from content
        yield packed

    if not record.intact(header, everything()):
        raise record.Damaged(f"{path}: checksum does not match")
    return Place(path, offset, header.head, header.body, header.envelope), packed, end


def _header(raw: bytes, path: str) -> record.RecordHeader:
    """The header of a record of this file. Raises Damaged and Foreign, which name the file."""
    try:
        return record.parse_header(raw)
    except record.Damaged as problem:
        raise type(problem)(f"{path}: {problem}") from None


def _chunks(fd: int, start: int, end: int, size: int = 1024 * 1024) -> Iterator[bytes]:
    while start < end:
        piece = os.pread(fd, min(size, end - start), start)
        if not piece:
            return
        yield piece
        start += len(piece)


def _amendments(fd: int, path: str, offset: int) -> Iterator[tuple[bytes, int]]:
    """(packed envelope, end) of each amendment; a torn one at the end was never promised to anyone."""
    while True:
        try:
            header = record.parse_header(os.pread(fd, record.HEADER_SIZE, offset))
            if header.flags != record.AMENDMENT:
                return
            _, packed, offset = _read_record(fd, path, offset)
        except record.Damaged:
            return
        yield packed, offset
