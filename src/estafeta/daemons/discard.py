"""discard(8): says that everything was delivered, and throws it away. The next hop is the reason that the log gives."""

from __future__ import annotations

from estafeta.mail.outcome import Sent
from estafeta.mail.reason import reason_of
from estafeta.services.delivery import Delivery
from estafeta.skeleton.agent import Answer, DeliveryAgent


class DiscardService(DeliveryAgent):
    """The discard service."""

    def at_once(self, delivery: Delivery) -> Answer:
        status, text = reason_of(delivery.nexthop, "2.0.0")
        return self.settle_all(delivery, Sent(status, text, action="delivered"))
