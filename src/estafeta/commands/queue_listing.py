"""The queue as mailq prints it, and as JSON. postqueue(1)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache

from estafeta.mail.address import quote
from estafeta.services.showq import Shown

EMPTY = "Mail queue is empty"
WIDTH = 78
"""Columns at which reasons end."""

SHORT_HEADER = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"
LONG_HEADER = "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------"
_ctime = lru_cache(time.ctime)
_quoted = lru_cache(1024)(quote)
"""A long queue names the same moments, senders and hosts again and again."""
MARKS = {"active": "*", "hold": "!"}


def traditional(messages: Iterable[Shown], *, long_ids: bool) -> Iterator[str]:
    """The lines of `mailq`. `long_ids`: enable_long_queue_ids, which widens the first column."""
    count = size = 0
    for message in messages:
        if not count:
            yield LONG_HEADER if long_ids else SHORT_HEADER
        yield "\n".join(_message(message, long_ids)) + "\n"
        count += 1
        size += message.size
    if not count:
        yield EMPTY
        return
    yield f"-- {size // 1024} Kbytes in {count} Request{'' if count == 1 else 's'}."


def _message(message: Shown, long_ids: bool) -> Iterator[str]:
    name = message.queue_id + MARKS.get(message.queue, "") + ("#" if message.forced_expire else "")
    arrived = _ctime(int(message.arrived))
    sender = _quoted(message.sender) or "MAILER-DAEMON"
    if long_ids:
        yield f"{name:<17} {message.size:8d} {arrived[:19]} {sender}"
    else:
        yield f"{name:<11} {message.size:7d} {arrived[:20]} {sender}"
    indent = " " * (47 if long_ids else 41)
    before = ""
    for address, reason in message.recipients:
        if reason and reason != before:
            yield f"({reason})".rjust(WIDTH)
        before = reason
        yield indent + _quoted(address)


def as_json(messages: Iterable[Shown]) -> Iterator[str]:
    """One line for each message: the objects of `postqueue -j`."""
    for message in messages:
        recipients = [
            {"address": _quoted(address), **({"delay_reason": reason} if reason else {})}
            for address, reason in message.recipients
        ]
        shown = {
            "queue_name": message.queue,
            "queue_id": message.queue_id,
            "arrival_time": int(message.arrived),
            "message_size": message.size,
            "forced_expire": message.forced_expire,
            "sender": _quoted(message.sender) or "MAILER-DAEMON",
            "recipients": recipients,
        }
        yield json.dumps(shown, ensure_ascii=False)
