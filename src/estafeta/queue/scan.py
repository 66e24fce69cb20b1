"""Reading what lies in incoming/: segments and large messages, record by record.

A record is what its checksum says it is. At the end of a segment whose writer is dead, what is not a whole record was
never acknowledged and is cut. Anything else that is damaged is copied to corrupt/, and the scan goes on at the next
intact record. Everything here blocks, and reads each segment in one go.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from estafeta.base import log
from estafeta.base.durable import fsync_folder
from estafeta.mail import envelope as envelopes
from estafeta.mail.envelope import Envelope
from estafeta.queue import record
from estafeta.queue.journal import SUFFIX
from estafeta.queue.place import Place
from estafeta.queue.spool import PART

DRAFT_AGE = 3600.0
"""Seconds after which an unfinished file that nobody has locked is litter. No SMTP session takes so long to lock it."""


@dataclass
class SegmentScan:
    """What a segment holds. `total` is -1 while its writer lives."""

    messages: list[tuple[Place, Envelope]] = field(default_factory=list)
    damaged: list[tuple[int, int]] = field(default_factory=list)
    """(start, end) of stretches that are no intact record, torn tail left out."""
    total: int = -1


def incoming(directory: str) -> tuple[list[str], list[str], list[str]]:
    """(segments, large messages, unfinished files) in incoming/, oldest name first, relative to the queue directory.

    What is no plain file was not put there by us: it is passed over.
    """
    segments, large, drafts = [], [], []
    with os.scandir(os.path.join(directory, "incoming")) as entries:
        names = sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    for name in names:
        path = f"incoming/{name}"
        if name.endswith(SUFFIX):
            segments.append(path)
        elif name.endswith((PART, ".new", ".tmp")):
            drafts.append(path)
        elif name.isalnum() and name != "serial":
            large.append(path)
    return segments, large, drafts


def scan_segment(directory: str, path: str) -> SegmentScan:
    """Read every record of a segment. Raises OSError; a segment that is gone has no records."""
    try:
        fd = os.open(os.path.join(directory, path), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return SegmentScan(total=0)
    try:
        # Asked before reading: a writer that ends in between only makes us look once more later.
        abandoned = _is_abandoned(fd)
        data = os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)
    found = SegmentScan()
    sealed = False
    for start, end, header in _records(data):
        if header is None:
            found.damaged.append((start, end))
        elif header.flags == record.SEAL:
            sealed = True
        else:
            try:
                found.messages.append(_message(path, start, header, data))
            except record.Damaged as error:
                log.warning(str(error))
                found.damaged.append((start, end))
    if abandoned:
        found.total = len(found.messages)
    if found.damaged and found.damaged[-1][1] == len(data) and not sealed and not _whole(data, found.damaged[-1][0]):
        found.damaged.pop()  # torn: it was being written when the writer, or the machine, died
    elif not abandoned and found.damaged and found.damaged[-1][1] == len(data):
        found.damaged.pop()  # being written now
    return found


def keep_damaged(directory: str, path: str, stretches: list[tuple[int, int]]) -> None:
    """Copy damaged stretches of a segment to corrupt/, with a warning that says so."""
    with open(os.path.join(directory, path), "rb") as segment:
        for start, end in stretches:
            segment.seek(start)
            target = f"corrupt/{os.path.basename(path)}.{start}"
            with open(os.path.join(directory, target), "wb") as kept:
                kept.write(segment.read(end - start))
                kept.flush()
                os.fsync(kept.fileno())
            fsync_folder(os.path.join(directory, "corrupt"))
            log.warning(f"{path}: bytes {start} to {end} are damaged: saved as {target}")


def remove_litter(directory: str, drafts: list[str], now: float | None = None) -> None:
    """Remove unfinished files that nobody writes any more. They were never acknowledged."""
    now = time.time() if now is None else now
    for path in drafts:
        try:
            _remove_if_litter(os.path.join(directory, path), now)
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning(f"{path}: {error.strerror}: an unfinished file that cannot be removed: check its owner")


def _remove_if_litter(path: str, now: float) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if now - os.fstat(fd).st_mtime > DRAFT_AGE and _is_abandoned(fd):
            os.unlink(path)
    finally:
        os.close(fd)


def _is_abandoned(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _records(data: bytes) -> Iterator[tuple[int, int, record.RecordHeader | None]]:
    """(start, end, header) of every stretch; header None for one that is no intact record."""
    start = 0
    while start < len(data):
        header = _intact_at(data, start)
        if header is not None:
            yield start, start + header.size, header
            start += header.size
            continue
        end = _end_of_damage(data, start)
        yield start, end, None
        start = end


def _end_of_damage(data: bytes, start: int) -> int:
    """Where to go on after a damaged record: where its header says, if that holds, else at the next intact record.

    In that order, because what lies inside the record came from a stranger, and might look like a record.
    """
    try:
        end = start + record.parse_header(data[start : start + record.HEADER_SIZE]).size
        if end == len(data) or (end < len(data) and _intact_at(data, end) is not None):
            return end
    except record.Damaged:
        pass
    after = data.find(record.MAGIC, start + 1)
    while after >= 0 and _intact_at(data, after) is None:
        after = data.find(record.MAGIC, after + 1)
    return len(data) if after < 0 else after


def _intact_at(data: bytes, start: int) -> record.RecordHeader | None:
    try:
        header = record.parse_header(data[start : start + record.HEADER_SIZE])
    except record.Damaged:
        return None
    if start + header.size > len(data):
        return None
    content = memoryview(data)[start + record.HEADER_SIZE : start + header.size]
    return header if record.intact(header, (content,)) else None


def _whole(data: bytes, start: int) -> bool:
    """Whether the damaged stretch at `start` is as long as its header says: then it is damage, not a torn write."""
    try:
        header = record.parse_header(data[start : start + record.HEADER_SIZE])
    except record.Damaged:
        return False
    return start + header.size <= len(data)


def _message(path: str, start: int, header: record.RecordHeader, data: bytes) -> tuple[Place, Envelope]:
    end = start + header.size
    place = Place(path, start, header.head, header.body, header.envelope)
    try:
        return place, envelopes.decode(data[end - header.envelope : end])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise record.Damaged(f"{path}: the envelope at {start} is unreadable: {error}") from error
