"""The pace of a large content: smtp_data_xfer_timeout, and smtp_min_data_rate under smtp_per_request_deadline."""

from __future__ import annotations

import asyncio
from typing import cast

from estafeta.daemons.smtp.connection import Connection, Manner
from estafeta.daemons.smtp.mx import Server
from estafeta.daemons.smtp.sending import _Pace
from estafeta.net.stream import Stream


class Noting:
    """Notes under which limit it is waited for."""

    def __init__(self) -> None:
        self.timeout = 0.0
        self.limits: list[float] = []

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None:
        self.limits.append(self.timeout)


def limits(*pieces: int, deadline: bool) -> list[float]:
    """The time limits under which pieces of these sizes are sent, when no time passes."""

    async def run() -> list[float]:
        stream = Noting()
        connection = Connection(cast(Stream, stream), Server("mx.example", "192.0.2.1", 25), 0.0)
        manner = Manner(lmtp=False, helo_name="h", myhostname="h", data_xfer_timeout=10, deadline=deadline)
        pace = _Pace(connection, manner)
        pace._end -= 6  # as if six seconds had gone by already
        for size in pieces:
            await pace.send(b"x" * size)
        return [round(limit) for limit in stream.limits]

    return asyncio.run(run())


def test_without_deadline_each_write_has_the_whole_limit() -> None:
    assert limits(1000, 1000, 1000, deadline=False) == [10, 10, 10]


def test_what_was_sent_earns_time_for_what_comes() -> None:
    # 500 bytes a second: 1000 bytes earn two seconds.
    assert limits(1000, 500, 1, deadline=True) == [4, 6, 7]


def test_but_never_more_than_the_whole_limit() -> None:
    assert limits(1_000_000, 1_000_000, 1, deadline=True) == [4, 10, 10]
