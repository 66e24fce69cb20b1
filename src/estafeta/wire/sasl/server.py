"""The SASL mechanisms that a server of ours can speak, and how good each of them is. RFC 4422.

    machine = server_mechanism("SCRAM-SHA-256", setting)
    event = machine.begin(initial)
    # Send: send it, and hand on the response with machine.step(response)
    # Verify, Secret, Token, Authorize: find out, and go on with machine.answer(...)
    # Success, Failure: that is all

What cannot be found out now ends the exchange; the machine need not be told.
"""

from __future__ import annotations

from estafeta.wire.sasl.cram_md5 import CramMd5
from estafeta.wire.sasl.digest_md5 import DigestMd5
from estafeta.wire.sasl.events import (
    Ask,
    Authorize,
    DigestKey,
    Event,
    Failure,
    Given,
    Kept,
    Password,
    ScramKeys,
    Secret,
    Send,
    Setting,
    Success,
    Token,
    Verify,
)
from estafeta.wire.sasl.mechanism import Mechanism
from estafeta.wire.sasl.oauth import OauthBearer, Xoauth2
from estafeta.wire.sasl.other import Anonymous, External
from estafeta.wire.sasl.plain import Login, Plain
from estafeta.wire.sasl.scram import Scram, scram_keys

__all__ = [
    "CHANNEL_BOUND",
    "TRAITS",
    "Ask",
    "Authorize",
    "DigestKey",
    "Event",
    "Failure",
    "Given",
    "Kept",
    "Mechanism",
    "Password",
    "ScramKeys",
    "Secret",
    "Send",
    "Setting",
    "Success",
    "Token",
    "Verify",
    "scram_keys",
    "server_mechanism",
]

_MECHANISMS: dict[str, type[Mechanism]] = {
    "PLAIN": Plain,
    "LOGIN": Login,
    "CRAM-MD5": CramMd5,
    "DIGEST-MD5": DigestMd5,
    "SCRAM-SHA-1": Scram,
    "SCRAM-SHA-1-PLUS": Scram,
    "SCRAM-SHA-256": Scram,
    "SCRAM-SHA-256-PLUS": Scram,
    "EXTERNAL": External,
    "ANONYMOUS": Anonymous,
    "OAUTHBEARER": OauthBearer,
    "XOAUTH2": Xoauth2,
}

_SENT = frozenset({"plaintext", "dictionary", "active"})
"""A secret that goes over the wire can be taken in any way."""
_DIGEST = frozenset({"dictionary", "active"})
_SCRAM = frozenset({"dictionary", "mutual_auth"})

TRAITS: dict[str, frozenset[str]] = {
    "PLAIN": _SENT,
    "LOGIN": _SENT,
    "CRAM-MD5": _DIGEST,
    "DIGEST-MD5": _DIGEST | {"mutual_auth"},
    "SCRAM-SHA-1": _SCRAM,
    "SCRAM-SHA-1-PLUS": _SCRAM,
    "SCRAM-SHA-256": _SCRAM,
    "SCRAM-SHA-256-PLUS": _SCRAM,
    "EXTERNAL": frozenset({"active"}),
    "ANONYMOUS": frozenset({"anonymous", "dictionary", "active"}),
    "OAUTHBEARER": _SENT,
    "XOAUTH2": _SENT,
}
"""What smtpd_sasl_security_options asks about: the words of accounts.authenticator."""

CHANNEL_BOUND = frozenset(name for name in _MECHANISMS if name.endswith("-PLUS"))
"""Only to be offered where Setting.channel_binding is known."""


def server_mechanism(name: str, setting: Setting) -> Mechanism:
    """A new exchange. Raises KeyError for a mechanism that we do not speak; `name` in capitals."""
    return _MECHANISMS[name](name, setting)
