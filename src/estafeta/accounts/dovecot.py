"""smtpd_sasl_type = dovecot: a Dovecot server checks the logins. SASL_README.

One connection a process carries all logins under way. It is made when it is first needed, and anew when it was lost;
what was under way on it then is to be tried later. A server that is away is left alone for a moment, so that
a crowd of clients does not knock at its door.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from estafeta.accounts.authenticator import (
    ACTIVE,
    ANONYMOUS,
    DICTIONARY,
    FORWARD_SECRECY,
    MUTUAL_AUTH,
    PLAINTEXT,
    Answer,
    Challenge,
    Circumstances,
    Denied,
    Exchange,
    Login,
    Mechanism,
)
from estafeta.base import log
from estafeta.wire import dovecot_auth
from estafeta.wire.dovecot_auth import Bad, Continue, DovecotAuth, Event, Good, ProtocolError, Ready

if TYPE_CHECKING:
    from estafeta.config.instance import Config

CONNECT_TIMEOUT = 10.0
"""Seconds until the server must have introduced itself."""
ANSWER_TIMEOUT = 60.0
"""Seconds for one answer. The server delays answers to clients that guess, by up to 17."""
LEFT_ALONE = 1.0
"""Seconds until a server that was away is asked again."""
MOST_REQUESTS = 10_000
"""Logins under way."""
LAST_REQUEST = 0x7FFFFFFF

_TRAITS = {
    "plaintext": PLAINTEXT,
    "anonymous": ANONYMOUS,
    "dictionary": DICTIONARY,
    "active": ACTIVE,
    "forward-secrecy": FORWARD_SECRECY,
    "mutual-auth": MUTUAL_AUTH,
}
LOST = "Connection lost to authentication server"
NO_REASON = "(reason unavailable)"
INVALID_MECHANISM = "Invalid authentication mechanism"
TOO_LONG = "authentication response too long"


class _Link(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._protocol = DovecotAuth()
        self._transport: Any = None
        self._numbers = count(1)
        self.waiting: dict[int, asyncio.Future[Event]] = {}
        self.ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self.problem = ""
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.open = True

    def data_received(self, data: bytes) -> None:
        try:
            events = self._protocol.feed(data)
        except ProtocolError as error:
            self.problem = f"the authentication server does not speak Dovecot's protocol: {error}"
            self.close()
            return
        for event in events:
            if isinstance(event, Ready):
                if not self.ready.done():
                    self.ready.set_result(event)
                continue
            future = self.waiting.pop(event.request, None)
            if future is not None and not future.done():
                future.set_result(event)

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        lost = ConnectionError(self.problem or LOST)
        if not self.ready.done():
            self.ready.set_exception(lost)
            self.ready.exception()  # whoever waited may have given up
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(lost)
                future.exception()
        self.waiting.clear()

    def number(self) -> int:
        """For a new request."""
        return next(self._numbers)

    def say(self, line: bytes) -> None:
        if self.open and self._transport is not None:
            self._transport.write(line)

    async def ask(self, request: int, line: bytes) -> Event:
        """Send a line and wait for the answer. Raises ConnectionError, TimeoutError."""
        if not self.open:
            raise ConnectionError(LOST)
        if len(self.waiting) >= MOST_REQUESTS:
            raise ConnectionError("too many logins at the same time")
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self.waiting[request] = future
        self.say(line)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await future
        finally:
            self.waiting.pop(request, None)

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.close()


class DovecotExchange:
    """One login."""

    def __init__(self, link: _Link, request: int) -> None:
        self._link = link
        self._request = request
        self._over = False

    async def step(self, response: bytes) -> Answer:
        return await self.ask(dovecot_auth.proceed(self._request, response))

    async def ask(self, line: bytes) -> Answer:
        """Say it, and understand the answer."""
        if self._over:
            return Denied(LOST, later=True)
        if len(line) > dovecot_auth.LONGEST_REQUEST:
            self.cancel()
            return Denied(TOO_LONG)
        try:
            answer = _answer(await self._link.ask(self._request, line))
        except ConnectionError as error:
            answer = Denied(str(error), later=True)
        except TimeoutError:
            self._link.say(dovecot_auth.cancel(self._request))
            answer = Denied(f"no answer from the authentication server within {ANSWER_TIMEOUT:.0f} s", later=True)
        self._over = not isinstance(answer, Challenge)
        return answer

    def cancel(self) -> None:
        if not self._over:
            self._over = True
            self._link.say(dovecot_auth.cancel(self._request))


def _answer(event: Event) -> Answer:
    match event:
        case Continue():
            return Challenge(event.text)
        case Good() if event.user:
            return Login(event.user)
        case Bad():
            return Denied(event.reason or NO_REASON, later=event.later, user=event.user)
    return Denied("the authentication server names no user", later=True)


class DovecotAuthenticator:
    """`path`: a local socket, with or without `unix:` before it, or `inet:host:port`. Raises ValueError for another."""

    def __init__(self, path: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path.removeprefix("unix:")
        self._shown = path
        self._host, self._port = "", 0
        if path.startswith("inet:"):
            host, _, port = path[5:].rpartition(":")
            self._host = host.removeprefix("[").removesuffix("]")
            if not self._host or not port.isdigit():
                raise ValueError(f"{path}: write inet:host:port")
            self._port = int(port)
        self._clock = clock
        self._link: _Link | None = None
        self._mechanisms: tuple[Mechanism, ...] = ()
        self._connecting = asyncio.Lock()
        self._made = 0
        self._down = ""
        self._down_until = 0.0

    async def start(self) -> None:
        """Nothing: the first client who wants it makes the connection, as the server may start after us."""

    async def mechanisms(self) -> Sequence[Mechanism]:
        await self._linked()
        return self._mechanisms

    def unavailable(self, mechanism: str, *, needs_encryption: bool) -> str:
        return INVALID_MECHANISM

    async def begin(self, mechanism: str, initial: bytes | None, about: Circumstances) -> tuple[Exchange, Answer]:
        try:
            link = await self._linked()
        except OSError:  # logged; where our server is, is not the client's business
            return _NoExchange(), Denied(LOST, later=True)
        if not any(known.name == mechanism for known in self._mechanisms):
            # The server would hang up on it.
            return _NoExchange(), Denied(INVALID_MECHANISM)
        exchange = DovecotExchange(link, link.number())
        line = dovecot_auth.begin(exchange._request, mechanism, _parameters(about), initial)
        return exchange, await exchange.ask(line)

    async def stop(self) -> None:
        if self._link is not None:
            self._link.close()

    async def _linked(self) -> _Link:
        """The connection. Raises OSError, with the reason and what it was that could not be reached."""
        if self._link is not None and self._link.open:
            return self._link
        async with self._connecting:
            if self._link is not None and self._link.open:
                return self._link
            if self._clock() < self._down_until:
                raise ConnectionError(self._down)
            try:
                self._link = await self._connect()
            except (OSError, TimeoutError) as error:
                reason = getattr(error, "strerror", None) or str(error) or "Connection timed out"
                self._down = f"SASL: Connect to Dovecot auth socket '{self._shown}' failed: {reason}"
                self._down_until = self._clock() + LEFT_ALONE
                log.warning(self._down)
                log.warning(
                    "nobody can log in: see that Dovecot runs, that its `service auth' listens where smtpd_sasl_path "
                    "says (a socket's name counts from queue_directory), and that mail_owner may use the socket"
                )
                raise ConnectionError(self._down) from None
            return self._link

    async def _connect(self) -> _Link:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT):
            if self._host:
                _, link = await loop.create_connection(_Link, self._host, self._port)
            else:
                _, link = await loop.create_unix_connection(_Link, self._path)
            try:
                # A number of its own for each connection: the server may not know yet that the last one is gone.
                link.say(dovecot_auth.hello((os.getpid() + (self._made << 22)) % LAST_REQUEST or 1))
                self._made += 1
                ready = await link.ready
            except BaseException:
                link.close()
                raise
        self._mechanisms = tuple(
            Mechanism(offer.name, frozenset(_TRAITS[flag] for flag in offer.flags if flag in _TRAITS))
            for offer in ready.offers
            # The protocol has no place for what a login would be bound to.
            if not offer.name.endswith("-PLUS")
        )
        return link


class _NoExchange:
    """What was over before it began."""

    async def step(self, response: bytes) -> Answer:
        return Denied(LOST, later=True)

    def cancel(self) -> None:
        return


def _parameters(about: Circumstances) -> list[tuple[str, str]]:
    """`nologin`: nobody will ask for the user's home directory afterwards."""
    said = [("service", about.service), ("nologin", "")]
    said += [("lip", about.own_address)] if about.own_address else []
    said += [("rip", about.client_address)] if about.client_address else []
    said += [("lport", about.own_port)] if about.own_port else []
    said += [("rport", about.client_port)] if about.client_port else []
    said += [("secured", "")] if about.tls else []
    if about.certificate_name:
        said += [("valid-client-cert", ""), ("cert_username", about.certificate_name)]
    return said


def open_authenticator(path: str, conf: Config) -> DovecotAuthenticator:
    """For accounts/index.py."""
    return DovecotAuthenticator(path)
