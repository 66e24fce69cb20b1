"""Cyrus SASL's saslauthd: a process that checks passwords (PAM, shadow, LDAP, ...), asked through a local socket.

A request is user, password, service and realm, each with its length in two bytes before it; the answer is one such
text that begins with OK or NO. saslauthd closes the connection after it.

As with Postfix, the socket's path is seen from inside the chroot where smtpd is in one: saslauthd is then to make its
socket below the queue directory (Debian: OPTIONS="-c -m /var/spool/postfix/var/run/saslauthd").
"""

from __future__ import annotations

import asyncio
import struct

from estafeta.accounts.authenticator import Circumstances
from estafeta.accounts.source import Source, SourceDown

DEFAULT_PATH = "/var/run/saslauthd"
TIMEOUT = 60.0
"""Seconds for an answer: PAM modules wait on purpose, and directories may be slow."""
LONGEST_FIELD = 1024
"""Bytes of a field; saslauthd takes no more."""
LONGEST_ANSWER = 1024
MOST = 100
"""Requests at a time."""


class BadReply(ValueError):
    """The answer is none."""


def request(user: str, password: str, service: str, realm: str) -> bytes:
    """Raises ValueError for what does not fit."""
    fields = [part.encode("utf-8", "surrogateescape") for part in (user, password, service, realm)]
    if any(len(part) > LONGEST_FIELD for part in fields):
        raise ValueError("too long for saslauthd")
    return b"".join(struct.pack("!H", len(part)) + part for part in fields)


def understood(answer: bytes) -> bool:
    """Whether the text of the answer says that the password is right. Raises BadReply for neither yes nor no."""
    if answer.startswith(b"OK"):
        return True
    if answer.startswith(b"NO"):
        return False
    raise BadReply("the answer is neither OK nor NO")


def socket_path(configured: str) -> str:
    """saslauthd_path names the socket, or the folder that it is in."""
    return configured if configured.endswith("/mux") or not configured else f"{configured}/mux"


class Saslauthd(Source):
    """`path`: of the socket."""

    def __init__(self, path: str, *, timeout: float = TIMEOUT) -> None:
        self.name = f"saslauthd:{path}"
        self._path = path
        self._timeout = timeout
        self._under_way = 0

    async def verify(self, user: str, password: str, about: Circumstances) -> bool:
        name, at, realm = user.partition("@")
        try:
            asked = request(name, password, about.service, realm if at else about.realm)
        except ValueError:
            return False
        if self._under_way >= MOST:
            raise SourceDown(f"{self.name}: {MOST} logins are being checked already")
        self._under_way += 1
        try:
            async with asyncio.timeout(self._timeout):
                return understood(await self._ask(asked))
        except TimeoutError:
            raise SourceDown(f"{self.name}: no answer within {self._timeout:.0f} seconds") from None
        except (BadReply, asyncio.IncompleteReadError, EOFError):
            raise SourceDown(f"{self.name}: no answer that makes sense") from None
        except OSError as error:
            raise SourceDown(
                f"cannot connect to saslauthd server: {error.strerror or error} ({self._path}: let saslauthd have its "
                f"socket there, below the queue directory if this runs in a chroot, and let this user reach it)"
            ) from None
        finally:
            self._under_way -= 1

    async def _ask(self, asked: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=LONGEST_ANSWER * 4)
        try:
            writer.write(asked)
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            if not 2 <= length <= LONGEST_ANSWER:
                raise BadReply(f"an answer of {length} bytes")
            return await reader.readexactly(length)
        finally:
            writer.close()
