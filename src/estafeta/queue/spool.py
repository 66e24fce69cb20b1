"""The spool as its writers and readers see it: commit a message, read it again by place.

`Spool` is for processes that take mail in (through intake/); `Reader` is for all that read content. What qmgr alone may
do, letting go of messages, is in keeper.py.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType

from estafeta.base.durable import write_all
from estafeta.mail import envelope as envelopes
from estafeta.mail.envelope import Envelope
from estafeta.queue import record
from estafeta.queue.ids import QueueIds
from estafeta.queue.journal import SUFFIX, Journal
from estafeta.queue.journal import SpoolError as SpoolError  # part of what this module offers
from estafeta.queue.place import Place

PART = ".part"
"""A large message that is still arriving. Without a lock on it, its writer is dead and it was never acknowledged."""


class MessageGone(FileNotFoundError):
    """The message is no longer where the place says: it was delivered, moved or deleted."""


class Spool:
    """The writing side, one a process. Needs a running event loop."""

    def __init__(
        self,
        *,
        directory: str = ".",
        segment_size: int = 8 * 1024 * 1024,
        large_message: int = 1024 * 1024,
        long_ids: bool = False,
        sealed: Callable[[str, int], None] | None = None,
    ) -> None:
        self.directory = directory
        self.large_message = large_message
        self._ids = QueueIds(directory=directory, long_ids=long_ids)
        self._journal = Journal(directory=directory, segment_size=segment_size, sealed=sealed)

    def new_id(self, now: float) -> str:
        """A queue id for a message that begins now. Raises SpoolError."""
        try:
            return self._ids.next(now)
        except OSError as error:
            raise SpoolError(error.errno, f"incoming/serial: {error.strerror}") from error

    async def commit(self, envelope: Envelope, head: bytes, body: Sequence[bytes]) -> Place:
        """Store one message; it is on stable storage when this returns. Raises SpoolError: nothing was stored."""
        packed = envelopes.encode(envelope)
        buffers = record.pack(record.MESSAGE, head, body, packed)
        path, offset = await self._journal.append(buffers)
        length = sum(map(len, buffers)) - record.HEADER_SIZE - len(head) - len(packed)
        return Place(path, offset, len(head), length, len(packed))

    async def begin_large(self, queue_id: str, head: bytes) -> LargeMessage:
        """A message that streams to a file of its own. Raises SpoolError."""
        message = LargeMessage(self.directory, queue_id)
        try:
            await message.write_head(head)
        except SpoolError:
            await message.abandon()
            raise
        return message

    async def stop(self) -> None:
        """Seal the journal."""
        await self._journal.stop()


class LargeMessage:
    """A message file in the making. Write pieces, then finish or abandon; exactly one of the two."""

    def __init__(self, directory: str, queue_id: str) -> None:
        self._directory = directory
        self._path = f"incoming/{queue_id}"
        self._fd = -1
        self._head = 0
        self._body = 0
        self._crc = 0

    async def write_head(self, head: bytes) -> None:
        """Create the file, with room for the record header and the header block in it."""
        self._head = len(head)
        self._crc = zlib.crc32(head)
        await asyncio.to_thread(self._create, head)

    async def write(self, piece: bytes) -> None:
        """Append to the body. Raises SpoolError; abandon then."""
        self._crc = zlib.crc32(piece, self._crc)
        self._body += len(piece)
        await asyncio.to_thread(self._append, piece)

    async def finish(self, envelope: Envelope) -> Place:
        """Complete the record; on stable storage when this returns. Raises SpoolError; abandon then."""
        packed = envelopes.encode(envelope)
        await asyncio.to_thread(self._complete, packed)
        return Place(self._path, 0, self._head, self._body, len(packed))

    async def abandon(self) -> None:
        """Remove the unfinished file."""
        if self._fd >= 0:
            await asyncio.to_thread(self._remove)

    def _full(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _create(self, head: bytes) -> None:
        draft = self._full(self._path + PART)
        try:
            self._fd = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            write_all(self._fd, (bytes(record.HEADER_SIZE), head))
        except OSError as error:
            raise SpoolError(error.errno, f"write {draft}: {error.strerror}") from error

    def _append(self, piece: bytes) -> None:
        try:
            write_all(self._fd, (piece,))
        except OSError as error:
            raise SpoolError(error.errno, f"write {self._path}{PART}: {error.strerror}") from error

    def _complete(self, packed: bytes) -> None:
        crc = record.seal(zlib.crc32(packed, self._crc), record.MESSAGE, self._head, self._body, len(packed))
        header = record.HEADER.pack(
            record.MAGIC, record.VERSION, record.MESSAGE, self._head, self._body, len(packed), crc
        )
        final = self._full(self._path)
        try:
            # Opened before anything is promised: a message that has its name is delivered, whatever the client hears.
            with _OpenFile(os.open(os.path.dirname(final), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as folder:
                write_all(self._fd, (packed,))
                os.pwrite(self._fd, header, 0)
                os.fsync(self._fd)
                os.rename(final + PART, final)
                os.fsync(folder)  # only now may we say 250
        except OSError as error:
            raise SpoolError(error.errno, f"write {self._path}: {error.strerror}") from error
        os.close(self._fd)
        self._fd = -1

    def _remove(self) -> None:
        try:
            os.unlink(self._full(self._path + PART))
        except FileNotFoundError:
            pass  # renamed, but the folder could not be synced: qmgr delivers it, and the client sends it once more
        finally:
            os.close(self._fd)
            self._fd = -1


class Reader:
    """Reads content by place. Segments stay open for a while, since many messages share one; message files do not.

    Reads come from the page cache as a rule. Raises MessageGone, or Damaged when the file is shorter than the place.
    """

    OPEN_SEGMENTS = 16

    def __init__(self, *, directory: str = ".") -> None:
        self._directory = directory
        self._segments: OrderedDict[str, int] = OrderedDict()
        self._using = threading.Lock()
        """Held while a segment is looked up and read: several threads share one reader, and another one must not close
        the segment, and so have its number mean another file, in between."""

    def head(self, place: Place) -> bytes:
        """The header block."""
        return self._read(place, record.HEADER_SIZE, place.head)

    def body(self, place: Place) -> bytes:
        """The whole body: for messages that are known to be small, else `pieces`."""
        return self._read(place, record.HEADER_SIZE + place.head, place.body)

    def content(self, place: Place) -> bytes:
        """Header block and body in one piece."""
        return self._read(place, record.HEADER_SIZE, place.head + place.body)

    def pieces(self, place: Place, size: int = 65536) -> Iterator[bytes]:
        """Header block and body, `size` bytes at a time. The file is kept open meanwhile, even if it is moved."""
        return self.opened(place)(size)

    def opened(self, place: Place) -> OpenContent:
        """The same for whoever reads later, or more than once, or without the right to open the file."""
        return OpenContent(self._open(place.path), place)

    def envelope(self, place: Place) -> Envelope:
        """The envelope as first stored, without amendments."""
        return envelopes.decode(self._read(place, record.HEADER_SIZE + place.head + place.body, place.envelope))

    def close(self) -> None:
        with self._using:
            for fd in self._segments.values():
                os.close(fd)
            self._segments.clear()

    def _open(self, path: str) -> int:
        try:
            return os.open(os.path.join(self._directory, path), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise MessageGone(error.errno, error.strerror, path) from error

    def _read(self, place: Place, start: int, length: int) -> bytes:
        if place.path.endswith(SUFFIX):
            with self._using:
                return self._pread(self._segment(place.path), place, start, length)
        with _OpenFile(self._open(place.path)) as fd:
            return self._pread(fd, place, start, length)

    def _pread(self, fd: int, place: Place, start: int, length: int) -> bytes:
        data = os.pread(fd, length, place.offset + start)
        if len(data) != length:
            raise record.Damaged(f"{place.path}: shorter than its record says")
        return data

    def _segment(self, path: str) -> int:
        fd = self._segments.get(path)
        if fd is not None:
            return fd
        # A removed segment takes disk space as long as anyone holds it open.
        for name in [name for name, fd in self._segments.items() if not os.fstat(fd).st_nlink]:
            os.close(self._segments.pop(name))
        while len(self._segments) >= self.OPEN_SEGMENTS:
            os.close(self._segments.popitem(last=False)[1])
        fd = self._segments[path] = self._open(path)
        return fd


class OpenContent:
    """A message whose file is open: call it for its pieces. The file is closed when nobody holds this any more."""

    __slots__ = ("_fd", "_place")

    def __init__(self, fd: int, place: Place) -> None:
        """`fd` is taken over."""
        self._fd = fd
        self._place = place

    def __call__(self, size: int = 65536) -> Iterator[bytes]:
        """Header block and body, `size` bytes at a time. Raises Damaged."""
        place = self._place
        start = place.offset + record.HEADER_SIZE
        end = start + place.head + place.body
        while start < end:
            piece = os.pread(self._fd, min(size, end - start), start)
            if not piece:
                raise record.Damaged(f"{place.path}: shorter than its record says")
            yield piece
            start += len(piece)

    def __del__(self) -> None:
        os.close(self._fd)


class _OpenFile:
    """A descriptor that is closed at the end of a with block."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> int:
        return self._fd

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
