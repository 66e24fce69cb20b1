"""A writer that runs under another identity hands a new message to the cleanup service.

`local` forwards an alias, `bounce` sends a report: they must not touch the spool themselves. Over `public/cleanup`, one
request and one reply a message. Queued means on stable storage.
"""

from __future__ import annotations

import msgspec

from estafeta.mail.envelope import Envelope
from estafeta.net.asker import Asker
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
    """`queue_id` empty: not queued, and `dsn`, `reason` say why; a dsn of 5.x.x means never. A probe of verify(8) that
    needs no delivery has a queue_id, and `reason` is what is known."""

    number: int
    queue_id: str
    dsn: str = ""
    reason: str = ""


encode_submission = msgspec.msgpack.Encoder().encode
decode_submission = msgspec.msgpack.Decoder(Submission).decode
encode_accepted = msgspec.msgpack.Encoder().encode
decode_accepted = msgspec.msgpack.Decoder(Accepted).decode


class Submitter:
    """The asking side: one connection to the cleanup service, made when it is needed, many submissions in flight."""

    def __init__(self, path: str = SOCKET, *, timeout: float = 3600.0) -> None:
        self._asker = Asker(path, timeout, decode_accepted)

    async def submit(self, submission: Submission) -> Accepted:
        """Hand over one message. Raises OSError (ConnectionError, TimeoutError) when cleanup cannot be asked now.

        After such an error the message may have been queued all the same: the caller tries again, as after any crash.
        """
        return await self._asker.ask(submission)
