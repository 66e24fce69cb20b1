"""Stands in for a delivery agent whose program does not exist yet: every delivery is put off, with the reason.

Mail for it stays in the queue and goes out when a version that has the program is installed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from estafeta.net.frames import Frames
from estafeta.services.delivery import Delivery, Ready, Report, Result, decode_to_agent, encode
from estafeta.skeleton.service import Service

from .index import LATER


class UnavailableAgent(Service):
    """Answers Deferred."""

    def client(self, release: Callable[[], None]) -> asyncio.BaseProtocol:
        frames = Frames(self._asked, lambda reason: release(), self._greet)
        self._frames = frames
        return frames

    def _greet(self, frames: Frames) -> None:
        frames.send(encode([Ready(self.context.slots)]))

    def _asked(self, payload: bytes) -> None:
        self._frames.send(encode([self._report(delivery) for delivery in decode_to_agent(payload)]))

    def _report(self, delivery: Delivery) -> Report:
        program = self.context.entry.program
        text = f"mail transport unavailable: {program} ({LATER.get(program, 'delivery')}) is not available yet"
        return Report(delivery.number, [Result("deferred", "4.3.0", text) for _ in delivery.recipients])
