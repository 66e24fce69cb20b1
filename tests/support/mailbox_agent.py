"""A local or virtual service without processes around it: hand it a letter, get outcomes, mailboxes and log lines.

async with MailboxAgent(VirtualService, tmp_path, virtual_mailbox_maps="inline:{...}") as agent:
    outcomes = await agent.deliver("ann@v.example")
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.config.master_cf import ServiceEntry
from estafeta.mail.envelope import Recipient
from estafeta.mail.outcome import Outcome
from estafeta.queue import record
from estafeta.queue.place import Place
from estafeta.services.delivery import Delivery
from estafeta.skeleton.agent import DeliveryAgent
from estafeta.skeleton.service import Context

HEAD = b"Subject: x\r\n\r\n"
BODY = b"hello\r\nFrom here\r\n>From there\r\nlast\r\n"


class MailboxAgent:
    def __init__(self, service: type[DeliveryAgent], directory: Path, **settings: str) -> None:
        self.directory = directory
        entry = ServiceEntry("agent", "unix", True, True, False, 0, True, 0, "agent", [])
        self.service: Any = service(Context(Config.for_test(**settings), entry))
        self.lines: list[str] = []
        self.warnings: list[str] = []
        self.count = 0

    async def __aenter__(self) -> MailboxAgent:
        self._before = log.install(self._take)
        self._cwd = Path.cwd()
        os.chdir(self.directory)
        await self.service.open()
        await self.service.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.service.stop()
        os.chdir(self._cwd)
        log.install(self._before)

    def _take(self, level: int, text: str, program: str | None) -> None:
        (self.warnings if level > log.INFO else self.lines).append(text)

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
        self.count += 1
        path = self.directory / f"m{self.count}"
        path.write_bytes(b"".join(record.pack(record.MESSAGE, head, [body], b"")))
        now = time.time()
        delivery = Delivery(
            number=self.count,
            place=Place(path.name, 0, len(head), len(body), 0),
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
