"""Stands in for a delivery agent whose program does not exist yet: every delivery is put off, with the reason.

Mail for it stays in the queue and goes out when a version that has the program is installed.
"""

from __future__ import annotations

from estafeta.mail.outcome import Deferred
from estafeta.services.delivery import Delivery
from estafeta.skeleton.agent import Answer, DeliveryAgent

from .index import LATER


class UnavailableAgent(DeliveryAgent):
    """Answers Deferred."""

    def at_once(self, delivery: Delivery) -> Answer:
        program = self.context.entry.program
        reason = f"mail transport unavailable: {program} ({LATER.get(program, 'delivery')}) is not available yet"
        return self.settle_all(delivery, Deferred("4.3.0", reason))
