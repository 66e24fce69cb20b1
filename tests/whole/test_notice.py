"""What qmgr hears of new mail, whatever becomes of the connection to it."""

import asyncio
from pathlib import Path

from estafeta.mail.envelope import Envelope
from estafeta.net.frames import Frames
from estafeta.queue.place import Place
from estafeta.services import notice
from estafeta.services.notice import Arrived, Missed, NoticeSender

PLACE = Place("incoming/1.journal", 0, 1, 1, 1)


def envelope(number: int) -> Envelope:
    return Envelope(f"Q{number}", 1.0, "", [])


class Listener:
    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.heard: list[object] = []
        self.clients: list[Frames] = []
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: Frames(lambda payload: self.heard.extend(notice.decode(payload)), None, self.clients.append),
            self.path,
        )

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for client in self.clients:
            client.close()
        Path(self.path).unlink(missing_ok=True)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.heard) < count:
                await asyncio.sleep(0.005)

    def ids(self) -> list[str]:
        return [each.envelope.queue_id for each in self.heard if isinstance(each, Arrived)]


def test_every_notice_of_a_burst_arrives_while_the_connection_is_being_made(tmp_path: Path) -> None:
    async def story() -> None:
        listener = Listener(tmp_path / "s")
        await listener.start()
        sender = NoticeSender(listener.path)
        for number in range(200):
            sender.arrived(PLACE, envelope(number))
            if number % 3 == 0:
                await asyncio.sleep(0)
        await listener.until(200)
        assert listener.ids() == [f"Q{number}" for number in range(200)]
        await sender.stop()
        await listener.stop()

    asyncio.run(story())


def test_who_comes_back_is_told_to_look_for_itself_without_waiting_for_more_mail(tmp_path: Path) -> None:
    async def story() -> None:
        listener = Listener(tmp_path / "s")
        sender = NoticeSender(listener.path, reconnect=0.01)
        sender.arrived(PLACE, envelope(1))
        await asyncio.sleep(0.05)
        await listener.start()
        await listener.until(1)
        assert isinstance(listener.heard[0], Missed)
        sender.arrived(PLACE, envelope(2))
        await listener.until(2)
        await listener.stop()
        await asyncio.sleep(0.05)
        again = Listener(tmp_path / "s")
        await again.start()
        await again.until(1)
        assert isinstance(again.heard[0], Missed)
        await sender.stop()
        await again.stop()

    asyncio.run(story())
