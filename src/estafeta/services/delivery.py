"""qmgr asks a delivery agent to deliver, the agent answers for each recipient.

Over the transport's socket (`private/smtp`): qmgr connects, once for each worker process; the agent first says how
much it takes at a time (Ready), then requests and reports go in both directions, many in flight, each frame a list of
them. A connection that ends takes no mail along: qmgr puts off what it had not heard about.
"""

from __future__ import annotations

import msgspec

from estafeta.mail.envelope import Client, Recipient
from estafeta.mail.outcome import Bounced, Deferred, Outcome, Sent
from estafeta.queue.place import Place

ENDING = -1
"""`Ready.slots`, said later: send no more, and close when everything that was sent is answered."""


class Ready(msgspec.Struct, array_like=True, tag="R"):
    """The agent's first words: how many deliveries it serves at the same time, 0 for no limit; or ENDING."""

    slots: int


class Delivery(msgspec.Struct, array_like=True, tag="D"):
    """One attempt: one message, one next hop, some of its recipients."""

    number: int
    """qmgr's own; the report repeats it."""
    place: Place
    queue_id: str
    transport: str
    nexthop: str
    sender: str
    recipients: list[Recipient]
    arrived: float
    activated: float
    """When qmgr took the message up and when it handed it over: the a/b of delays=. Seconds since the epoch."""
    handed: float
    size: int
    envid: str = ""
    ret: str = ""
    encoding: str = ""
    smtputf8: bool = False
    trace: int = 0
    client: Client = msgspec.field(default_factory=Client)
    verp: str = ""
    context: str = "local"


class Result(msgspec.Struct, array_like=True):
    """What became of one recipient. `status`: sent, deferred or bounced."""

    status: str
    dsn: str
    text: str
    remote_mta: str = ""
    diagnostic: str = ""
    action: str = ""
    relay: str = ""
    """Through whom it went, as in the log: a success report says so."""
    steps: list[tuple[str, str, Result]] | None = None
    """(address, original, result) of each address that it stands for, as `Step`; None where there is no more to it."""


class Report(msgspec.Struct, array_like=True, tag="P"):
    """The answer: one result for each recipient, in the order of the request."""

    number: int
    results: list[Result]
    dead: Result | None = None
    """The next hop as a whole cannot be reached now: qmgr stops trying it for a while, for this reason."""


FromAgent = list[Ready | Report]
ToAgent = list[Delivery]

encode = msgspec.msgpack.Encoder().encode
decode_from_agent = msgspec.msgpack.Decoder(FromAgent).decode
decode_to_agent = msgspec.msgpack.Decoder(ToAgent).decode


def result_of(outcome: Outcome) -> Result:
    """An outcome as it travels."""
    if isinstance(outcome, Sent):
        result = Result(
            "sent", outcome.dsn, outcome.text, outcome.remote_mta, outcome.diagnostic, outcome.action, outcome.relay
        )
    else:
        word = "deferred" if isinstance(outcome, Deferred) else "bounced"
        result = Result(word, outcome.dsn, outcome.text, outcome.remote_mta, outcome.diagnostic, relay=outcome.relay)
    if outcome.steps:
        result.steps = [(step.address, step.original, result_of(step.outcome)) for step in outcome.steps]
    return result


def outcome_of(result: Result) -> Outcome:
    """The outcome again. A status that we do not know is Deferred."""
    if result.status == "sent":
        return Sent(result.dsn, result.text, result.relay, result.remote_mta, result.diagnostic, result.action)
    kind = Bounced if result.status == "bounced" else Deferred
    return kind(result.dsn, result.text, "none", result.remote_mta, result.diagnostic)
