"""Maildir deliveries made durable together.

A delivery is reported only when a power cut cannot undo it. That takes two steps in this order: the bytes of the file
durable, then its name in new/ durable; the other way round, a crash could show a message that is empty or cut. One
fsync each costs several hundred microseconds a message; so one thread syncs for all, in cycles:

    writers      write drafts under tmp/, each as its mailbox's owner
    the syncer   1. sync: the drafts written so far, and the names given in the cycle before
                 2. rename those drafts into new/
                 3. report those of the cycle before

Under load a message takes part in two syncs and shares both with all the others. Where few are on the way, one fsync
for each file and folder is cheaper than syncing the file system, and is done instead; with estafeta_mailbox_sync =
file, always.

When a sync fails, nothing of it is taken for delivered: drafts are removed, and messages that have their name already
are put off, so they may arrive twice, but never not at all.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from queue import Empty, Queue, SimpleQueue
from typing import TypeVar

from estafeta.base.durable import fsync_folder, syncfs_of
from estafeta.store import maildir
from estafeta.store.identity import Identity
from estafeta.store.maildir import Draft
from estafeta.store.problem import MailboxProblem

fsync_file = os.fsync
FEW = 2
"""Up to so many messages at a time are made durable by fsync; more by one syncfs."""
CHUNK = 16
"""How many deliveries a writer takes at a time, and hands to the syncer together."""
CHUNKS = 16
"""How many chunks may wait for the syncer. Each draft is an open file."""
MOST = 512
"""Drafts in one cycle."""
WRITERS = 1
"""Writing threads in each process: a second one only waits for the interpreter (docs/performance.md)."""


class Parcel:
    """One delivery. `pieces` gives the content, ready for the disk, and is called in a thread."""

    __slots__ = ("draft", "error", "folder", "future", "gid", "limit", "pieces", "uid")

    def __init__(
        self,
        folder: str,
        pieces: Callable[[], Iterable[bytes]],
        uid: int,
        gid: int,
        limit: int,
        future: asyncio.Future[None],
    ) -> None:
        self.folder = folder
        self.pieces = pieces
        self.uid = uid
        self.gid = gid
        self.limit = limit
        self.future = future
        self.draft: Draft | None = None
        self.error: BaseException | None = None


class Depot:
    """One a process; its threads start with the first delivery. Needs a running event loop."""

    def __init__(self, *, batch: bool = True, writers: int = WRITERS) -> None:
        self._loop = asyncio.get_running_loop()
        self._batch = batch
        self._count = writers
        self._todo: SimpleQueue[Parcel | None] = SimpleQueue()
        self._written: Queue[list[Parcel]] = Queue(CHUNKS)
        self._threads: list[threading.Thread] = []

    async def put(
        self, folder: str, pieces: Callable[[], Iterable[bytes]], *, uid: int, gid: int, limit: int = 0
    ) -> None:
        """Deliver to the Maildir `folder` (it ends in `/`) as `uid` and `gid`; on stable storage when this returns.

        `limit`: largest size in bytes, 0 for none. Raises MailboxProblem, identity.NotAllowed, or what `pieces` raises;
        nothing is in the mailbox then, unless the disk failed.
        """
        if not self._threads:
            self._start()
        future: asyncio.Future[None] = self._loop.create_future()
        self._todo.put(Parcel(folder, pieces, uid, gid, limit, future))
        await future

    async def close(self) -> None:
        """Finish what was begun and end the threads."""
        threads, self._threads = self._threads, []
        if threads:
            self._todo.put(None)
        for thread in threads:
            await asyncio.to_thread(thread.join)
        self._todo = SimpleQueue()

    def _start(self) -> None:
        self._threads = [
            threading.Thread(target=self._write_all, name=f"mailbox writer {number}", daemon=True)
            for number in range(self._count)
        ]
        self._threads.append(threading.Thread(target=self._sync_all, name="mailbox sync", daemon=True))
        for thread in self._threads:
            thread.start()

    # --- in the writers

    def _write_all(self) -> None:
        identity = Identity()
        while (first := self._todo.get()) is not None:
            chunk = [first]
            ending = False
            try:
                while len(chunk) < CHUNK and not ending:
                    following = self._todo.get_nowait()
                    if following is None:
                        ending = True
                    else:
                        chunk.append(following)
            except Empty:
                pass
            for parcel in chunk:
                _attempt(parcel, _write, identity)
            identity.itself()
            self._written.put(chunk)
            if ending:
                break
        # The next writer hears of the end only now: when the last one has heard, all is written.
        self._todo.put(None)
        self._written.put([])

    # --- in the syncer

    def _sync_all(self) -> None:
        identity = Identity()
        named: list[Parcel] = []
        writing = self._count
        while writing or named:
            drafts: list[Parcel] = []
            try:
                while len(drafts) < MOST:
                    chunk = self._written.get(block=not (drafts or named or not writing))
                    writing -= not chunk
                    drafts += chunk
            except Empty:
                pass
            self._cycle(drafts, named, identity)
            named = [parcel for parcel in drafts if parcel.error is None]

    def _cycle(self, drafts: list[Parcel], named: list[Parcel], identity: Identity) -> None:
        good = [parcel for parcel in drafts if parcel.error is None]
        self._sync(good, named)
        for parcel in good:
            _attempt(parcel, _publish, identity)
        identity.itself()
        for parcel in named:
            os.close(_draft(parcel).fd)
        finished = [parcel for parcel in drafts if parcel.error is not None]
        for parcel in finished:
            if parcel.draft is not None:
                os.close(parcel.draft.fd)
        finished += named
        if finished:
            self._loop.call_soon_threadsafe(_settle, finished)

    def _sync(self, drafts: list[Parcel], named: list[Parcel]) -> None:
        """Make the bytes of `drafts` and the names of `named` durable; those that fail get their error."""
        by_file = not self._batch or len(drafts) + len(named) <= FEW
        devices: dict[int, list[Parcel]] = {}
        folders: dict[str, list[Parcel]] = {}
        for parcel in drafts:
            if by_file:
                _together([parcel], fsync_file, _draft(parcel).fd)
            else:
                devices.setdefault(_draft(parcel).device, []).append(parcel)
        for parcel in named:
            draft = _draft(parcel)
            if by_file and not draft.made_folders:
                folders.setdefault(os.path.dirname(draft.final), []).append(parcel)
            else:
                devices.setdefault(draft.device, []).append(parcel)
        for folder, parcels in folders.items():
            _together(parcels, fsync_folder, folder)
        for parcels in devices.values():
            _together(parcels, syncfs_of, _draft(parcels[0]).fd)


def _write(parcel: Parcel, identity: Identity) -> None:
    identity.become(parcel.uid, parcel.gid)
    parcel.draft = maildir.write(parcel.folder, parcel.pieces(), parcel.limit, parcel.uid, parcel.gid)


def _publish(parcel: Parcel, identity: Identity) -> None:
    draft = _draft(parcel)
    identity.become(parcel.uid, parcel.gid)
    if parcel.error is not None:
        maildir.discard(draft)
        return
    try:
        maildir.publish(draft, parcel.uid, parcel.gid)
    except MailboxProblem:
        maildir.discard(draft)
        raise


def _attempt(parcel: Parcel, step: Callable[[Parcel, Identity], None], identity: Identity) -> None:
    try:
        step(parcel, identity)
    except BaseException as error:  # it is raised again where the delivery waits
        parcel.error = parcel.error or error


_Target = TypeVar("_Target", int, str)


def _together(parcels: list[Parcel], sync: Callable[[_Target], None], target: _Target) -> None:
    try:
        sync(target)
    except OSError as error:
        for parcel in parcels:
            parcel.error = MailboxProblem.writing(error)


def _draft(parcel: Parcel) -> Draft:
    assert parcel.draft is not None
    return parcel.draft


def _settle(parcels: list[Parcel]) -> None:
    for parcel in parcels:
        if parcel.future.done():  # nobody waits any more
            continue
        if parcel.error is not None:
            parcel.future.set_exception(parcel.error)
        else:
            parcel.future.set_result(None)
