"""A writer that runs under another identity hands a new message to the cleanup service.

`local` forwards an alias, `bounce` sends a report: they must not touch the spool themselves. Over `public/cleanup`, one
request and one reply a message. Queued means on stable storage.
"""

from __future__ import annotations

import msgspec

from estafeta.mail.envelope import Envelope
from estafeta.queue.place import Place

SOCKET = "public/cleanup"


class Submission(msgspec.Struct, array_like=True):
    """A message to queue. The content is `head`, `body`, then the body at `place` if given (CRLF lines)."""

    number: int
    envelope: Envelope
    """queue_id is empty: intake gives one. recipients are mapped like any other (virtual aliases) if `mapped`."""
    head: bytes
    body: bytes = b""
    place: Place | None = None
    origin: str = "bounce"
    """Who asks: bounce, notify, local, verify: internal_mail_filter_classes and the log."""
    mapped: bool = True


class Accepted(msgspec.Struct, array_like=True):
    """`queue_id` empty: not queued, and `dsn`, `reason` say why; a dsn of 5.x.x means never."""

    number: int
    queue_id: str
    dsn: str = ""
    reason: str = ""
