"""What of a session the postmaster is to hear of: which class of notify_classes an answer belongs to. postconf(5).

The classes go with refusals, not with codes: the same 550 is policy when an access table said so, and a bounce when the
recipient does not exist.
"""

from __future__ import annotations

from estafeta.daemons.smtpd.restrictions.evaluate import Refusal
from estafeta.services.postmaster import BOUNCE, DATA, POLICY, PROTOCOL, RESOURCE, SOFTWARE

_STORAGE = (b"4.3.0", b"4.3.1")
_POLICY = (b"5.7.", b"4.7.", b"5.3.4", b"4.5.3")
_BOUNCED = (b"5.1.1 ", b"5.4.6", b"5.4.0")


def trouble_of(refusal: Refusal) -> int:
    """The class of what a restriction, or a limit, refused."""
    if refusal.dsn == "4.3.1":
        return RESOURCE
    if refusal.dsn == "4.3.5" and refusal.text.startswith("Server"):
        return SOFTWARE  # where it names somebody, a table is wrong, which Postfix takes for policy
    if refusal.dsn == "4.3.0" and "lookup failure" in refusal.text:
        return DATA
    if refusal.dsn.endswith(".1.1") and "User unknown" in refusal.text:
        return BOUNCE
    return POLICY


def trouble_of_reply(reply: bytes) -> int:
    """The class of any other refusal: a mistake of the client's, if it is not the disk's or intake's word."""
    status = reply[4:10]
    if status.startswith(_STORAGE):
        return RESOURCE
    if status.startswith(_POLICY):
        return POLICY
    if status.startswith(_BOUNCED):
        return BOUNCE
    return PROTOCOL
