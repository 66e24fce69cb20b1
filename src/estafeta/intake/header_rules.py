"""What is done to a message's header on its way in: one look at each field, in the order of the message.

Fields to drop are dropped, overlong ones cut, Received counted, addresses in mail from here completed and mapped; what
is missing in mail from here is added at the end. A header in which nothing changes is passed on as it came.
cleanup(8), RFC 5322 3.6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from estafeta.intake.mapping import HEADER_RECIPIENT, HEADER_SENDER, Mapping
from estafeta.mail import header
from estafeta.mail.address import MAILER_DAEMON, quote
from estafeta.mail.address_field import RECIPIENTS, SENDERS, replaced
from estafeta.mail.dates import mail_date, message_id_stamp
from estafeta.mail.phrase import phrase

if TYPE_CHECKING:
    from estafeta.config.instance import Config
    from estafeta.mail.mailboxes import Mailbox

ASKED_FOR = frozenset(
    b"date from message-id to cc resent-date resent-from resent-message-id resent-to resent-cc".split()
)

WRITTEN_TO = frozenset({b"to", b"cc", b"resent-to", b"resent-cc"})

RESENT = frozenset(
    b"resent-bcc resent-cc resent-date resent-from resent-message-id resent-reply-to resent-sender resent-to".split()
)
"""One of these makes the message a resent one: RFC 5322 3.6.6."""

# The addresses of most mail need no completing: `Ann Lee <ann@a.example>, bob@b.example`, whatever the folding. One
# pattern tells so without looking at each token. Possessive throughout: it never goes back.
_ATOM = rb"[^\x00-\x20\x7f()<>@,:;\\\".\[\]!%]++"
_COMPLETE = _ATOM + rb"(?:\." + _ATOM + rb")*+@" + _ATOM + rb"(?:\." + _ATOM + rb")++"
_NAMED = rb"(?:\"[^\"\\]*+\")?+[^\x00()<>@,:;\\\"\[\]]*+<" + _COMPLETE + rb">"
_ONE = rb"[ \t\r\n]*+(?:" + _COMPLETE + rb"|" + _NAMED + rb")[ \t\r\n]*+"
_ALL_COMPLETE = re.compile(_ONE + rb"(?:," + _ONE + rb")*+")


_BLANK_BEFORE_COLON = re.compile(rb"^([!-9;-~]++)[ \t]++:", re.MULTILINE)
"""An obsolete form that not everybody takes for a field: RFC 5322 4.5."""


@dataclass(slots=True)
class Seen:
    """What one pass over a header found."""

    received: int = 0
    resent: bool = False
    present: set[bytes] = field(default_factory=set)
    message_ids: list[tuple[str, str]] = field(default_factory=list)
    """(`message-id` or `resent-message-id`, value) in the order of the message, for the log."""
    content_type: str = ""
    encoding: str = ""
    """Of Content-Transfer-Encoding, in lower case."""


@dataclass(slots=True)
class Author:
    """Whom to name in what is added: all about the message that is not in its header."""

    queue_id: str
    arrived: float
    sender: str
    full_name: str = ""
    context: str = "local"


class HeaderRules:
    """The rules of one configuration."""

    def __init__(self, conf: Config, mapping: Mapping) -> None:
        self._mapping = mapping
        self._drop = frozenset(name.lower().encode() for name in conf.message_drop_headers)
        self._limit = conf.header_size_limit
        self._token_limit = conf.header_address_token_limit
        self._always_add = conf.always_add_missing_headers
        self._undisclosed = conf.undisclosed_recipients_header.strip()
        self._obsolete_from = conf.header_from_format == "obsolete"
        self._charset = conf.full_name_encoding_charset
        self._myhostname = conf.myhostname
        self._remote_domain = conf.remote_header_rewrite_domain
        self._interesting = (
            self._drop | ASKED_FOR | RESENT | {b"received", b"content-type", b"content-transfer-encoding"}
        )
        self._addresses = SENDERS | RECIPIENTS
        self._with_addresses = self._interesting | self._addresses

    async def apply(self, head: bytes, author: Author) -> tuple[bytes, Seen]:
        """The header as it is stored (fields only, no empty line), and what was in it. Raises TableDown."""
        seen = Seen()
        if b" :" in head:
            head = _BLANK_BEFORE_COLON.sub(rb"\1:", head)
        rewrite = author.context == "local" or bool(self._remote_domain)
        pieces: list[bytes] = []
        done = 0
        wanted = self._with_addresses if rewrite else self._interesting
        # Only a header that is long altogether can have a field over the limit.
        found = header.fields(head) if len(head) > self._limit else header.find(head, wanted)
        for each in found:
            name = each.name
            new: bytes | None = None
            if name in self._interesting:
                self._note(head, each, seen)
                if name in self._drop:
                    new = b""
            if name in RESENT:
                seen.resent = True
            if new is None:
                size = each.end - each.start
                if size > self._limit:
                    new = _cut(head[each.start : each.end], self._limit)
                if rewrite and name in self._addresses:
                    changed = await self._rewritten(new or head[each.start : each.end], each, author)
                    new = changed if changed is not None else new
            if new is not None:
                pieces += (head[done : each.start], new)
                done = each.end
        added = self._missing(seen, author)
        if not pieces and not added:
            return head, seen
        return b"".join((*pieces, head[done:], added)), seen

    def _note(self, head: bytes, each: header.Field, seen: Seen) -> None:
        name = each.name
        if name == b"received":
            seen.received += 1
        elif name == b"content-type":
            seen.content_type = header.unfolded(head, each).lower()
        elif name == b"content-transfer-encoding":
            seen.encoding = header.unfolded(head, each).lower()
        elif name in ASKED_FOR:
            seen.present.add(name)
            if name.endswith(b"message-id"):
                seen.message_ids.append((name.decode("ascii"), header.unfolded(head, each)))

    async def _rewritten(self, raw: bytes, each: header.Field, author: Author) -> bytes | None:
        """The field with its addresses mapped; None if none of them changes."""
        at = each.value - each.start
        if self._mapping.plain and len(raw) < self._token_limit and _ALL_COMPLETE.fullmatch(raw, at):
            return None
        kind = HEADER_SENDER if each.name in SENDERS else HEADER_RECIPIENT

        async def mapped(box: Mailbox) -> str:
            return await self._mapping.mapped(
                box.address, kind, author.context, quoted=box.quoted, queue_id=author.queue_id
            )

        return await replaced(raw, at, mapped, self._token_limit)

    # --- what is missing

    def _missing(self, seen: Seen, author: Author) -> bytes:
        """Fields to add at the end of the header, and a note of the message id for the log."""
        if author.context != "local" and not self._always_add and not self._remote_domain:
            if b"message-id" not in seen.present:
                seen.message_ids.append(("message-id", "<>"))
            return b""
        prefix, key = ("Resent-", b"resent-") if seen.resent else ("", b"")
        added: list[bytes] = []
        if key + b"message-id" not in seen.present:
            made = f"<{message_id_stamp(author.arrived)}.{author.queue_id}@{self._myhostname}>"
            added.append(header.line(prefix + "Message-Id", made))
            seen.message_ids.append((f"{prefix}message-id".lower(), made))
        if seen.resent and b"message-id" not in seen.present:
            seen.message_ids.append(("message-id", "<>"))
        if key + b"date" not in seen.present:
            added.append(header.line(prefix + "Date", mail_date(author.arrived)))
        if key + b"from" not in seen.present:
            added.append(header.line(prefix + "From", self.from_value(author.sender, author.full_name)))
        if self._undisclosed and not seen.present & WRITTEN_TO:
            added.append(self._undisclosed.encode("utf-8", "surrogateescape") + b"\r\n")
        return b"".join(added)

    def from_value(self, sender: str, full_name: str) -> str:
        """`Full Name <sender>`, or the obsolete `sender (Full Name)`. The empty sender has no name."""
        address = quote(sender)
        if not sender:
            return MAILER_DAEMON
        if not full_name:
            return address
        if self._obsolete_from:
            return f"{address} ({phrase(full_name, self._charset, comment=True)})"
        return f"{phrase(full_name, self._charset)} <{address}>"


def _cut(raw: bytes, limit: int) -> bytes:
    """The beginning of a field, a line end counted as one byte."""
    if raw.count(b"\n") > 1:
        return b"\r\n".join(raw.replace(b"\r\n", b"\n")[:limit].rstrip(b"\n").split(b"\n")) + b"\r\n"
    return raw[:limit].rstrip(b"\r\n") + b"\r\n"
