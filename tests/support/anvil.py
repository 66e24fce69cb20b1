"""anvil(8) in the same process, without sockets: `Anvil(conf)`, and `anvil.connect` for services.anvil.AnvilClient."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from estafeta.config.instance import Config
from estafeta.config.master_cf import ServiceEntry
from estafeta.daemons.anvil.service import AnvilService
from estafeta.net.frames import Frames
from estafeta.skeleton.service import Context


class Anvil:
    """`down`: connecting fails with this. `deaf`: it takes questions and answers nothing."""

    def __init__(self, conf: Config) -> None:
        self.service = AnvilService(
            Context(conf, ServiceEntry("anvil", "unix", True, True, False, 0, True, 1, "anvil", []))
        )
        self.down: OSError | None = None
        self.deaf = False
        self.links: list[_Link] = []
        self.asked = 0
        """Frames that came."""

    async def connect(
        self, path: str, received: Callable[[bytes], None], closed: Callable[[Exception | None], None]
    ) -> Frames:
        await asyncio.sleep(0)
        if self.down is not None:
            raise self.down
        theirs = Frames(received, closed)
        ours = self.service.client(lambda: None)
        link = _Link(self, theirs, ours)
        self.links.append(link)
        return theirs

    def hang_up(self) -> None:
        """Close all connections, as a process that ends."""
        links, self.links = self.links, []
        for link in links:
            link.close()


class _Link:
    """Both ends of a connection."""

    def __init__(self, anvil: Anvil, theirs: Frames, ours: asyncio.BaseProtocol) -> None:
        self._anvil = anvil
        self._ends = theirs, ours
        theirs.connection_made(_Transport(self, self._to_anvil))
        ours.connection_made(_Transport(self, theirs.data_received))
        self.closed = False

    def _to_anvil(self, data: bytes) -> None:
        if not self._anvil.deaf:
            self._anvil.asked += 1
            self._ends[1].data_received(data)  # type: ignore[attr-defined]  # it is Frames

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            for end in self._ends:
                asyncio.get_running_loop().call_soon(end.connection_lost, None)


class _Transport(asyncio.Transport):
    def __init__(self, link: _Link, write: Callable[[bytes], None]) -> None:
        super().__init__()
        self._link = link
        self._write = write

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def write(self, data: bytes) -> None:  # type: ignore[override]
        asyncio.get_running_loop().call_soon(self._write, data)

    def is_closing(self) -> bool:
        return self._link.closed

    def close(self) -> None:
        self._link.close()
