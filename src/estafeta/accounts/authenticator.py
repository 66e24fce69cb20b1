"""Who checks a login: the interface between a server that speaks SMTP (or IMAP, POP3) and what knows the passwords.

`smtpd_sasl_type` chooses among the implementations: a Dovecot server's socket (dovecot.py), a Cyrus configuration
(cyrus.py), accounts of our own (own.py). A server asks for the mechanisms, begins an exchange, and hands on what the
client says until there is a Login or a Denied.

What cannot be asked now is never a wrong password: `Denied.later` leads to 454, and to no mark against the client.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

PLAINTEXT, ANONYMOUS, DICTIONARY, ACTIVE = "plaintext", "anonymous", "dictionary", "active"
"""What is wrong with a mechanism: it sends the password; it asks for none; what is seen on the way can be tried
against a word list; an active attacker can take the session over."""
FORWARD_SECRECY, MUTUAL_AUTH = "forward_secrecy", "mutual_auth"
"""What is good about it: old sessions stay secret; the client knows whom it talks to."""


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One SASL mechanism, `name` in capitals."""

    name: str
    traits: frozenset[str] = field(default_factory=frozenset)
    """Of the words above."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Whom a login is for, and how it comes in."""

    service: str
    """smtpd_sasl_service: `smtp`."""
    realm: str
    """smtpd_sasl_local_domain."""
    client_address: str
    client_port: str
    own_address: str
    own_port: str
    own_name: str
    """myhostname: the server name that some mechanisms sign."""
    tls: bool
    certificate_name: str = ""
    """The user that a client certificate which we trust speaks for (EXTERNAL); may be empty."""
    channel_binding: bytes = b""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this and wait for the client's answer. Raw bytes: base64 belongs to the protocol."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Login:
    """The client is `user`. `text`: a last word of the server that mechanisms such as SCRAM want delivered; a client
    has to answer it (with nothing) where the protocol has no place for it beside success."""

    user: str
    text: bytes = b""


@dataclass(frozen=True, slots=True)
class Denied:
    """No login. `reason` is for reply and log and never holds a secret. `later`: it could not be checked now."""

    reason: str
    later: bool = False
    user: str | None = None
    """Who it was about, if the client said so, and if that is known here."""


Answer = Challenge | Login | Denied


class Exchange(Protocol):
    """One AUTH dialogue."""

    async def step(self, response: bytes) -> Answer:
        """What to do after the client's next response. Never raises for what a client or a table does."""

    def cancel(self) -> None:
        """The client has given up or gone. Not needed after Login or Denied."""


class Authenticator(Protocol):
    """One a process."""

    async def start(self) -> None:
        """After privileges are dropped, on the event loop."""

    async def mechanisms(self) -> Sequence[Mechanism]:
        """All that can be offered. Raises OSError if that cannot be known now."""

    def unavailable(self, mechanism: str, *, needs_encryption: bool) -> str:
        """The reason for reply and log where a client asks for what it was not offered. `needs_encryption`: the
        mechanism sends the password, and only the lack of encryption keeps it from being offered."""

    async def begin(self, mechanism: str, initial: bytes | None, about: Circumstances) -> tuple[Exchange, Answer]:
        """Start an exchange. `initial`: the response that came with the command; None for none, b"" for an empty
        one."""

    async def stop(self) -> None:
        """Hang up, give back."""
