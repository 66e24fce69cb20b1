"""Handing messages over to the next qmgr while they are being delivered."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from estafeta.base import log
from estafeta.base.durable import write_all
from estafeta.mail.envelope import Envelope, Recipient, Trouble
from estafeta.queue import handover
from estafeta.queue.handover import DELETE, HandoverWriter, Heard, Kept
from estafeta.queue.journal import SpoolError
from estafeta.queue.keeper import Found, Keeper, Returned
from estafeta.queue.place import Place
from estafeta.queue.spool import Spool

HEAD = b"Subject: test\r\n\r\n"
SENT = Heard("sent", "2.0.0", "ok")
LATER = Heard("deferred", "4.7.1", "greylisted", "dns; mx.example")
NEVER = Heard("bounced", "5.1.1", "no such user")


class Old:
    """A qmgr with three messages, of four recipients each, which is replaced."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.keeper = Keeper(directory=directory, sync_interval=60)
        self.names: list[str] = []
        self.found: dict[str, Found] = {}

    async def fill(self) -> None:
        spool = Spool(directory=self.directory)
        self.keeper.lock()
        for _ in range(3):
            name = spool.new_id(1.5)
            recipients = [Recipient(f"user{index}@example.org") for index in range(4)]
            await spool.commit(Envelope(name, 1.5, "a@b.test", recipients), HEAD, (b"body\r\n",))
            self.names.append(name)
        await spool.stop()
        self.found = {each.envelope.queue_id: each async for each in self.keeper.recover()}

    def kept(self, number: int, *recipients: int, **more: object) -> dict[str, Kept]:
        name = self.names[number]
        return {name: Kept(self.found[name].place, list(recipients), **more)}  # type: ignore[arg-type]


async def recovered(keeper: Keeper) -> dict[str, Found]:
    return {found.envelope.queue_id: found async for found in keeper.recover()}


def files(directory: str) -> list[Path]:
    return list(Path(directory, "active").glob("*.handover"))


def tell(directory: str, case: Callable[[Old, Keeper], Awaitable[Keeper | None]]) -> None:
    """`case(old, next keeper)`, which has not locked yet; returns another one if that has the spool in the end."""

    async def story() -> None:
        old = Old(directory)
        await old.fill()
        following = Keeper(directory=directory, sync_interval=60)
        last = await case(old, following) or following
        await last.close()

    asyncio.run(asyncio.wait_for(story(), 20))


def test_what_is_handed_over_is_left_alone_until_the_old_process_ends(queue_directory: str) -> None:
    async def case(old: Old, following: Keeper) -> None:
        old.keeper.done(old.names[0], [0])
        writer = await old.keeper.hand_over(old.kept(0, 1, 2, heard={3: LATER}, wishes=[DELETE]))
        following.lock()
        assert set(await recovered(following)) == set(old.names[1:])
        assert not following.arrived(old.found[old.names[0]].place), "a notice that comes late changes nothing"
        (away,) = following.load_away()
        assert (away.envelope.queue_id, away.envelope.done, away.out) == (old.names[0], [0], [1, 2])
        assert (away.heard, away.wishes) == ({3: LATER}, [DELETE])
        writer.add({old.names[0]: {1: NEVER}})
        assert await following.returned() == []
        assert following.away == {old.names[0]}
        writer.close()
        assert await following.returned() == [Returned(old.names[0], [1, 2], {1: NEVER}, True)]
        assert following.away == set()
        assert files(queue_directory) == []
        assert await following.returned() == []

    tell(queue_directory, case)


def test_what_was_heard_is_marked_before_the_file_goes(queue_directory: str) -> None:
    async def case(old: Old, following: Keeper) -> Keeper:
        writer = await old.keeper.hand_over(old.kept(0, 0, 1, 2))
        following.lock()
        writer.add({old.names[0]: {0: SENT, 1: NEVER, 2: LATER}})
        writer.close()
        await following.returned()
        await following.close()
        third = Keeper(directory=queue_directory)
        third.lock()
        found = (await recovered(third))[old.names[0]]
        assert found.envelope.done == [0]
        assert found.failed == {1: Trouble("5.1.1", "no such user")}
        assert found.heard == {}, "what was put off is tried again: it was with the second process when that ended"
        return third

    tell(queue_directory, case)


def test_a_handover_whose_process_is_gone_counts_at_once(queue_directory: str) -> None:
    async def case(old: Old, following: Keeper) -> None:
        kept = {**old.kept(0, 0, 1, 2, heard={3: LATER}), **old.kept(1, 3)}
        writer = await old.keeper.hand_over(kept)
        writer.add({old.names[0]: {0: SENT, 1: NEVER}})
        writer.add({old.names[0]: {2: LATER}})
        writer.close()
        following.lock()
        assert following.away == set()
        assert files(queue_directory) == []
        found = await recovered(following)
        first, second = found[old.names[0]], found[old.names[1]]
        assert first.envelope.done == [0]
        assert set(first.failed) == {1}
        assert {index for index, each in first.heard.items() if each.status == "deferred"} == {2, 3}
        assert first.out == second.out == []
        assert (second.envelope.done, second.failed, second.heard) == ([], {}, {})
        (place,) = await following.defer([(first.place, first.envelope)])
        assert following.load(place.path).heard == {}, "the attempt is over"

    tell(queue_directory, case)


def test_a_deferred_message_that_is_handed_over_is_not_listed(queue_directory: str) -> None:
    async def case(old: Old, following: Keeper) -> None:
        moves = [(old.found[name].place, old.found[name].envelope) for name in old.names[:2]]
        places = await old.keeper.defer(moves)
        writer = await old.keeper.hand_over({old.names[0]: Kept(places[0], [0])})
        following.lock()
        assert [name for name, _, _ in following.deferred()] == [old.names[1]]
        (away,) = following.load_away()
        assert away.place == places[0]
        writer.close()
        await following.returned()
        assert {name for name, _, _ in following.deferred()} == set(old.names[:2])

    tell(queue_directory, case)


def test_a_report_that_was_not_synced_does_not_count_and_earlier_ones_do(queue_directory: str) -> None:
    async def case(old: Old, following: Keeper) -> None:
        writer = await old.keeper.hand_over(old.kept(0, 0, 1))
        writer.add({old.names[0]: {0: SENT}})
        whole = files(queue_directory)[0].stat().st_size
        writer.add({old.names[0]: {1: SENT}})
        writer.close()
        os.truncate(files(queue_directory)[0], whole + 9)
        following.lock()
        assert (await recovered(following))[old.names[0]].envelope.done == [0]

    tell(queue_directory, case)


def test_a_handover_without_a_whole_beginning_keeps_nothing_back(queue_directory: str) -> None:
    async def case(old: Old, following: Keeper) -> None:
        writer = await old.keeper.hand_over(old.kept(0, 0))
        writer.close()
        os.truncate(files(queue_directory)[0], 5)
        following.lock()
        assert set(await recovered(following)) == set(old.names)
        assert files(queue_directory) == []

    tell(queue_directory, case)


def test_two_processes_may_deliver_to_recipients_of_one_message(queue_directory: str) -> None:
    async def case(old: Old, following: Keeper) -> Keeper:
        first = await old.keeper.hand_over(old.kept(0, 0))
        following.lock()
        following.load_away()
        second = await following.hand_over(old.kept(0, 1))
        third = Keeper(directory=queue_directory)
        third.lock()
        (away,) = third.load_away()
        assert away.out == [0, 1]
        second.add({old.names[0]: {1: SENT}})
        second.close()
        assert await third.returned() == [Returned(old.names[0], [1], {1: SENT}, False)]
        first.close()
        assert await third.returned() == [Returned(old.names[0], [0], {}, True)]
        return third

    tell(queue_directory, case)


def test_a_disk_that_takes_no_handover_leaves_the_spool_with_the_old_process(
    queue_directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, buffers: list[bytes]) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def story() -> None:
        old = Old(queue_directory)
        await old.fill()
        monkeypatch.setattr(handover, "write_all", full)
        with pytest.raises(SpoolError):
            await old.keeper.hand_over(old.kept(0, 0))
        assert files(queue_directory) == []
        monkeypatch.undo()
        old.keeper.done(old.names[0], [0])
        await old.keeper.close()

    asyncio.run(asyncio.wait_for(story(), 20))


def test_a_failed_write_leaves_the_reports_before_it_and_those_after_it(
    queue_directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = write_all

    def half(fd: int, buffers: list[bytes]) -> int:
        real(fd, [buffers[0][:7]])
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = HandoverWriter({"A1": Kept(Place("incoming/1.journal", 0, 1, 1, 1), [0, 1, 2])}, directory=queue_directory)
    writer.add({"A1": {0: SENT}})
    monkeypatch.setattr(handover, "write_all", half)
    with pytest.raises(OSError, match="No space"):
        writer.add({"A1": {1: SENT}})
    monkeypatch.undo()
    writer.add({"A1": {2: LATER}})
    (found,) = handover.find(queue_directory)
    assert not found.ended()
    assert found.results == {"A1": {0: SENT, 2: LATER}}
    writer.close()
    assert found.ended()
    found.close()


def test_a_message_that_cannot_be_read_is_left_alone(queue_directory: str) -> None:
    lines: list[str] = []
    before = log.install(lambda level, text, program: lines.append(text))

    async def case(old: Old, following: Keeper) -> None:
        gone = {"F00": Kept(Place("deferred/F/F00", 0, 1, 1, 1), [0])}
        writer = await old.keeper.hand_over({**gone, **old.kept(0, 0)})
        following.lock()
        assert [found.envelope.queue_id for found in following.load_away()] == [old.names[0]]
        writer.close()

    tell(queue_directory, case)
    log.install(before)
    assert any(line.startswith("F00: deferred/F/F00") for line in lines)
