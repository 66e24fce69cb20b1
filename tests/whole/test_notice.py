"""Telling qmgr about new mail: over its socket while it is there, never in the way while it is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

from estafeta.mail.envelope import Envelope, Recipient
from estafeta.net.frames import Frames
from estafeta.queue.place import Place
from estafeta.services.notice import FULL, ROOM, Arrived, Held, Missed, Notice, NoticeSender, Sealed, decode

PLACE = Place("incoming/1", 0, 10, 20, 30)


def envelope(number: int) -> Envelope:
    return Envelope(f"{number:X}", 1.0, "a@b.c", [Recipient("d@e.f")])


class Listener:
    """qmgr's end: keeps what it is told."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.batches: list[list[Notice]] = []
        self.connections: list[Frames] = []
        self.server: asyncio.AbstractServer | None = None
        self.news = asyncio.Event()

    async def listen(self) -> None:
        def received(payload: bytes) -> None:
            self.batches.append(decode(payload))
            self.news.set()

        def connected() -> Frames:
            frames = Frames(received)
            self.connections.append(frames)
            return frames

        self.server = await asyncio.get_running_loop().create_unix_server(connected, self.path)

    async def die(self) -> None:
        assert self.server is not None
        self.server.close()
        for frames in self.connections:
            frames.close()
        Path(self.path).unlink(missing_ok=True)
        await asyncio.sleep(0)

    async def heard(self, count: int) -> list[Notice]:
        async with asyncio.timeout(5):
            while len(found := [notice for batch in self.batches for notice in batch]) < count:
                self.news.clear()
                await self.news.wait()
        return found


def test_notices_of_one_turn_travel_together(tmp_path: Path) -> None:
    async def run() -> None:
        listener = Listener(tmp_path / "notice")
        await listener.listen()
        sender = NoticeSender(listener.path)
        sender.arrived(PLACE, envelope(1))
        await listener.heard(1)
        for number in range(2, 12):
            sender.arrived(PLACE, envelope(number))
        sender.held(PLACE, envelope(12))
        sender.sealed("incoming/1", 12)
        found = await listener.heard(13)
        assert [len(batch) for batch in listener.batches] == [1, 12]
        assert found[0] == Arrived(PLACE, envelope(1))
        assert isinstance(found[-2], Held)
        assert found[-1] == Sealed("incoming/1", 12)
        await sender.stop()
        await listener.die()

    asyncio.run(run())


def test_a_qmgr_that_was_away_is_told_to_look_for_itself(tmp_path: Path) -> None:
    async def run() -> None:
        listener = Listener(tmp_path / "notice")
        sender = NoticeSender(listener.path, reconnect=0.02)
        sender.arrived(PLACE, envelope(1))
        await asyncio.sleep(0.05)
        await listener.listen()
        assert await listener.heard(1) == [Missed()]
        await listener.die()
        await asyncio.sleep(0.05)
        sender.arrived(PLACE, envelope(2))
        await listener.listen()
        assert await listener.heard(2) == [Missed(), Missed()]
        sender.arrived(PLACE, envelope(3))
        assert (await listener.heard(3))[2] == Arrived(PLACE, envelope(3))
        await sender.stop()
        await listener.die()

    asyncio.run(run())


def test_what_is_said_before_the_end_is_heard(tmp_path: Path) -> None:
    async def run() -> None:
        listener = Listener(tmp_path / "notice")
        await listener.listen()
        sender = NoticeSender(listener.path)
        sender.arrived(PLACE, envelope(1))
        sender.sealed("incoming/1", 1)
        await sender.stop()
        await listener.heard(2)
        await listener.die()

    asyncio.run(run())


def test_who_brings_mail_waits_while_there_is_no_room_for_it(tmp_path: Path) -> None:
    async def run() -> None:
        listener = Listener(tmp_path / "notice")
        await listener.listen()
        sender = NoticeSender(listener.path)
        sender.arrived(PLACE, envelope(1))
        await listener.heard(1)
        assert not sender.full
        (qmgr,) = listener.connections

        async def until(full: bool) -> None:
            async with asyncio.timeout(5):
                while sender.full is not full:
                    await asyncio.sleep(0.005)

        qmgr.send(FULL)
        await until(True)
        waiting = asyncio.create_task(sender.relief(1000))
        await asyncio.sleep(0)
        assert not waiting.done()
        qmgr.send(ROOM)
        await waiting
        assert not sender.full
        qmgr.send(FULL)
        await until(True)
        await sender.relief(0.001)  # patience ends before there is room
        assert sender.full
        await listener.die()
        await until(False)  # nobody says when there is room again
        await sender.stop()

    asyncio.run(run())
