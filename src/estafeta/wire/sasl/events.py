"""What a SASL mechanism answers to what the client said. RFC 4422 3.

A mechanism is a state machine that knows no password. It says `Send` (a challenge for the client), asks its owner for
what only a password file, a server or an identity provider can say (Verify, Secret, Token, Authorize), or ends with
Success or Failure. What the owner cannot find out now is not the machine's business: it drops the machine.
"""

from __future__ import annotations

from dataclasses import dataclass

FAILED = "authentication failure"
"""The reason for anything that has to do with user and password: nobody is to learn which of them was wrong."""
BAD_PROTOCOL = "bad protocol / cancel"
"""The reason where the client does not speak the mechanism."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What mechanisms know of the server and of the connection. `nonce` and `pepper` are chance, handed in."""

    host: str
    """The server's name."""
    realm: str
    """For users who name none; may be empty."""
    nonce: str
    """Printable, without `,` and `"`, never used before and not to be guessed: secrets.token_urlsafe(18) will do."""
    pepper: bytes
    """A secret of the server that lasts. Salts of users who do not exist come from it, so that they stay the same."""
    service: str = "smtp"
    certificate_name: str = ""
    """Whom a client certificate that is trusted speaks for."""
    channel_binding: bytes = b""
    """tls-exporter or tls-unique data. If there is any, the -PLUS mechanisms are taken to be on offer."""
    iterations: int = 4096
    """PBKDF2 rounds for users whose password is kept as text, and for those who do not exist. RFC 7677 4"""
    keeps_passwords: bool = True
    """Secret is answered with Password for most users: then a user who does not exist takes as long to refuse."""


# --- to the client


@dataclass(frozen=True, slots=True)
class Send:
    """A challenge, raw. `step` takes the response to it."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Success:
    """The client is `user`. `text`: what is to be sent with success, or in a last challenge that the client answers
    with nothing."""

    user: str
    text: bytes = b""


@dataclass(frozen=True, slots=True)
class Failure:
    """`reason` holds no secret. `user`: who it was about, as far as the client said."""

    reason: str = FAILED
    user: str = ""


# --- to the owner, each followed by `answer`


@dataclass(frozen=True, slots=True)
class Verify:
    """Is this the user's password? Answer with the user's name, as it is to be known from here on, or None.

    `password` is what the client sent, bytes that are no UTF-8 as surrogates; `prepared` is the same by SASLprep
    (RFC 4616 2), which differs from it for few people.
    """

    user: str
    password: str
    prepared: str

    def __repr__(self) -> str:
        return f"Verify(user={self.user!r})"


@dataclass(frozen=True, slots=True)
class Secret:
    """What is kept for the user? Answer with a Password, with ScramKeys of `form` or a DigestKey of `realm` where that
    is what is kept, or with None: no such user, or nothing that helps."""

    user: str
    realm: str
    """As the client named it; the server's own if it named none."""
    form: str
    """CRAM-MD5, DIGEST-MD5, SCRAM-SHA-1, SCRAM-SHA-256."""


@dataclass(frozen=True, slots=True)
class Token:
    """Whose is this bearer token? `user`: who the client says it is, may be empty. Answer with a name or None."""

    user: str
    token: str

    def __repr__(self) -> str:
        return f"Token(user={self.user!r})"


@dataclass(frozen=True, slots=True)
class Authorize:
    """`user`, whose password was right, wants to act as `authzid`, somebody else. Answer with the name to act as, or
    None."""

    user: str
    authzid: str


Ask = Verify | Secret | Token | Authorize
Event = Send | Success | Failure | Ask

# --- answers to Secret


@dataclass(frozen=True, slots=True)
class Password:
    """The password itself."""

    text: str

    def __repr__(self) -> str:
        return "Password(...)"


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What a server may keep in place of the password. RFC 5802 3"""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    def __repr__(self) -> str:
        return "ScramKeys(...)"


@dataclass(frozen=True, slots=True)
class DigestKey:
    """MD5 of `user:realm:password`, 16 bytes. RFC 2831 2.1.2.1"""

    key: bytes

    def __repr__(self) -> str:
        return "DigestKey(...)"


Kept = Password | ScramKeys | DigestKey
Given = Kept | str | None
"""What `answer` takes."""
