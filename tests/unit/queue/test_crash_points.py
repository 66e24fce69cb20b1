"""A crash before every disk step of a message's life, with and without a power cut: nothing acknowledged is lost.

A child process takes messages through the queue: committed, recovered, put off, put off again, held, finished, handed
over to the next qmgr. Every call that changes the disk is counted, and before call number k the child dies; k goes
from the first to the last. In a power cut, what was written but not synced is gone, and so are renames and removals
in folders that were not synced. Then the parent looks at what is there, as qmgr does at its start.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from estafeta.base import durable, log
from estafeta.mail.envelope import Envelope, Recipient, Trouble
from estafeta.queue.handover import Heard, Kept
from estafeta.queue.keeper import Found, Keeper
from estafeta.queue.spool import Reader, Spool

HEAD = b"Subject: crash\r\n\r\n"


class Disk:
    """Stands between the queue and the operating system; dies before step `last`."""

    def __init__(self, last: int, directory: str, *, power_cut: bool) -> None:
        self.steps = 0
        self._last = last
        self._power_cut = power_cut
        self._unsynced: dict[str, int] = {}
        """File -> bytes that are safe."""
        self._undo: list[tuple[str, Callable[[], None]]] = []
        """Folder -> what its entry was, for changes that are not synced."""
        self._graveyard = Path(directory, "graveyard")
        self._graveyard.mkdir()

    def install(self) -> None:
        for name in ("write", "writev", "pwrite", "ftruncate"):
            setattr(os, name, self._writing(getattr(os, name)))
        for name in ("fsync", "fdatasync"):
            setattr(os, name, self._syncing(getattr(os, name)))
        self._rename, self._unlink, self._link = os.rename, os.unlink, os.link
        os.rename = self.rename  # type: ignore[assignment]
        os.unlink = self.unlink  # type: ignore[assignment]
        real_syncfs = durable.syncfs

        def syncfs(path: str) -> None:
            self._step()
            real_syncfs(path)
            self._unsynced.clear()
            self._undo.clear()

        for module in list(sys.modules.values()):
            if getattr(module, "syncfs", None) is real_syncfs:
                module.syncfs = syncfs  # type: ignore[attr-defined]

    def _step(self) -> None:
        self.steps += 1
        if self.steps != self._last:
            return
        if self._power_cut:
            for _, undo in reversed(self._undo):
                undo()
            for path, safe in self._unsynced.items():
                if os.path.exists(path):
                    os.truncate(path, safe)
        os.kill(os.getpid(), signal.SIGKILL)

    def _writing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(fd: int, *arguments: Any) -> Any:
            path = os.readlink(f"/proc/self/fd/{fd}")
            if "/incoming/" in path or "/deferred/" in path or "/active/" in path or "/hold/" in path:
                self._step()
                self._unsynced.setdefault(path, os.fstat(fd).st_size)
            return real(fd, *arguments)

        return call

    def _syncing(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def call(fd: int) -> None:
            path = os.readlink(f"/proc/self/fd/{fd}")
            self._step()
            real(fd)
            self._unsynced.pop(path, None)
            if os.path.isdir(path):
                self._undo = [(folder, undo) for folder, undo in self._undo if folder != path]

        return call

    def rename(self, old: str, new: str) -> None:
        self._step()
        self._rename(old, new)
        if os.path.abspath(new) in self._unsynced or os.path.abspath(old) in self._unsynced:
            self._unsynced[os.path.abspath(new)] = self._unsynced.pop(os.path.abspath(old), 0)
        undo = lambda: self._rename(new, old) if os.path.exists(new) else None  # noqa: E731
        self._undo.append((os.path.dirname(os.path.abspath(new)), undo))

    def unlink(self, path: str, **options: Any) -> None:
        self._step()
        kept = str(self._graveyard / str(self.steps))
        self._link(path, kept)
        self._unlink(path)
        undo = lambda: self._link(kept, path) if not os.path.exists(path) else None  # noqa: E731
        self._undo.append((os.path.dirname(os.path.abspath(path)), undo))


async def life(directory: str, say: Callable[[str, str], None]) -> None:
    """Some messages, as many fates. `say` is what the world has been told."""
    spool = Spool(directory=directory)
    keeper = Keeper(directory=directory, sync_interval=60)
    keeper.lock()
    names = []
    for number in range(8):
        name = spool.new_id(1.0 + number / 10)
        recipients = [Recipient(f"user{index}@example.org") for index in range(2)]
        await spool.commit(Envelope(name, 1.0, "a@b.test", recipients), HEAD, (b"body %d\r\n" % number,))
        say("accepted", name)
        names.append(name)
    large = spool.new_id(2.0)
    message = await spool.begin_large(large, HEAD)
    await message.write(b"line\r\n" * 1000)
    await message.finish(Envelope(large, 1.0, "a@b.test", [Recipient("user@example.org")]))
    say("accepted", large)
    found = {each.envelope.queue_id: each async for each in keeper.recover()}

    keeper.release(found[names[0]].place, names[0])
    say("finished", names[0])
    keeper.done(names[1], [0])
    keeper.failed(names[1], {1: Trouble("5.1.1", "no such user")})
    await keeper.sync()

    def put_off(name: str) -> tuple[Any, Envelope]:
        each = found[name]
        each.envelope.attempts += 1
        each.envelope.attempt_after = 1000.0 + each.envelope.attempts
        return each.place, each.envelope

    for name in (names[2], large):
        (found[name].place,) = await keeper.defer([put_off(name)])
        (found[name].place,) = await keeper.defer([put_off(name)])
    (found[names[3]].place,) = await keeper.hold([put_off(names[3])])
    (found[names[3]].place,) = await keeper.unhold([put_off(names[3])])
    moved = await keeper.defer([put_off(names[4])])
    keeper.release(moved[0], names[4])
    say("finished", names[4])
    await spool.stop()

    # Two are handed over to the next qmgr, of one all is heard, of the other nothing; a third by that one, which ends
    # before its successor begins.
    (found[names[5]].place,) = await keeper.defer([put_off(names[5])])
    writer = await keeper.hand_over({name: Kept(found[name].place, [0, 1]) for name in names[5:7]})
    following = Keeper(directory=directory, sync_interval=60)
    following.lock()
    assert {each.envelope.queue_id for each in following.load_away()} == set(names[5:7])
    assert not {*names[5:7]} & {each.envelope.queue_id async for each in following.recover()}
    writer.add({names[5]: {0: Heard("sent", "2.0.0", "ok"), 1: Heard("bounced", "5.1.1", "no such user")}})
    say("delivered", names[5])
    writer.close()
    assert {each.queue_id for each in await following.returned()} == set(names[5:7])
    following.done(names[5], [1])
    await following.sync()
    say("reported", names[5])
    following.release(found[names[5]].place, names[5])
    say("finished", names[5])
    await following.sync()
    writer = await following.hand_over({names[7]: Kept(found[names[7]].place, [0, 1])})
    writer.add({names[7]: {0: Heard("sent", "2.0.0", "ok"), 1: Heard("bounced", "5.1.1", "no such user")}})
    say("delivered", names[7])
    writer.close()
    third = Keeper(directory=directory, sync_interval=60)
    third.lock()
    await third.close()


def run_child(directory: str, last: int, *, power_cut: bool) -> tuple[bool, list[tuple[str, str]]]:
    """(whether it came to its end, what it said)."""
    listening, saying = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            log.install(lambda level, text, program: None)
            disk = Disk(last, directory, power_cut=power_cut)
            disk.install()

            def say(what: str, name: str) -> None:
                with open(saying, "w", closefd=False) as pipe:
                    pipe.write(json.dumps([what, name]) + "\n")

            asyncio.run(life(directory, say))
            status = 0
        finally:
            os._exit(status)
    os.close(saying)
    with open(listening) as pipe:
        said = [tuple(json.loads(line)) for line in pipe]
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, "the child failed"
        return True, said
    return False, said


def look(directory: str) -> dict[str, list[Found]]:
    """What qmgr would find."""

    async def story() -> dict[str, list[Found]]:
        keeper = Keeper(directory=directory)
        keeper.lock()
        there: dict[str, list[Found]] = {}
        found = [each async for each in keeper.recover()]
        for listing in (keeper.deferred(), keeper.held()):
            found += [keeper.load(path) for _, _, path in list(listing)]
        for each in found:
            there.setdefault(each.envelope.queue_id, []).append(each)
        reader = Reader(directory=directory)
        for each in found:
            assert reader.head(each.place) == HEAD
        await keeper.close()
        return there

    return asyncio.run(story())


@pytest.mark.parametrize("power_cut", [False, True], ids=["killed", "power_cut"])
def test_nothing_acknowledged_is_lost(tmp_path: Path, power_cut: bool) -> None:
    before = log.install(lambda level, text, program: None)
    last = 0
    ended = False
    while not ended:
        last += 1
        directory = tmp_path / str(last)
        for name in ("incoming", "active", "deferred", "hold", "corrupt"):
            (directory / name).mkdir(parents=True)
        ended, said = run_child(str(directory), last, power_cut=power_cut)
        there = look(str(directory))
        accepted = {name for what, name in said if what == "accepted"}
        finished = {name for what, name in said if what == "finished"}
        assert accepted - finished <= set(there), f"lost before step {last}"
        for what, name in said:
            for each in there.get(name, []):
                if what == "delivered":
                    assert 0 in each.envelope.done, f"delivered again after a crash before step {last}"
                    assert 1 in each.failed or 1 in each.envelope.done, f"a failure is forgotten before step {last}"
                elif what == "reported":
                    assert each.envelope.done == [0, 1], f"reported again after a crash before step {last}"
                    assert not each.failed
        twice = [name for name, places in there.items() if len(places) > 1]
        assert not twice, f"in two places before step {last}: {twice}"
        assert os.listdir(directory / "corrupt") == [], f"step {last}"
        if ended:
            assert set(there) == accepted - finished
        shutil.rmtree(directory)
    log.install(before)
    assert last > 60, "the story has become shorter: does it still go through every state?"
