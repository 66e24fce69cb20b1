"""Headers of mail from here as Postfix 3.7.11's cleanup(8) stored them.

`headers.json` has (header as sent, whole message as stored) with the queue id as QID, time stamps as STAMP and DATE.
Cases where ours keeps more of the author's spacing are left out.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from estafeta.config.instance import Config
from estafeta.intake.intake import Intake
from estafeta.intake.verdict import Queued
from estafeta.mail.envelope import Envelope, Recipient
from estafeta.queue.place import Place

HERE = Path(__file__).parent
CASES: list[tuple[str, str]] = [(given, stored) for given, stored in json.loads((HERE / "headers.json").read_text())]
QUEUE_ID = "3F2A81C0"


class KeptSpool:
    stored = b""

    async def commit(self, envelope: Envelope, head: bytes, body: Sequence[bytes]) -> Place:
        self.stored = b"".join((head, *body))
        return Place("incoming/1", 0, 0, 0, 0)


@pytest.fixture(scope="module")
def spool() -> KeptSpool:
    return KeptSpool()


@pytest.fixture(scope="module")
def intake(spool: KeptSpool) -> Intake:
    conf = Config.for_test(
        compatibility_level="3.6",
        myhostname="mail.example.com",
        myorigin="example.com",
        mydestination="$myhostname, localhost, example.com",
        inet_interfaces="127.0.0.1",
        recipient_delimiter="+",
        canonical_maps=f"texthash:{HERE}/canon",
        virtual_alias_maps=f"texthash:{HERE}/virtual",
        virtual_alias_domains="va.example",
    )
    return Intake.open(conf, spool=spool)  # type: ignore[arg-type]


@pytest.mark.parametrize(("given", "expected"), CASES, ids=[given[:30] for given, _ in CASES])
def test_header(given: str, expected: str, intake: Intake, spool: KeptSpool) -> None:
    envelope = Envelope(QUEUE_ID, 1795224182.0, "s@send.example", [Recipient("r@remote.example")])
    message = intake.begin(envelope, from_network=True)
    message.feed(given.replace("\n", "\r\n").encode() + b"\r\n\r\nbody\r\n")
    assert isinstance(asyncio.run(message.finish()), Queued)
    stored = spool.stored.decode().replace("\r\n", "\n").replace(QUEUE_ID, "QID")
    stored = re.sub(r"Message-Id: <\d{14}\.QID", "Message-Id: <STAMP.QID", stored)
    assert re.sub(r"Date: Sat, 21 Nov.*", "Date: DATE", stored) == expected
