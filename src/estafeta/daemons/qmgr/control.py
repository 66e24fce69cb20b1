"""What commands may ask of qmgr: list, delete, hold, release, requeue, expire and flush messages.

It goes through here because qmgr alone knows what lies in journals and what is being delivered. The requests are in
services/queue_control.py. An answer is given when the change is safe, except for recipients that an agent has at the
moment: their delivery comes to its end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from estafeta.base import log
from estafeta.daemons.qmgr.active import ActiveQueue
from estafeta.daemons.qmgr.message import ACTIVE, DEFERRED, HOLD, INCOMING, Message
from estafeta.mail.envelope import ASKED_EXPIRE
from estafeta.queue.journal import SpoolError
from estafeta.queue.keeper import Found
from estafeta.queue.place import Place
from estafeta.queue.record import Damaged
from estafeta.queue.spool import MessageGone
from estafeta.services.queue_control import (
    DELETE,
    EXPIRE,
    FLUSH,
    LIST,
    RELEASE,
    REQUEUE,
    Control,
    ControlReply,
    Listed,
)
from estafeta.services.queue_control import HOLD as TO_HOLD

PIECE = 500
"""Messages in one reply, or changed in one go."""
TAKEN = -2
"""In place of the number of a new message that is being taken up."""
SETTLE = 5.0
"""Seconds for a message to get where it is to go before we answer; an agent may have it for longer."""

_QUEUES = {
    LIST: (INCOMING, ACTIVE),
    DELETE: (HOLD, INCOMING, ACTIVE, DEFERRED),
    TO_HOLD: (INCOMING, ACTIVE, DEFERRED),
    RELEASE: (HOLD,),
    REQUEUE: (HOLD, INCOMING, ACTIVE, DEFERRED),
    EXPIRE: (HOLD, INCOMING, ACTIVE, DEFERRED),
    FLUSH: (DEFERRED,),
}


class QueueControl:
    """Answers requests. `rescan` reads deferred/ anew, so that files put there by hand are known."""

    def __init__(
        self, queue: ActiveQueue, keeper: Any, rescan: Callable[[], Any], clock: Callable[[], float] = time.time
    ) -> None:
        self._queue = queue
        self._keeper = keeper
        self._rescan = rescan
        self._clock = clock

    async def answer(self, control: Control) -> AsyncIterator[ControlReply]:
        """The replies to one request, the last with `last` set."""
        if control.operation not in _QUEUES:
            yield ControlReply(True, reason=f"unknown operation {control.operation!r}")
            return
        if control.operation == LIST:
            async for messages in self._listed(control.queues):
                yield ControlReply(False, len(messages), messages)
            yield ControlReply(True)
            return
        if control.operation == FLUSH and not control.queue_ids:
            yield ControlReply(True, await self._flush())
            return
        yield await self._change(control)

    # --- list

    async def _listed(self, queues: Iterable[str]) -> AsyncIterator[list[Listed]]:
        wanted = set(queues) or {INCOMING, ACTIVE}
        piece: list[Listed] = []
        if ACTIVE in wanted:
            for message in list(self._queue.active.values()):
                piece.append(Listed(ACTIVE, message.place, message.envelope))
                if len(piece) >= PIECE:
                    yield piece
                    piece = []
        if INCOMING in wanted:
            for entry in list(self._queue.incoming):
                try:
                    found = await self._read(entry)
                except (MessageGone, Damaged):
                    continue
                piece.append(Listed(INCOMING, found.place, found.envelope))
                if len(piece) >= PIECE:
                    yield piece
                    piece = []
        if piece:
            yield piece

    async def _read(self, entry: Found | Place) -> Found:
        if isinstance(entry, Found):
            return entry
        return Found(entry, await asyncio.to_thread(self._queue.reader.envelope, entry))

    # --- change

    async def _change(self, control: Control) -> ControlReply:
        queues = tuple(control.queues) or _QUEUES[control.operation]
        # What flush(8) asks for may have been delivered long ago: not a reason to read the whole folder each time.
        many = control.operation == FLUSH and len(control.queue_ids) > 1
        if DEFERRED in queues and not many and not self._all_known(control.queue_ids):
            await self._rescan()
        wanted = set(control.queue_ids)
        changed: list[str] = []
        reason = ""
        try:
            for step in (self._in_memory, self._in_deferred, self._in_hold):
                ids = wanted - set(changed) if wanted else None
                if wanted and not ids:
                    break
                changed += await step(control.operation, ids, queues)
            if control.operation == DELETE and changed:
                kept = {path.rpartition("/")[2]: path for path in await self._keeper.sync()}
                for queue_id in kept.keys() & set(changed):
                    changed.remove(queue_id)
                    reason = f"cannot remove {kept[queue_id]}: check the owner of its folder"
        except (SpoolError, OSError) as error:
            return ControlReply(True, len(changed), reason=str(error), queue_ids=changed)
        unknown = [queue_id for queue_id in control.queue_ids if queue_id not in set(changed)]
        return ControlReply(True, len(changed), unknown=unknown, queue_ids=changed, reason=reason)

    def _all_known(self, queue_ids: list[str]) -> bool:
        """Whether these need no search for files that somebody has put there."""
        known = (self._queue.active, self._queue.deferred, self._queue.loading)
        return bool(queue_ids) and all(any(each in some for some in known) for each in queue_ids)

    async def _in_memory(self, operation: str, ids: set[str] | None, queues: tuple[str, ...]) -> list[str]:
        """Active messages and those in journals; the latter are made active, so that they end like the others."""
        if operation in (RELEASE, FLUSH):
            return []
        busy: dict[str, Message] = {}
        if INCOMING in queues:
            for number, entry in [*self._queue.incoming.numbered(), *((TAKEN, place) for place in self._queue.reading)]:
                try:
                    found = await self._read(entry)
                except (MessageGone, Damaged):
                    continue
                queue_id = found.envelope.queue_id
                if ids is not None and queue_id not in ids:
                    continue
                if number != TAKEN and self._queue.incoming.remove(number, entry):
                    busy[queue_id] = self._queue.adopt(found)
                    self._apply(operation, busy[queue_id])
                    continue
                # It was taken up while we were busy with others.
                while found.place in self._queue.reading:  # noqa: ASYNC110 - as long as reading a file takes
                    await asyncio.sleep(0.001)
                message = self._queue.active.get(queue_id)
                if message is not None and not message.deleted and queue_id not in busy:
                    busy[queue_id] = message
                    self._apply(operation, message)
        if ACTIVE in queues:
            for message in self._chosen(ids):
                if not message.deleted and message.queue_id not in busy:
                    busy[message.queue_id] = message
                    self._apply(operation, message)
        if operation in (TO_HOLD, REQUEUE):
            await self._settled(list(busy.values()))
        return list(busy)

    def _chosen(self, ids: set[str] | None) -> Iterator[Message]:
        for queue_id in list(self._queue.active) if ids is None else list(ids):
            message = self._queue.active.get(queue_id)
            if message is not None:
                yield message

    def _apply(self, operation: str, message: Message) -> None:
        if operation == DELETE:
            message.deleted = True
        elif operation == TO_HOLD:
            message.hold = True
        elif operation == REQUEUE:
            message.requeue = True
        elif operation == EXPIRE:
            message.expire = True
        self._queue.withdraw(message)

    async def _settled(self, messages: list[Message]) -> None:
        """Wait a little while for messages to leave the active queue."""
        deadline = self._clock() + SETTLE
        while self._clock() < deadline and any(  # noqa: ASYNC110 - rare, and over in a moment
            (now := self._queue.active.get(message.queue_id)) is not None and not now.pending for message in messages
        ):
            await asyncio.sleep(0.01)

    async def _in_deferred(self, operation: str, ids: set[str] | None, queues: tuple[str, ...]) -> list[str]:
        if DEFERRED not in queues or operation == RELEASE:
            return []
        deferred = self._queue.deferred
        chosen = [queue_id for queue_id in (list(deferred) if ids is None else ids) if queue_id in deferred]
        if operation == FLUSH:
            if chosen:
                self._queue.dispatch.flush_transports()
            self._queue.flushed.update(chosen)
            deferred.make_due(chosen, self._clock())
            self._queue.wake()
            return chosen
        changed = []
        for start in range(0, len(chosen), PIECE):
            files = [(each, deferred.path(each)) for each in chosen[start : start + PIECE] if each in deferred]
            changed += await self._change_files(operation, DEFERRED, files)
        return changed

    async def _in_hold(self, operation: str, ids: set[str] | None, queues: tuple[str, ...]) -> list[str]:
        if HOLD not in queues or operation in (FLUSH, TO_HOLD):
            return []
        files = await asyncio.to_thread(self._held_files, ids)
        changed = []
        for start in range(0, len(files), PIECE):
            changed += await self._change_files(operation, HOLD, files[start : start + PIECE])
        return changed

    def _held_files(self, ids: set[str] | None) -> list[tuple[str, str]]:
        if ids is None or len(ids) > 10:
            return [(name, path) for name, _, path in self._keeper.held() if ids is None or name in ids]
        found = ((name, self._keeper.find(HOLD, name)) for name in ids)
        return [(name, path) for name, path in found if path is not None]

    async def _change_files(self, operation: str, queue: str, files: list[tuple[str, str]]) -> list[str]:
        """Change messages that lie in files. Returns the ids of those that were still there."""
        changed = []
        moves: list[tuple[Place, Any]] = []
        for queue_id, path in files:
            if not await self._claim(queue_id, queue):
                # It was taken up while we were busy with others. Another command may have released it: it is delivered,
                # and taking back its recipients, without a wish what is to become of them, would lose it.
                message = self._queue.active.get(queue_id)
                if message is not None and not message.deleted and operation != RELEASE:
                    changed.append(queue_id)
                    self._apply(operation, message)
                continue
            try:
                if self._keeper.is_leaving(path):
                    continue  # another command has deleted or requeued it: it is not to come back
                if operation == DELETE:
                    self._keeper.release(Place(path, 0, 0, 0, 0), queue_id)
                    self._queue.deferred.finished(queue_id)
                    changed.append(queue_id)
                    continue
                found = await self._load(path)
                if found is None:
                    continue
                if operation == EXPIRE and queue == HOLD:
                    # It stays where it is, and is returned once it is released.
                    if found.envelope.asked == ASKED_EXPIRE:
                        continue
                    found.envelope.asked = ASKED_EXPIRE
                    await self._keeper.hold([(found.place, found.envelope)])
                    changed.append(queue_id)
                    continue
                changed.append(queue_id)
                if operation in (REQUEUE, EXPIRE):
                    self._apply(operation, self._queue.adopt(found))
                    continue
                if operation == RELEASE:
                    found.envelope.hold_reason = ""
                    found.envelope.attempt_after = self._clock()
                moves.append((found.place, found.envelope))
            finally:
                if not moves or moves[-1][1].queue_id != queue_id:
                    self._queue.loading.pop(queue_id, None)
        try:
            if moves:
                await self._move(operation, moves)
        finally:
            for _, envelope in moves:
                self._queue.loading.pop(envelope.queue_id, None)
        return changed

    async def _claim(self, queue_id: str, queue: str) -> bool:
        """Whether the message is ours to change: nobody delivers it, nobody else changes it until we are done."""
        while queue_id in self._queue.loading:  # noqa: ASYNC110 - as long as reading a file takes
            await asyncio.sleep(0.01)
        if queue_id in self._queue.active or (queue == DEFERRED and queue_id not in self._queue.deferred):
            return False
        self._queue.deferred.remove(queue_id)
        self._queue.loading[queue_id] = ""
        return True

    async def _load(self, path: str) -> Found | None:
        try:
            found: Found = await asyncio.to_thread(self._keeper.load, path)
            return found
        except MessageGone:
            return None
        except Damaged as error:
            self._set_aside(path, error)
            return None
        except OSError as error:
            # The others are not to wait for it; the next scan finds it again.
            log.warning(f"{path}: {error.strerror}: it is left as it is; check its owner, and the disk")
            return None

    def _set_aside(self, path: str, damage: Damaged) -> None:
        try:
            self._keeper.corrupt(path, str(damage))
        except OSError as error:
            log.warning(f"{damage}: it stays, as corrupt/ does not take it: {error.strerror}")

    async def _move(self, operation: str, moves: list[tuple[Place, Any]]) -> None:
        if operation == TO_HOLD:
            try:
                await self._keeper.hold(moves)
            except SpoolError:
                for place, envelope in moves:
                    self._queue.deferred.add(envelope.queue_id, envelope.attempt_after, place.path)
                raise
            return
        for (_, envelope), place in zip(moves, await self._keeper.unhold(moves), strict=True):
            self._queue.deferred.add(envelope.queue_id, envelope.attempt_after, place.path)
        self._queue.wake()

    # --- flush

    async def _flush(self) -> int:
        """Try all deferred messages now. How many."""
        await self._rescan()
        deferred = self._queue.deferred
        chosen = list(deferred)
        self._queue.dispatch.flush_transports()
        self._queue.flushed.update(chosen)
        count = deferred.make_due(chosen, self._clock())
        self._queue.wake()
        return count
