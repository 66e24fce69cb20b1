"""The keeper: what may be done to queued messages, by the one process that holds the spool's lock.

qmgr is that process, or postsuper while no qmgr runs. The keeper knows which journal records are still needed, keeps
the progress journal, moves what stays to message files, and lets go of what is finished. Disk work runs in one thread,
in order, so that a mark is never written after something that depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from estafeta.base import log
from estafeta.mail.envelope import Envelope, Trouble
from estafeta.queue import handover, scan
from estafeta.queue.files import MessageFiles
from estafeta.queue.handover import Handover, HandoverWriter, Heard, Kept, Results
from estafeta.queue.journal import SUFFIX, SpoolError
from estafeta.queue.place import Place
from estafeta.queue.progress import Marks, ProgressJournal
from estafeta.queue.record import Damaged, Foreign
from estafeta.queue.segments import Segments
from estafeta.queue.spool import MessageGone, Reader

LOCK = "active/spool.lock"
WRITE_INTERVAL = 0.05
"""Seconds for which marks are collected before they are written; syncing them has its own, longer interval."""
RETRY_SYNC = 5.0
"""Seconds until marks that could not be written are tried again."""
RETRY_REMOVAL = 60.0
"""Seconds until the same for a finished file that could not be removed."""

_T = TypeVar("_T")


class SpoolBusy(Exception):
    """Another process holds the spool's lock."""


@dataclass(slots=True)
class Found:
    """A queued message. `failed` are recipients that bounced, of which the sender has not been told yet."""

    place: Place
    envelope: Envelope
    failed: dict[int, Trouble] = field(default_factory=dict)
    heard: dict[int, Heard] = field(default_factory=dict)
    """What a process before us has heard of recipients in this attempt."""
    wishes: list[str] = field(default_factory=list)
    """What it was asked to do with the message, see `handover.py`."""
    out: list[int] = field(default_factory=list)
    """Recipients that are still being delivered by order of a process before us: `returned` tells how that ended, and
    until then the message is not to be finished."""

    def recall(self) -> None:
        """Take over what the envelope says of recipients whose sender could not be told before."""
        for index, told in (self.envelope.unreported or {}).items():
            if told.status == "bounced":
                self.failed.setdefault(index, Trouble(told.dsn, told.text, told.remote_mta, told.diagnostic))
            else:
                self.heard[index] = told


@dataclass(slots=True)
class Returned:
    """What became of recipients of a message that were `out`. Nothing is known of those not in `heard`."""

    queue_id: str
    recipients: list[int]
    heard: dict[int, Heard]
    last: bool
    """Nobody else works on the message now; it may be finished."""


class Keeper:
    """One a queue directory. Call `lock`, then `recover`, then the rest, from one event loop."""

    def __init__(
        self,
        *,
        directory: str = ".",
        hash_names: Sequence[str] = ("deferred",),
        hash_depth: int = 1,
        sync_interval: float = 1.0,
    ) -> None:
        self._directory = directory
        self._files = MessageFiles(directory=directory, hash_names=hash_names, hash_depth=hash_depth)
        self._segments = Segments()
        self._progress = ProgressJournal(directory=directory)
        self._sync_interval = sync_interval
        self._unwritten = Marks()
        self._unsynced = False
        self._last_sync = 0.0
        self._state = Marks()
        """Marks of messages that are still queued: what a new progress file begins with (released: see segments)."""
        self._large: set[str] = set()
        self._foreign: set[str] = set()
        """Files that are not ours: they are left alone, and reported once."""
        self._unlinks: list[str] = []
        self._leaving: set[str] = set()
        """Finished files, until they are really gone."""
        self._handovers: list[Handover] = []
        """Those of processes that still live."""
        self._heard: Results = {}
        self._wishes: dict[str, list[str]] = {}
        self._thread = ThreadPoolExecutor(1, "keeper")
        self._timer: asyncio.TimerHandle | None = None
        self._lock_fd = -1

    # --- beginning

    def lock(self) -> None:
        """Take the spool, replay the progress journal and what earlier processes have left in handovers.

        Raises SpoolBusy if another process has it, SpoolError if the disk refuses; in both cases it may be tried again.
        Messages that `away` tells of are left alone by all else here.
        """
        fd = os.open(os.path.join(self._directory, LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise SpoolBusy(f"{LOCK}: another process works this queue") from None
        try:
            self._begin()
        except OSError as error:
            os.close(fd)
            raise SpoolError(error.errno, f"write to active/: {error.strerror}") from error
        self._lock_fd = fd
        for _, _, path in self._files.listing("active"):
            self._leave_alone(path)

    async def recover(self) -> AsyncIterator[Found]:
        """Every message in incoming/ that is not known yet, with its progress. Call it again to look for more.

        Damaged records go to corrupt/. A file that cannot be read (it has another owner, or the disk errs) is passed
        over with a warning: the next call tries it again, and it keeps no other mail waiting.
        """
        segments, large, drafts = await self._run(scan.incoming, self._directory)
        await self._run(scan.remove_litter, self._directory, drafts)
        for path in [*segments, *large]:
            try:
                if path.endswith(SUFFIX):
                    everything = await self._recover_segment(path)
                else:
                    everything = await self._run(self._recover_large, path)
            except OSError as error:
                log.warning(f"{path}: {error.strerror}: the mail in it waits; check its owner, and the disk")
                continue
            for found in everything:
                yield found

    async def _recover_segment(self, path: str) -> list[Found]:
        if self._segments.is_complete(path):
            return []
        held = await self._run(scan.scan_segment, self._directory, path)
        if held.damaged:
            await self._run(scan.keep_damaged, self._directory, path, held.damaged)
        new = [each for each in held.messages if self._segments.arrived(path, each[0].offset)]
        moved = await self._run(self._moved_on, [envelope.queue_id for _, envelope in new])
        everything = []
        for place, envelope in new:
            if envelope.queue_id in moved:
                self.release(place)  # a crash came between the move and the release
            else:
                everything.append(self._with_progress(place, envelope))
        if held.total >= 0 and self._segments.sealed(path, held.total):
            self._drop_segment(path)
        return everything

    def _moved_on(self, queue_ids: list[str]) -> set[str]:
        """Those of these messages that are in deferred/ or hold/ already: the file there counts."""
        return {name for name in queue_ids if self._files.stands("deferred", name) or self._files.stands("hold", name)}

    def _recover_large(self, path: str) -> list[Found]:
        """None or one."""
        if path in self._large or path in self._leaving:
            return []
        try:
            place, envelope = self._message(path)
        except MessageGone:
            return []
        except Foreign:
            self._leave_alone(path)
            return []
        except Damaged as error:
            self.corrupt(path, str(error))
            return []
        if self._moved_on([envelope.queue_id]):
            self._files.unlink(path)
            return []
        self._large.add(path)
        return [self._with_progress(place, envelope)]

    def _begin(self) -> None:
        """Read what was, write it anew, so that only one file matters."""
        for each in self._handovers:
            each.close()  # of an attempt that the disk refused
        self._handovers = []
        marks = self._progress.replay()
        over = []
        for each in handover.find(self._directory):
            if each.ended():
                each.read()
                over.append(each)
                marks.add(_final(each.results))
            else:
                self._handovers.append(each)
            self._remember(each)
        for path, offsets in marks.released.items():
            if os.path.exists(os.path.join(self._directory, path)):
                for offset in offsets:
                    self._segments.release(path, offset)
        self._state = Marks(done=marks.done, failed={name: some for name, some in marks.failed.items() if some})
        for each in over:
            for queue_id, heard in each.results.items():
                self._heard.setdefault(queue_id, {}).update(heard)
        self._progress.begin(self._snapshot())
        for each in over:
            each.remove()
        for each in self._handovers:
            for kept in each.kept.values():
                self.arrived(kept.place)  # so that neither a scan nor a notice brings it

    def _with_progress(self, place: Place, envelope: Envelope) -> Found:
        queue_id = envelope.queue_id
        done = self._state.done.get(queue_id)
        if done:
            envelope.done = sorted({*envelope.done, *done})
        failed = self._state.failed.get(queue_id, {})
        settled = set(envelope.done) if failed else ()
        found = Found(place, envelope, {index: trouble for index, trouble in failed.items() if index not in settled})
        found.recall()
        if self._heard or self._wishes or self._handovers:
            found.heard = {**found.heard, **self._heard.get(queue_id, {})}
            found.wishes = self._wishes.get(queue_id, [])
            found.out = self._out(queue_id)
        return found

    # --- handovers

    def _remember(self, each: Handover) -> None:
        for queue_id, kept in each.kept.items():
            if kept.wishes:
                self._wishes[queue_id] = sorted({*self._wishes.get(queue_id, []), *kept.wishes})
            if kept.heard:
                self._heard.setdefault(queue_id, {}).update(kept.heard)

    def _out(self, queue_id: str) -> list[int]:
        return sorted(
            index for each in self._handovers if queue_id in each.kept for index in each.kept[queue_id].recipients
        )

    @property
    def away(self) -> set[str]:
        """Ids of messages that a process before us still works on."""
        return {queue_id for each in self._handovers for queue_id in each.kept}

    def load_away(self) -> list[Found]:
        """Those messages. Blocks. What cannot be read is left alone, with a warning, until the next start."""
        found: dict[str, Found] = {}
        reader = Reader(directory=self._directory)
        for each in self._handovers:
            for queue_id, kept in each.kept.items():
                try:
                    if kept.place.path.endswith(SUFFIX):
                        found[queue_id] = self._with_progress(kept.place, reader.envelope(kept.place))
                    else:
                        found[queue_id] = self._with_progress(*self._files.load(kept.place.path))
                except (OSError, Damaged, Foreign) as error:
                    log.warning(f"{queue_id}: {kept.place.path}: {error}: left alone until the next start")
        reader.close()
        return list(found.values())

    async def returned(self) -> list[Returned]:
        """What came back since the last call, because the process that waited for it has ended. It is marked.

        Raises SpoolError or OSError: what has not come back does so at the next call.
        """
        back: list[Returned] = []
        for each in list(self._handovers):
            if not await self._run(each.ended):
                continue
            await self._run(each.read)
            self._state.add(_final(each.results))
            self._unwritten.add(_final(each.results))
            await self.sync()
            await self._run(each.remove)
            self._handovers = [other for other in self._handovers if other is not each]
            for queue_id, kept in each.kept.items():
                heard = each.results.get(queue_id, {})
                back.append(Returned(queue_id, kept.recipients, heard, queue_id not in self.away))
        return back

    async def hand_over(self, kept: dict[str, Kept]) -> HandoverWriter:
        """Give the spool to the next process, but for what is in `kept`.

        Durable on return; the keeper is closed then, and the writer takes what is still to come. Raises SpoolError:
        then nothing has changed.
        """
        await self.sync()
        try:
            writer = await self._run(lambda: HandoverWriter(kept, directory=self._directory))
        except OSError as error:
            raise SpoolError(error.errno, f"write to active/: {error.strerror}") from error
        await self.close()
        return writer

    # --- what happens to messages

    def arrived(self, place: Place) -> bool:
        """A notice told of this record. False if it is known already."""
        if place.path.endswith(SUFFIX):
            return self._segments.arrived(place.path, place.offset)
        if place.path in self._large:
            return False
        self._large.add(place.path)
        return True

    def sealed(self, segment: str, records: int) -> None:
        """A notice told that the segment is complete."""
        if self._segments.sealed(segment, records):
            self._drop_segment(segment)

    def done(self, queue_id: str, indices: list[int]) -> None:
        """These recipients need nothing more."""
        marks = Marks(done={queue_id: list(indices)})
        self._state.add(marks)
        self._mark(marks)

    def failed(self, queue_id: str, troubles: dict[int, Trouble]) -> None:
        """These recipients are to be reported to the sender."""
        self._state.failed.setdefault(queue_id, {}).update(troubles)
        self._mark(Marks(failed={queue_id: dict(troubles)}))

    def release(self, place: Place, queue_id: str = "") -> None:
        """The message is finished: its file goes, or its segment when all others in it are finished."""
        self._forget(queue_id)
        if not place.path.endswith(SUFFIX):
            self._unlink(place.path)
            self._large.discard(place.path)  # in this order: a scan, in its thread, may look just now
            return
        if self._segments.release(place.path, place.offset):
            self._drop_segment(place.path)
            return
        unwritten = self._unwritten.released.get(place.path)
        if unwritten is None:
            self._unwritten.released[place.path] = [place.offset]
            self._arm(WRITE_INTERVAL)
        else:
            unwritten.append(place.offset)

    async def defer(self, moves: list[tuple[Place, Envelope]]) -> list[Place]:
        """Put messages into deferred/ with these envelopes, due at their `attempt_after`. Durable on return.

        Raises SpoolError: then all are where they were.
        """
        return await self._store("deferred", moves)

    async def hold(self, moves: list[tuple[Place, Envelope]]) -> list[Place]:
        """Put messages into hold/, from which only an operator takes them. Raises SpoolError."""
        return await self._store("hold", moves)

    async def save(self, moves: list[tuple[Place, Envelope]]) -> list[Place]:
        """Put finished messages into saved/, where nothing of ours looks at them again. Raises SpoolError."""
        return await self._store("saved", moves)

    async def unhold(self, moves: list[tuple[Place, Envelope]]) -> list[Place]:
        """Put held messages into deferred/. Raises SpoolError."""
        return await self._store("deferred", moves)

    async def _store(self, queue: str, moves: list[tuple[Place, Envelope]]) -> list[Place]:
        try:
            places = await self._run(self._files.store, queue, moves)
        except OSError as error:
            raise SpoolError(error.errno, f"write to {queue}/: {error.strerror}") from error
        for (place, envelope), new_place in zip(moves, places, strict=True):
            if place.path == new_place.path:
                self._forget(envelope.queue_id)
            elif place.path.endswith(SUFFIX) or new_place.body != place.body or new_place.envelope != place.envelope:
                self.release(place, envelope.queue_id)  # it was copied; only now may the original go
            else:
                self._large.discard(place.path)
                self._forget(envelope.queue_id)
        return places

    # --- message files

    def deferred(self) -> Iterator[tuple[str, float, str]]:
        """(queue id, due, path) of every deferred message. Blocks: run it in a thread where there may be many."""
        away = self.away
        return (
            each for each in self._files.listing("deferred") if each[2] not in self._foreign and each[0] not in away
        )

    @property
    def leaving(self) -> set[str]:
        """Ids of the messages that are finished and whose files are still there: they go with the next sync."""
        return {path.rpartition("/")[2] for path in self._leaving}

    def deferred_path(self, queue_id: str) -> str:
        """Where the file of a deferred message belongs; one that was put there by hand may be elsewhere."""
        return self._files.path("deferred", queue_id)

    def make_due(self, paths: list[str], now: float) -> None:
        """Have whoever reads deferred/ next try these at once: not remembered elsewhere, and not synced. Blocks."""
        for path in paths:
            with contextlib.suppress(FileNotFoundError):  # released, or taken out by somebody, in the meantime
                os.utime(path, (now, now))

    def is_leaving(self, path: str) -> bool:
        """Whether the message in this file is finished: the file goes with the next sync."""
        return path in self._leaving

    def held(self) -> Iterator[tuple[str, float, str]]:
        """(queue id, due, path) of every held message. Blocks."""
        return (each for each in self._files.listing("hold") if each[2] not in self._foreign)

    def find(self, queue: str, queue_id: str) -> str | None:
        """The path of a message file by its id. Blocks."""
        return self._files.find(queue, queue_id)

    def load(self, path: str) -> Found:
        """Read a message file. Raises MessageGone, Damaged (then call `corrupt`). Blocks as long as reading takes.

        A file that is not ours raises MessageGone, after a warning: it is as if it were not there.
        """
        try:
            return self._with_progress(*self._message(path))
        except Foreign as error:
            self._leave_alone(path)
            raise MessageGone(0, str(error), path) from error

    def _message(self, path: str) -> tuple[Place, Envelope]:
        """What a message file holds. Its id is the file's name, as in Postfix: a copy that somebody has made is a
        message of its own, and does not mix with the one that it was made of."""
        place, envelope = self._files.load(path)
        envelope.queue_id = os.path.basename(path)
        return place, envelope

    def _leave_alone(self, path: str) -> None:
        if path not in self._foreign:
            self._foreign.add(path)
            log.warning(f"{path}: not a queue file of ours: left alone (mail of Postfix: start Postfix to deliver it)")

    def corrupt(self, path: str, reason: str = "damaged") -> None:
        """Set a damaged file aside; nothing of ours ever deletes it."""
        target = self._files.to_corrupt(path)
        log.warning(f"{reason}: saved as {target}")

    # --- durability

    async def sync(self) -> list[str]:
        """Write all marks now, and sync. Raises SpoolError; the marks are kept and tried again.

        Returns the paths of finished files that could not be removed.
        """
        return await self._flush(sync=True)

    async def _flush(self, *, sync: bool) -> list[str]:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        marks, self._unwritten = self._unwritten, Marks()
        unlinks, self._unlinks = self._unlinks, []
        snapshot = self._snapshot() if self._progress.full else None
        try:
            await self._run(self._write, marks, snapshot, sync)
            kept = await self._run(self._remove, unlinks)
        except OSError as error:
            marks.add(self._unwritten)
            self._unwritten = marks
            self._unlinks = unlinks + self._unlinks
            self._arm(RETRY_SYNC)
            raise SpoolError(error.errno, f"write to active/: {error.strerror}") from error
        self._leaving.difference_update(unlinks)
        if kept:
            self._leaving.update(kept)
            self._unlinks = kept + self._unlinks
            self._arm(RETRY_REMOVAL)
        if sync:
            self._last_sync = asyncio.get_running_loop().time()
            self._unsynced = False
        elif marks:
            self._unsynced = True
            self._arm(self._sync_interval)
        return kept

    async def close(self) -> None:
        """Write what is unwritten and give the lock back."""
        await self.sync()
        if self._timer is not None:
            self._timer.cancel()
        self._thread.shutdown()
        self._progress.close()
        for each in self._handovers:
            each.close()
        self._handovers = []
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _write(self, marks: Marks, snapshot: Marks | None, sync: bool) -> None:
        if marks:
            self._progress.write(marks)
        if sync:
            self._progress.sync()
        if snapshot is not None:
            self._progress.begin(snapshot)

    def _remove(self, paths: list[str]) -> list[str]:
        """Those of these files that could not be removed; they are no reason to keep others."""
        kept = []
        for path in paths:
            try:
                self._files.unlink(path)
            except OSError as error:
                kept.append(path)
                log.warning(
                    f"remove {path}: {error.strerror}: it is finished, and if it stays, it is delivered again after "
                    "a restart: check the owner of its folder"
                )
        return kept

    def _snapshot(self) -> Marks:
        return Marks(
            released=self._segments.released(),
            done={name: list(some) for name, some in self._state.done.items()},
            failed={name: dict(some) for name, some in self._state.failed.items()},
        )

    def _mark(self, marks: Marks) -> None:
        self._unwritten.add(marks)
        self._arm(WRITE_INTERVAL)

    def _forget(self, queue_id: str) -> None:
        self._state.done.pop(queue_id, None)
        self._state.failed.pop(queue_id, None)
        if self._heard or self._wishes:
            self._heard.pop(queue_id, None)
            self._wishes.pop(queue_id, None)

    def _drop_segment(self, path: str) -> None:
        self._segments.forget(path)
        self._unwritten.released.pop(path, None)
        self._unlink(path)

    def _unlink(self, path: str) -> None:
        self._leaving.add(path)
        self._unlinks.append(path)
        self._arm(WRITE_INTERVAL)

    def _arm(self, delay: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None and self._timer.when() > loop.time() + delay:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = loop.call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._syncing = asyncio.ensure_future(self._sync_or_warn())

    async def _sync_or_warn(self) -> None:
        due = asyncio.get_running_loop().time() - self._last_sync >= self._sync_interval
        try:
            await self._flush(sync=due)
        except SpoolError as error:
            log.warning(f"{error}: will try again; a crash before that repeats deliveries")

    async def _run(self, work: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def _final(results: Results) -> Marks:
    """Those results that nothing can change."""
    marks = Marks()
    for queue_id, heard in results.items():
        done = [index for index, each in heard.items() if each.status == "sent"]
        if done:
            marks.done[queue_id] = done
        failed = {index: each for index, each in heard.items() if each.status == "bounced"}
        if failed:
            marks.failed[queue_id] = {
                index: Trouble(each.dsn, each.text, each.remote_mta, each.diagnostic) for index, each in failed.items()
            }
    return marks
