"""An smtp or lmtp service without processes around it: hand it a letter, get outcomes and log lines.

async with Client(tmp_path, smtp_helo_timeout="1s") as client:
    answer = await client.deliver("[127.0.0.1]:2525", "a@b.example")
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.running_agent import RunningAgent

from estafeta.config.instance import Config
from estafeta.config.master_cf import ServiceEntry
from estafeta.daemons.smtp.service import SmtpService
from estafeta.mail.envelope import Envelope, Recipient
from estafeta.services.delivery import Delivery
from estafeta.skeleton.agent import Answer
from estafeta.skeleton.service import Context

HEAD = b"From: me@from.example\r\nSubject: x\r\n\r\n"
BODY = b"body\r\n"


def entry_for(program: str, args: Sequence[str] = ()) -> ServiceEntry:
    return ServiceEntry(program, "unix", True, True, False, 0, True, 0, program, list(args))


class Client(RunningAgent):
    def __init__(self, directory: Path, *, program: str = "smtp", args: Sequence[str] = (), **settings: str) -> None:
        conf = Config.for_test(**{"inet_protocols": "ipv4", "inet_interfaces": "127.0.0.1", **settings})
        super().__init__(SmtpService(Context(conf, entry_for(program, args))), directory)

    def delivery(
        self,
        nexthop: str,
        *recipients: str | Recipient,
        sender: str = "sender@from.example",
        head: bytes = HEAD,
        body: bytes = BODY,
        **more: object,
    ) -> Delivery:
        now = time.time()
        return Delivery(
            number=self.count,
            place=self.store(head, body),
            queue_id=f"3F2A8{self.count:X}",
            transport=self.service.context.entry.program,
            nexthop=nexthop,
            sender=sender,
            recipients=[Recipient(r) if isinstance(r, str) else r for r in recipients],
            arrived=now,
            activated=now,
            handed=now,
            size=len(head) + len(body),
            **more,  # type: ignore[arg-type]
        )

    async def deliver(self, nexthop: str, *recipients: str | Recipient, **more: object) -> Answer:
        return await self.service.deliver(self.delivery(nexthop, *recipients, **more))  # type: ignore[arg-type]


__all__ = ["BODY", "HEAD", "Client", "Envelope"]
