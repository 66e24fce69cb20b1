"""What postsuper does to the queue while no queue manager runs: the same changes, under the same lock."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator

from estafeta.base import log, verbose
from estafeta.config.instance import Config
from estafeta.intake import maildrop
from estafeta.mail.envelope import ASKED_EXPIRE, ASKED_REQUEUE, Envelope
from estafeta.queue import scan
from estafeta.queue.journal import SpoolError
from estafeta.queue.keeper import Found, Keeper
from estafeta.queue.place import Place
from estafeta.queue.record import Damaged
from estafeta.queue.spool import MessageGone
from estafeta.services.queue_control import DELETE, EXPIRE, HOLD, RELEASE, REQUEUE, Control, ControlReply

_QUEUES = {
    DELETE: ("hold", "incoming", "deferred"),
    HOLD: ("incoming", "deferred"),
    RELEASE: ("hold",),
    EXPIRE: ("hold", "incoming", "deferred"),
    REQUEUE: ("hold", "incoming", "deferred"),
}
_ASKED = {EXPIRE: ASKED_EXPIRE, REQUEUE: ASKED_REQUEUE}
"""What qmgr is to do with a message as soon as there is one."""


async def change_offline(conf: Config, control: Control) -> ControlReply:
    """Delete, hold or release without qmgr, and note what it is to expire or requeue. Raises SpoolBusy when somebody
    else has the queue."""
    if control.operation not in _QUEUES:
        return ControlReply(True, reason=f"cannot {control.operation} messages while the mail system is down")
    keeper = Keeper(directory=conf.queue_directory, hash_names=conf.hash_queue_names, hash_depth=conf.hash_queue_depth)
    verbose.tell(f"no queue manager runs: lock {conf.queue_directory}, {control.operation} there")
    keeper.lock()
    changed: list[str] = []
    try:
        wanted = set(control.queue_ids)
        queues = [queue for queue in _QUEUES[control.operation] if not control.queues or queue in control.queues]
        # "active" is memory: while nobody runs, what was there is in incoming or deferred.
        if "active" in control.queues and "incoming" not in queues and "incoming" in _QUEUES[control.operation]:
            queues.append("incoming")
        to_hold: list[tuple[Place, Envelope]] = []
        to_deferred: list[tuple[Place, Envelope]] = []
        asked = _ASKED.get(control.operation, "")
        async for found in _found(keeper, queues):
            queue_id = found.envelope.queue_id
            if wanted and queue_id not in wanted:
                continue
            if asked and found.envelope.asked == asked:
                continue
            changed.append(queue_id)
            verbose.tell(f"{queue_id}: {control.operation} {found.place.path}")
            if control.operation == DELETE:
                keeper.release(found.place, queue_id)
                continue
            stays = control.operation == EXPIRE and found.place.path.startswith("hold/")
            if asked:
                found.envelope.asked = asked
            if control.operation == HOLD or stays:
                to_hold.append((found.place, found.envelope))
            else:
                found.envelope.attempt_after = time.time()
                to_deferred.append((found.place, found.envelope))
            if not stays:
                found.envelope.hold_reason = ""
        if to_hold:
            await keeper.hold(to_hold)
        if to_deferred:
            await keeper.unhold(to_deferred)
        away = keeper.away & wanted if wanted else keeper.away
        unknown = [queue_id for queue_id in control.queue_ids if queue_id not in {*changed, *away}]
        reason = f"still being delivered: {', '.join(sorted(away)[:5])}: try again later" if away else ""
        return ControlReply(True, len(changed), unknown=unknown, queue_ids=changed, reason=reason)
    except SpoolError as error:
        return ControlReply(True, 0, reason=str(error))
    finally:
        await keeper.close()


async def _found(keeper: Keeper, queues: Iterable[str]) -> AsyncIterator[Found]:
    if "incoming" in queues:
        async for found in keeper.recover():
            yield found
    for queue in ("deferred", "hold"):
        if queue not in queues:
            continue
        files = keeper.deferred() if queue == "deferred" else keeper.held()
        for _, _, path in await asyncio.to_thread(list, files):
            try:
                yield keeper.load(path)
            except MessageGone:
                continue
            except Damaged as error:
                keeper.corrupt(path, str(error))
            except OSError as error:
                log.warning(f"{path}: {error.strerror}: it is left as it is; check its owner, and the disk")


def delete_dropped(directory: str, names: set[str] | None) -> list[str]:
    """Remove messages that pickup has not taken in yet; None for all. Returns the names of those that were there."""
    folder = os.path.join(directory, maildrop.FOLDER)
    gone = []
    for name in maildrop.ready(folder):
        if names is None or name in names:
            try:
                os.unlink(os.path.join(folder, name))
            except FileNotFoundError:
                continue  # pickup was faster
            gone.append(name)
    return gone


def purge(directory: str) -> None:
    """Remove what unfinished writes have left, as `-p` and `-s` ask. The rest of the structure needs no repair here:
    a message file is found in whichever folder of its queue it lies."""
    verbose.tell(f"look for unfinished files in {directory}")
    try:
        _, _, drafts = scan.incoming(directory)
        scan.remove_litter(directory, drafts)
        for path in _unfinished(directory):
            verbose.tell(f"remove {path}")
            os.unlink(path)
    except OSError as error:
        log.warning(f"{error.filename or directory}: {error.strerror}")


def _unfinished(directory: str) -> Iterator[str]:
    """Files of deferred/ and hold/ that never got their names. Their modification time says when to try the message,
    so it is the time of the last change that tells whether somebody is still at it."""
    for queue in ("deferred", "hold"):
        for folder, _, names in os.walk(os.path.join(directory, queue)):
            for name in names:
                path = os.path.join(folder, name)
                if name.endswith(".tmp") and time.time() - os.stat(path).st_ctime > scan.DRAFT_AGE:
                    yield path
