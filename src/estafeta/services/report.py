"""qmgr asks bounce(8) to tell a sender what became of a message: failed, delayed, or (on request) delivered.

Over `private/bounce`, `private/defer` and `private/trace`, one request and one reply a message. The daemon keeps
nothing: the reasons are in the request, the content is read from the spool by place. Ok means that the report is on
stable storage (or that none is due, as for a bounce of a bounce that nobody wants), so qmgr may let go.
"""

from __future__ import annotations

import msgspec

from estafeta.mail.envelope import Envelope
from estafeta.queue.place import Place
from estafeta.services.delivery import Result

BOUNCE, DELAY, SUCCESS, VERIFY = "bounce", "delay", "success", "verify"


class ReportRequest(msgspec.Struct, array_like=True):
    """`results` maps the index of a recipient in the envelope to what became of it."""

    number: int
    kind: str
    """BOUNCE: non-delivery. DELAY: still trying. SUCCESS: NOTIFY=SUCCESS. VERIFY: sendmail -bv and -v."""
    place: Place
    envelope: Envelope
    results: dict[int, Result]


class ReportReply(msgspec.Struct, array_like=True):
    number: int
    ok: bool
    reason: str = ""
