"""The envelope: all that is known of a message apart from its content.

Made by smtpd, pickup or another submitter, completed by intake, stored with the content in the spool (msgpack) and
carried in every conversation about the message. Addresses are in internal form (unquoted), as text. Every text here is
clean: whoever makes an envelope refuses addresses that are not UTF-8 and makes other texts printable, so packing
cannot fail on a surrogate.
"""

from __future__ import annotations

import msgspec

from estafeta.mail.address import quote

NOTIFY_NEVER, NOTIFY_SUCCESS, NOTIFY_FAILURE, NOTIFY_DELAY = 1, 2, 4, 8
"""The bits of `Recipient.notify`: RFC 3461 4.1. 0: nothing was said, so failure and delay are reported."""

RET_FULL, RET_HDRS = "FULL", "HDRS"


class Recipient(msgspec.Struct, array_like=True):
    """One recipient. `original` is the address before virtual aliases; it appears as orig_to and X-Original-To."""

    address: str
    original: str = ""
    notify: int = 0
    orcpt: str = ""
    """As the client gave it in ORCPT, decoded from xtext: `rfc822;user@example.com`, or how the client wrote an address
    that can be written in several ways; empty if there is no more to it than `implied_orcpt` of the original."""


def implied_orcpt(original: str) -> str:
    """The original recipient of whom nothing else is said, with its type; internal form in. RFC 3461 4.2."""
    return f"{'rfc822' if original.isascii() else 'utf-8'};{quote(original)}"


class Client(msgspec.Struct, array_like=True):
    """Where the message came from: the client, or who XFORWARD said that it was. Empty texts for mail submitted on this
    machine, and for what is not known."""

    name: str = ""
    """Verified host name, `unknown` if there is none, `localhost` and so on."""
    address: str = ""
    port: str = ""
    reverse_name: str = ""
    helo: str = ""
    protocol: str = ""
    """SMTP, ESMTP, ESMTPS ... as in Received."""
    sasl_method: str = ""
    sasl_username: str = ""
    sasl_sender: str = ""
    ident: str = ""
    """The queue id that the message had at the host which XFORWARD told of; empty if that is our own queue id.
    XFORWARD's SOURCE is `Envelope.context`."""


class Trouble(msgspec.Struct, array_like=True):
    """Why a recipient is still waiting: what mailq shows and the delay report says."""

    dsn: str
    text: str
    remote_mta: str = ""
    diagnostic: str = ""


class Told(msgspec.Struct, array_like=True):
    """What became of one recipient, in full. `status`: sent, deferred or bounced."""

    status: str
    dsn: str
    text: str
    remote_mta: str = ""
    diagnostic: str = ""
    action: str = ""
    relay: str = ""


class Envelope(msgspec.Struct, array_like=True):
    """One message without its content. New fields go at the end, with a default, so that old files stay readable."""

    queue_id: str
    arrived: float
    """When the message arrived, seconds since the epoch."""
    sender: str
    """Empty for the null sender <>."""
    recipients: list[Recipient]
    size: int = 0
    """Content in bytes with each line end counted as one, as Postfix's `size=`."""
    envid: str = ""
    ret: str = ""
    encoding: str = ""
    """7bit, 8bit or empty: what BODY= or the scan of the content said."""
    smtputf8: bool = False
    context: str = "local"
    """Which header rewriting applies: local or remote (local_header_rewrite_clients)."""
    content_filter: str = ""
    """`transport:nexthop` that overrides all routing, or empty."""
    redirect: str = ""
    verp: str = ""
    trace: int = 0
    """TRACE_* bits: sendmail -bv and -v, and probes of verify(8)."""
    client: Client = msgspec.field(default_factory=Client)
    done: list[int] = msgspec.field(default_factory=list)
    """Indices of recipients that need nothing more."""
    troubles: dict[int, Trouble] = msgspec.field(default_factory=dict)
    """Index of a recipient -> why its last attempt was put off."""
    hold_reason: str = ""
    warned: bool = False
    """The delay report was sent."""
    attempt_after: float = 0.0
    """No attempt before this moment, seconds since the epoch; 0 for none."""
    attempts: int = 0
    sender_original: str = ""
    owner_uid: int = -1
    """Who handed it to sendmail(1); -1 for mail from the network."""
    unreported: dict[int, Told] | None = None
    """Recipients whose fate is final while bounce(8) could not be asked to tell the sender; None for none."""
    expanded: list[Recipient] | None = None
    """Addresses that aliases have replaced, of which the sender wants to hear that they were reached, and has not yet.
    RFC 3461 5.2.7; None for none."""
    asked: str = ""
    """What postsuper(1) wants of a message that nobody may touch now, as it is on hold or qmgr is away: ASKED_EXPIRE,
    ASKED_REQUEUE or empty."""


ASKED_EXPIRE, ASKED_REQUEUE = "expire", "requeue"
TRACE_VERIFY, TRACE_REPORT, TRACE_PROBE = 1, 2, 4
"""`sendmail -bv`: deliver nothing, report what would happen. `sendmail -v`: deliver and report. With TRACE_VERIFY: a
probe of verify(8), which is told what would happen; there is no report."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)


def encode(envelope: Envelope) -> bytes:
    """msgpack of the envelope."""
    return _encoder.encode(envelope)


def decode(packed: bytes | memoryview) -> Envelope:
    """The envelope again. Raises msgspec.DecodeError or msgspec.ValidationError on foreign bytes."""
    return _decoder.decode(packed)
