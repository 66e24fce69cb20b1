"""What becomes of a message that somebody wants to hand in: queued, refused for good, or "try again later"."""

from __future__ import annotations

from dataclasses import dataclass

from estafeta.mail.envelope import Envelope
from estafeta.queue.place import Place


@dataclass(slots=True, frozen=True)
class Queued:
    """On stable storage, or accepted and thrown away because a rule says so: then `place` is None."""

    queue_id: str
    place: Place | None = None
    envelope: Envelope | None = None
    code: int = 250
    dsn: str = "2.0.0"

    @property
    def text(self) -> str:
        return f"Ok: queued as {self.queue_id}"


@dataclass(slots=True, frozen=True)
class Refused:
    """Never. Nothing was stored. The SMTP answer is `code dsn text`."""

    code: int
    dsn: str
    text: str
    kind: str
    """hops, size, content or recipients."""


@dataclass(slots=True, frozen=True)
class TryAgain:
    """Not now. Nothing was stored. The SMTP answer is `code dsn text`; the log says more."""

    code: int
    dsn: str
    text: str
    kind: str
    """write, table or alias."""


Verdict = Queued | Refused | TryAgain

NO_RECIPIENTS = Refused(550, "5.1.0", "Error: no recipients specified", "recipients")
TOO_MANY_HOPS = Refused(554, "5.4.0", "Error: too many hops", "hops")
TOO_BIG = Refused(552, "5.3.4", "Error: message file too big", "size")
HEADER_TOO_BIG = Refused(552, "5.3.4", "Error: message header too big", "size")
BAD_CHARACTERS = Refused(550, "5.7.1", "disallowed character", "content")
BAD_8BIT_HEADER = Refused(550, "5.6.0", "improper use of 8-bit data in message header", "content")
BAD_8BIT_BODY = Refused(550, "5.6.0", "improper use of 8-bit data in message body", "content")
CANNOT_WRITE = TryAgain(451, "4.3.0", "Error: queue file write error", "write")
TABLE_TROUBLE = TryAgain(451, "4.3.0", "Error: queue file write error", "table")
ALIAS_TROUBLE = TryAgain(451, "4.6.0", "Alias expansion error", "alias")
