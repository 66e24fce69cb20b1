"""What became of one recipient in one delivery attempt: sent, deferred or bounced.

Later and never are different types, and anything that is not understood is Deferred. A delivery agent returns one
of these for each recipient; `services/delivery.py` carries them to qmgr.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Sent:
    """Delivered, or accepted by the next host."""

    dsn: str
    text: str
    """What stands in parentheses in the log: `250 2.0.0 Ok: queued as ...`, `delivered to mailbox`."""
    relay: str = "none"
    """`host[address]:port`, `local`, `virtual`, as in relay= of the log line."""
    remote_mta: str = ""
    diagnostic: str = ""
    """The server's reply for Diagnostic-Code, without the `smtp;`; without a server, what the operating system says."""
    action: str = "relayed"
    """relayed, delivered or expanded: Action of a success report, RFC 3464 2.3.3; empty if the next host reports."""
    steps: tuple[Step, ...] = ()
    """What was done on the way, where a name stands for several addresses; for reports."""


@dataclass(slots=True, frozen=True)
class Deferred:
    """Not now: stays in the queue."""

    dsn: str
    text: str
    relay: str = "none"
    remote_mta: str = ""
    diagnostic: str = ""
    steps: tuple[Step, ...] = ()


@dataclass(slots=True, frozen=True)
class Bounced:
    """Never: goes back to the sender."""

    dsn: str
    text: str
    relay: str = "none"
    remote_mta: str = ""
    diagnostic: str = ""
    steps: tuple[Step, ...] = ()


@dataclass(slots=True, frozen=True)
class Step:
    """What became of one of the addresses that a recipient stands for: members of an alias."""

    address: str
    original: str
    outcome: Sent | Deferred | Bounced


Outcome = Sent | Deferred | Bounced
STATUS_WORD = {Sent: "sent", Deferred: "deferred", Bounced: "bounced"}
