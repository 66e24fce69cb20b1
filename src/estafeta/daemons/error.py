"""error(8): returns or puts off everything it is given; the next hop is the reason.

As the service `retry`, everything is put off: qmgr sends there what cannot be tried now. Under any other name it all
goes back to its sender. A reason may begin with a status code: `5.7.1 mail for this domain is not accepted`.
"""

from __future__ import annotations

from estafeta.mail.outcome import Bounced, Deferred
from estafeta.mail.reason import reason_of
from estafeta.services.delivery import Delivery
from estafeta.skeleton.agent import Answer, DeliveryAgent

RETRY = "retry"
"""The name in master.cf that makes the difference."""


class ErrorService(DeliveryAgent):
    """The error and retry services."""

    def at_once(self, delivery: Delivery) -> Answer:
        if self.context.entry.name == RETRY:
            return self.settle_all(delivery, Deferred(*reason_of(delivery.nexthop, "4.0.0")))
        return self.settle_all(delivery, Bounced(*reason_of(delivery.nexthop, "5.0.0")))
