"""Intake tells qmgr that a message is on stable storage. One way: there is no reply.

The socket is qmgr's own, `private/notice`; frames hold one or more of these, as `net/frames.py` packs them. If qmgr is
away, the notice is lost and nothing else is: qmgr finds the record when it scans incoming/.
"""

from __future__ import annotations

import msgspec

from estafeta.mail.envelope import Envelope
from estafeta.queue.place import Place

SOCKET = "private/notice"


class Arrived(msgspec.Struct, array_like=True, tag="A"):
    """One committed message."""

    place: Place
    envelope: Envelope


class Sealed(msgspec.Struct, array_like=True, tag="S"):
    """A journal segment will get no more records: it can go when all `records` of it are released."""

    segment: str
    records: int


class Held(msgspec.Struct, array_like=True, tag="H"):
    """A committed message that goes straight to hold/ (the HOLD action)."""

    place: Place
    envelope: Envelope


Notice = Arrived | Sealed | Held
Batch = list[Notice]

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Batch).decode
