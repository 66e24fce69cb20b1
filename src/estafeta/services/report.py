"""qmgr asks bounce(8) to tell a sender what became of a message: failed, delayed, or (on request) delivered.

Over `private/bounce`, `private/defer` and `private/trace`, one request and one reply a message. The daemon keeps
nothing: the reasons are in the request, the content is read from the spool by place. Ok means that the report is on
stable storage (or that none is due, as for a bounce of a bounce that nobody wants), so qmgr may let go.
"""

from __future__ import annotations

import msgspec

from estafeta.mail.envelope import Envelope
from estafeta.net.asker import Asker
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


encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(ReportRequest).decode
decode_reply = msgspec.msgpack.Decoder(ReportReply).decode


class Reporter:
    """The asking side: one connection to one of the three services, opened when it is needed."""

    def __init__(self, socket: str, timeout: float) -> None:
        self._asker = Asker(socket, timeout, decode_reply)

    async def ask(self, kind: str, place: Place, envelope: Envelope, results: dict[int, Result]) -> str:
        """Have a report written. Returns "" when it is safe, else why it could not be done; ask again later then."""
        try:
            reply = await self._asker.ask(ReportRequest(0, kind, place, envelope, results))
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        return "" if reply.ok else reply.reason or "the report could not be written"

    def close(self) -> None:
        """Hang up."""
        self._asker.close()
