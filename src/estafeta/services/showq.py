"""What mailq shows: the queued messages, with the recipients that still wait and the reasons.

The showq service (`public/showq`) sends the whole list to whoever connects, in frames of some messages each, an empty
one last. Messages in journals and in memory are known to qmgr, which is asked; what lies in deferred/ and hold/ is read
from its files. While no qmgr runs, the journals are read as well: then the list is complete without any process of
ours, for who may read the files.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import msgspec

from estafeta.base import log, verbose
from estafeta.intake import maildrop
from estafeta.mail.envelope import ASKED_EXPIRE, Envelope
from estafeta.net.frames import LARGEST_FRAME
from estafeta.queue import scan
from estafeta.queue.files import MessageFiles
from estafeta.queue.progress import ProgressJournal
from estafeta.queue.record import Damaged
from estafeta.queue.spool import MessageGone
from estafeta.services.queue_control import LIST, Control, ask

PIECE = 200
"""Messages in one frame."""


class Shown(msgspec.Struct, array_like=True):
    """One message. `queue`: maildrop, incoming, active, deferred or hold. `recipients`: (address, reason or "")."""

    queue: str
    queue_id: str
    arrived: float
    size: int
    sender: str
    recipients: list[tuple[str, str]]
    forced_expire: bool = False


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(list[Shown]).decode


def shown(queue: str, envelope: Envelope, done: list[int] | None = None) -> Shown:
    """A message as it is shown; recipients that are done are left out."""
    settled = {*envelope.done, *(done or ())}
    troubles = envelope.troubles
    recipients = [
        (each.address, troubles[index].text if index in troubles else "")
        for index, each in enumerate(envelope.recipients)
        if index not in settled
    ]
    expires = envelope.asked == ASKED_EXPIRE
    return Shown(queue, envelope.queue_id, envelope.arrived, envelope.size, envelope.sender, recipients, expires)


def fetch(directory: str, service: str, timeout: float) -> Iterator[Shown]:
    """Ask the showq service, by its name in master.cf; blocks. Raises OSError when it is away."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(timeout)
        verbose.tell(f"connect to {os.path.join(directory, 'public', service)}")
        peer.connect(os.path.join(directory, "public", service))
        with peer.makefile("rb") as stream:
            while True:
                head = stream.read(4)
                length = int.from_bytes(head, "big")
                if len(head) < 4 or length > LARGEST_FRAME:
                    raise ConnectionError("the list ended early")
                messages = decode(stream.read(length))
                if not messages:
                    return
                yield from messages


def listing(directory: str = ".") -> Iterator[Shown]:
    """Every queued message, for who may read the queue; blocks. Raises OSError.

    A message that moves while we look may be missed, or be named twice by qmgr and by its file: it is shown once.
    """
    seen: set[str] = set()
    yield from _in_maildrop(os.path.join(directory, maildrop.FOLDER))
    for message in _not_in_files(directory):
        if message.queue_id not in seen:
            seen.add(message.queue_id)
            yield message
    files = MessageFiles(directory=directory, hash_names=(), hash_depth=0)
    for queue in ("deferred", "hold"):
        for queue_id, path in files.names(queue):
            if queue_id in seen:
                continue
            try:
                envelope = files.envelope(path)
            except MessageGone:
                continue
            except Damaged as error:
                log.warning(str(error))
                continue
            except OSError as error:
                log.warning(f"{path}: {error.strerror}: not in the list; check its owner, and the disk")
                continue
            envelope.queue_id = queue_id  # as the queue manager knows it: a copy made by hand still says what it was
            yield shown(queue, envelope)


def _in_maildrop(folder: str) -> Iterator[Shown]:
    """What sendmail(1) has left and pickup has not taken in yet. Who may not look there sees the rest."""
    try:
        names = maildrop.ready(folder)
    except (PermissionError, FileNotFoundError):
        return
    for name in names:
        try:
            dropped = maildrop.Dropped(os.path.join(folder, name))
        except (maildrop.BadDrop, OSError):
            continue  # taken in meanwhile, or for pickup to complain of
        try:
            size = dropped.length - sum(piece.count(b"\n") for piece in dropped.content())
        except maildrop.BadDrop:
            continue
        finally:
            dropped.close()
        envelope = dropped.drop.envelope
        recipients = [(each.address, "") for each in envelope.recipients]
        yield Shown("maildrop", name, dropped.modified, size, envelope.sender, recipients)


def _not_in_files(directory: str) -> Iterator[Shown]:
    try:
        for reply in ask(Control(LIST), directory=directory):
            for each in reply.messages:
                yield shown(each.queue, each.envelope)
    except (FileNotFoundError, ConnectionError):
        yield from _in_journals(directory)


def _in_journals(directory: str) -> Iterator[Shown]:
    """What is in incoming/, less what the progress journal says is finished."""
    marks = ProgressJournal(directory=directory).replay()
    segments, large, _ = scan.incoming(directory)
    for path in segments:
        finished = set(marks.released.get(path, ()))
        for place, envelope in scan.scan_segment(directory, path).messages:
            if place.offset not in finished:
                yield shown("incoming", envelope, marks.done.get(envelope.queue_id))
    files = MessageFiles(directory=directory, hash_names=(), hash_depth=0)
    for path in large:
        try:
            _, envelope = files.load(path)
        except (OSError, Damaged):
            continue
        yield shown("incoming", envelope, marks.done.get(envelope.queue_id))
