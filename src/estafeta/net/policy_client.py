"""Connections to a policy server: each carries one request at a time, and all requests about one message.

Policy servers may keep in mind what they were asked about a message, and rely on its requests coming over one
connection (`instance` in SMTPD_POLICY_README). So a connection belongs to a message, its `owner`, until that is gone,
unless so many are open that an idle one has to be taken away.
"""

from __future__ import annotations

import asyncio
import errno
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

from estafeta.base import log
from estafeta.net.dns import DnsError, Resolver
from estafeta.net.stream import LineTooLong, PeerGone, Stream
from estafeta.wire.policy import MOST_BYTES, BadAnswer, parse_answer

MOST_CONNECTIONS = 100
"""To one server from one process; further requests wait. Postfix has as many, one for each smtpd process."""
MOST_LINES = 100
CONFUSED = "Application error"
"""What Postfix's log calls a server that hangs up or talks nonsense."""


class PolicyDown(OSError):
    """The server could not be asked, as often as was tried."""


@dataclass(frozen=True, slots=True)
class PolicyService:
    """One server and its limits. Seconds; `request_limit` 0 is no limit."""

    endpoint: str
    """As the configuration has it: `inet:127.0.0.1:10040`, `unix:private/policy`."""
    path: str
    host: str
    port: int
    timeout: float
    max_idle: float
    max_ttl: float
    request_limit: int
    try_limit: int
    retry_delay: float
    default_action: str
    policy_context: str

    @property
    def name(self) -> str:
        """The server as log lines have it."""
        return self.endpoint.partition(":")[2]


class _Line:
    """One connection."""

    __slots__ = ("born", "idle_since", "owner", "requests", "stream")

    def __init__(self, stream: Stream, now: float) -> None:
        self.stream = stream
        self.born = now
        self.idle_since = now
        self.requests = 0
        self.owner: weakref.ref[object] | None = None

    def belongs_to(self, owner: object) -> bool:
        return self.owner is not None and self.owner() is owner

    @property
    def free(self) -> bool:
        return self.owner is None or self.owner() is None


class PolicyClient:
    """All connections of this process to one server."""

    def __init__(self, service: PolicyService, resolver: Resolver, *, family: int = 0) -> None:
        """`family`: 4 or 6 if the server's host may have addresses of that kind only, 0 for both."""
        self.service = service
        self._resolver = resolver
        self._family = family
        self._idle: list[_Line] = []
        """Longest unused first."""
        self._sweeping: asyncio.TimerHandle | None = None
        self._places = asyncio.Semaphore(MOST_CONNECTIONS)

    async def ask(self, request: bytes, owner: object) -> str:
        """The action. `owner`: the message that the request is about. Raises PolicyDown, logged."""
        service = self.service
        for attempt in range(service.try_limit):
            if attempt:
                await asyncio.sleep(service.retry_delay)
            hung_up = False
            try:
                return await self._once(request, owner)
            except BadAnswer as problem:
                log.warning(f"{problem} in input from {service.name}")
                why, hung_up = CONFUSED, True
            except (PeerGone, LineTooLong):
                why, hung_up = CONFUSED, True
            except TimeoutError:
                why = os.strerror(errno.ETIMEDOUT)
            except OSError as error:
                why = os.strerror(error.errno) if error.errno else str(error)
                hung_up = error.errno == errno.ENOENT
                log.warning(f"connect to {service.name}: {why}")
            # A server that is just being started anew is worth this line only if that does not pass.
            if not hung_up or attempt + 1 == service.try_limit:
                log.warning(f"problem talking to server {service.name}: {why}")
        raise PolicyDown(why)

    async def _once(self, request: bytes, owner: object) -> str:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self.service.timeout), self._places:
            line = self._idle_line(owner, loop.time())
            if line is not None:
                try:
                    return await self._over(line, request, owner)
                except PeerGone:
                    pass  # it had been closed when we began to write: that is no failed try
            return await self._over(await self._connect(), request, owner)

    def _idle_line(self, owner: object, now: float) -> _Line | None:
        service = self.service
        for line in [line for line in self._idle if self._too_old(line, now)]:
            self._idle.remove(line)
            line.stream.abort()
        for line in self._idle:
            if line.belongs_to(owner):
                break
        else:
            free = [line for line in self._idle if line.free]
            if free:
                line = free[-1]
            elif len(self._idle) >= MOST_CONNECTIONS // 2:
                line = self._idle[0]  # of a message that has not asked for the longest time
            else:
                return None
        self._idle.remove(line)
        if line.stream.gone or (service.request_limit and line.requests >= service.request_limit):
            line.stream.abort()
            return None
        return line

    def _too_old(self, line: _Line, now: float) -> bool:
        service = self.service
        return line.stream.gone or now - line.idle_since >= service.max_idle or now - line.born >= service.max_ttl

    async def _connect(self) -> _Line:
        loop, service = asyncio.get_running_loop(), self.service
        if service.path:
            _, stream = await loop.create_unix_connection(Stream, service.path)
        else:
            stream = await self._reach(await self._addresses())
        stream.timeout = service.timeout
        return _Line(stream, loop.time())

    async def _reach(self, addresses: Sequence[str]) -> Stream:
        """The first of the addresses that answers. Raises OSError, of the last."""
        loop, port = asyncio.get_running_loop(), self.service.port
        for address in addresses[:-1]:
            try:
                return (await loop.create_connection(Stream, address, port))[1]
            except OSError:
                continue
        return (await loop.create_connection(Stream, addresses[-1], port))[1]

    async def _addresses(self) -> list[str]:
        """Those of the server's host, at least one."""
        host = self.service.host
        try:
            return await self._resolver.native(host, family=self._family)
        except DnsError as error:
            raise OSError(f"host {host}: {error}") from None

    async def _over(self, line: _Line, request: bytes, owner: object) -> str:
        stream = line.stream
        line.requests += 1
        try:
            stream.write(request)
            lines: list[bytes] = []
            while (text := (await stream.line(MOST_BYTES)).rstrip(b"\r\n")) != b"":
                lines.append(text)
                if len(lines) > MOST_LINES:
                    raise BadAnswer("too many attributes")
            action = parse_answer(lines)
        except BaseException:
            stream.abort()
            raise
        line.owner = weakref.ref(owner)
        line.idle_since = asyncio.get_running_loop().time()
        self._idle.append(line)
        if self._sweeping is None:
            self._sweep_later()
        return action

    def _sweep_later(self) -> None:
        """An unused connection must not stay for ever if nobody asks again. One timer for all: a busy server is asked
        thousands of times while it runs."""
        self._sweeping = asyncio.get_running_loop().call_later(self.service.max_idle + 1, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        now = asyncio.get_running_loop().time()
        for line in [line for line in self._idle if self._too_old(line, now)]:
            self._idle.remove(line)
            line.stream.abort()
        if self._idle:
            self._sweep_later()

    def close(self) -> None:
        """Hang up."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        while self._idle:
            self._idle.pop().stream.close()
