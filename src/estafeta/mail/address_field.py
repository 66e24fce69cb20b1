"""Replacing the addresses of one header field where they stand: names, comments, folding around them stay.

Used as mail comes in (intake/header_rules.py) and as it leaves (smtp_generic_maps). A field in which nothing changes is
not touched. In one that changes, text beyond header_address_token_limit pieces is dropped: who sends that much has
nothing good in mind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from estafeta.mail import mailboxes
from estafeta.mail.address import quote

FOLD_AT = 70
"""A rewritten address list gets line breaks where a line would become longer."""

SENDERS = frozenset(
    b"disposition-notification-to errors-to from mail-followup-to reply-to return-receipt-to sender "
    b"resent-from resent-reply-to resent-sender".split()
)
RECIPIENTS = frozenset(b"apparently-to bcc cc to resent-bcc resent-cc resent-to".split())
"""Names of fields whose addresses are rewritten, in lower case."""

Change = Callable[[mailboxes.Mailbox], Awaitable[str]]
"""The address to put in place of this one, internal form; the same if nothing is to change."""


async def replaced(raw: bytes, value: int, change: Change, token_limit: int) -> bytes | None:
    """The field with its addresses changed, None if none is. `raw` is all of it, `value` is where the colon ends."""
    end = len(raw) - 2 if raw.endswith(b"\r\n") else len(raw)
    text = raw[value:end].decode("utf-8", "surrogateescape")
    short = mailboxes.cut(text, token_limit)
    pieces: list[str] = []
    done = 0
    changed = False
    column = value
    for box in mailboxes.scan(short, token_limit):
        new = await change(box)
        # what is left of the entry before with the comma, the name in this one, the address
        rest, name = short[done : box.entry], short[box.entry : box.start]
        if not box.separated:
            rest += ","
        if new == box.address and not mailboxes.has_route(short, box):
            written = short[box.start : box.end]
        else:
            # The empty address is seen in brackets only.
            written, changed = quote(new) or ("" if box.bracketed else '""'), True
        if done and column + len(rest) + len(name) + len(written) > FOLD_AT and "\n" not in name:
            name = "\r\n\t" + name.lstrip()
        done = box.end
        latest = rest + name + written
        pieces.append(latest)
        newline = latest.rfind("\n")
        column = len(latest) - newline if newline >= 0 else column + len(latest)
    if not changed:
        return None
    pieces.append(short[done:])
    return raw[:value] + "".join(pieces).encode("utf-8", "surrogateescape") + raw[end:]
