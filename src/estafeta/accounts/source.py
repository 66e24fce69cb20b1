"""What knows passwords: a passwd file, PAM, an SQL table, a sasldb, a saslauthd, an identity provider.

A source is asked by local.py for what a SASL mechanism wants to know. "Not there" and "wrong" are answers (None);
a source that cannot be asked raises SourceDown, and the client hears "later".
"""

from __future__ import annotations

from estafeta.accounts.authenticator import Circumstances
from estafeta.wire.sasl.events import Kept

SECRET_FORMS = frozenset({"CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"})
"""Mechanisms that need something that is kept of the password, not the password from the client."""


class SourceDown(Exception):
    """The source cannot be asked now. The text names the source, the reason and the remedy, and no secret."""


class Source:
    """One source. The methods of what it cannot do say None: `does` tells beforehand."""

    name: str
    """As configured: `passwd-file:/etc/estafeta/users`."""
    passwords: bool = True
    """Whether `verify` is of use."""
    forms: frozenset[str] = frozenset()
    """Of SECRET_FORMS, those for which `kept` may have something."""
    tokens: bool = False
    """Whether `owner` is of use."""

    def open(self) -> None:
        """Before privileges and root directory are dropped. What is wrong then is told to those who ask."""

    async def start(self) -> None:
        """After that, on the event loop."""

    async def stop(self) -> None:
        """Give back what is held."""

    async def verify(self, user: str, password: str, about: Circumstances) -> bool:
        """Whether this is the user's password. A user who does not exist costs as much. Raises SourceDown."""
        return False

    async def kept(self, user: str, realm: str, form: str, about: Circumstances) -> Kept | None:
        """What there is for a mechanism of SECRET_FORMS. Raises SourceDown."""
        return None

    async def decoy(self, user: str, form: str) -> Kept | None:
        """What `kept` might say of a user who does not exist, always the same; nothing fits it. None: the mechanism
        may make something up, since it looks like what is kept here. Raises SourceDown."""
        return None

    async def owner(self, user: str, token: str) -> str | None:
        """Whose token it is; `user`, if not empty, is who the client says. Raises SourceDown."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"
