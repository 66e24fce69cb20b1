"""`postsuper -r`: a queued message goes through intake once more, with its undelivered recipients.

It becomes a new message with a new id: addresses are mapped and rewritten anew. The old one goes when the new one is on
stable storage.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from estafeta.base import log
from estafeta.daemons.qmgr.message import Message
from estafeta.mail.envelope import Envelope
from estafeta.mail.logline import shown
from estafeta.net.asker import ask_once
from estafeta.queue.record import Damaged
from estafeta.services.submission import SOCKET, Submission, decode_accepted, encode_submission

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
        submission = Submission(1, envelope, head, b"", message.place, "requeue")
        answer = await ask_once(socket, encode_submission(submission), TIMEOUT, decode_accepted)
    except OSError as error:
        return f"{error.filename or message.place}: {error.strerror or error}"
    except Damaged as error:
        return str(error)
    if not answer.queue_id:
        return answer.reason or "refused"
    log.info(f"{answer.queue_id}: uid={os.geteuid()} from=<{shown(old.sender)}> orig_id={old.queue_id}", "pickup")
    return ""
