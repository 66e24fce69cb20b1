"""`postsuper -r`: a queued message goes through intake once more, with its undelivered recipients.

It becomes a new message with a new id: addresses are mapped and rewritten anew. The old one goes when the new one is on
stable storage.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import msgspec

from estafeta.base import log
from estafeta.daemons.qmgr.message import Message
from estafeta.mail.envelope import Envelope
from estafeta.mail.logline import shown
from estafeta.net.frames import connect
from estafeta.queue.record import Damaged
from estafeta.services.submission import SOCKET, Accepted, Submission

TIMEOUT = 60.0
"""Seconds."""


async def resubmit(message: Message, reader: Any, socket: str = SOCKET) -> str:
    """Returns "" when the new message is safe, else why there is none."""
    old = message.envelope
    done = set(old.done)
    envelope = Envelope(
        "",
        old.arrived,
        old.sender,
        [each for index, each in enumerate(old.recipients) if index not in done],
        envid=old.envid,
        ret=old.ret,
        encoding=old.encoding,
        smtputf8=old.smtputf8,
        context=old.context,
        verp=old.verp,
        client=old.client,
        sender_original=old.sender_original,
        owner_uid=old.owner_uid,
        expanded=old.expanded,
    )
    try:
        head = await asyncio.to_thread(reader.head, message.place)
        async with asyncio.timeout(TIMEOUT):
            answer = await _submit(Submission(1, envelope, head, b"", message.place, "requeue"), socket)
    except TimeoutError:
        return f"{socket}: no answer within {TIMEOUT:g} seconds"
    except (OSError, Damaged) as error:
        return f"{socket}: {error}"
    if not answer.queue_id:
        return answer.reason or "refused"
    log.info(f"{answer.queue_id}: uid={os.geteuid()} from=<{shown(old.sender)}> orig_id={old.queue_id}", "pickup")
    return ""


async def _submit(submission: Submission, socket: str) -> Accepted:
    answered: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()

    def received(payload: bytes) -> None:
        if not answered.done():
            answered.set_result(msgspec.msgpack.decode(payload, type=Accepted))

    def closed(reason: Exception | None) -> None:
        if not answered.done():
            answered.set_exception(ConnectionError("connection lost"))

    frames = await connect(socket, received, closed)
    try:
        frames.send(msgspec.msgpack.encode(submission))
        return await answered
    finally:
        frames.close()
