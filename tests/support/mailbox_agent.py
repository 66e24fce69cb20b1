"""A local or virtual service without processes around it: hand it a letter, get outcomes, mailboxes and log lines.

async with MailboxAgent(VirtualService, tmp_path, virtual_mailbox_maps="inline:{...}") as agent:
    outcomes = await agent.deliver("ann@v.example")
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.support.running_agent import RunningAgent

from estafeta.config.instance import Config
from estafeta.config.master_cf import ServiceEntry
from estafeta.mail.envelope import Recipient
from estafeta.mail.outcome import Outcome
from estafeta.services.delivery import Delivery
from estafeta.skeleton.agent import DeliveryAgent
from estafeta.skeleton.service import Context

HEAD = b"Subject: x\r\n\r\n"
BODY = b"hello\r\nFrom here\r\n>From there\r\nlast\r\n"


class MailboxAgent(RunningAgent):
    def __init__(self, service: type[DeliveryAgent], directory: Path, **settings: str) -> None:
        entry = ServiceEntry("agent", "unix", True, True, False, 0, True, 0, "agent", [])
        super().__init__(service(Context(Config.for_test(**settings), entry)), directory)

    @property
    def said(self) -> list[str]:
        """What the log said of each recipient, without queue id and delays."""
        return [
            ", ".join(part for part in line.split(": ", 1)[1].split(", ") if not part.startswith("delay"))
            for line in self.lines
        ]

    async def deliver(
        self,
        *recipients: str | Recipient,
        sender: str = "sender@example.com",
        head: bytes = HEAD,
        body: bytes = BODY,
        **more: Any,
    ) -> list[Outcome]:
        place = self.store(head, body)
        now = time.time()
        delivery = Delivery(
            number=self.count,
            place=place,
            queue_id=f"3F2A8{self.count:X}",
            transport="agent",
            nexthop="example.com",
            sender=sender,
            recipients=[Recipient(each) if isinstance(each, str) else each for each in recipients],
            arrived=now,
            activated=now,
            handed=now,
            size=len(head) + len(body),
            **more,
        )
        answer = await self.service.deliver(delivery)
        outcomes: list[Outcome] = answer.outcomes
        return outcomes
