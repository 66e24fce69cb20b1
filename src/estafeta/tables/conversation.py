"""Questions to a server of tables, one at a time on each connection, which is kept for the next.

`tcp:` and `socketmap:` speak through here. A connection that the server has closed meanwhile is replaced without a
word, once; everything else that goes wrong is a Failure, and leads to "ask later". A question that is given up takes
its connection along: an answer that comes late must not be taken for the next one's.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 - names are resolved in a chroot, too late to load it
import contextlib
import encodings.idna  # noqa: F401 - the same
import os
import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from estafeta.base import log
from estafeta.tables.source import is_utf8
from estafeta.tables.table import Flags, Table, TableDown, TableError

WAIT = 100.0
"""Seconds for one question, connecting included: tcp_table(5), and Postfix's socketmap client."""
MOST_CONNECTIONS = 20
"""At a time to one server; further questions wait."""

Read = Callable[[asyncio.StreamReader], Awaitable[bytes]]
"""Reads one answer. Raises Failure for one that makes no sense."""


class Failure(Exception):
    """No answer; the text says why."""


class Unreachable(Failure):
    """Not even a connection."""


class Endpoint(NamedTuple):
    """A server: a local socket's path, or host and port."""

    path: str
    host: str
    port: str

    @classmethod
    def inet(cls, text: str) -> Endpoint:
        """`host:port`, `[address]:port` or `port`. Raises ValueError, with Postfix's words."""
        host, colon, port = text.rpartition(":")
        if not colon:
            host, port = "localhost", text
        if port[:1].isdigit() and not port.isdigit():
            raise ValueError(f"{text}: garbage after numerical service")
        if not port or not host:
            raise ValueError(f"missing host or service information: {text}")
        return cls("", host.removeprefix("[").removesuffix("]"), port)

    @classmethod
    def unix(cls, path: str) -> Endpoint:
        return cls(path, "", "")

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


class Conversation:
    """All connections of this process to one server."""

    def __init__(self, endpoint: Endpoint, *, limit: int) -> None:
        """`limit`: bytes that an answer may need in memory."""
        self.endpoint = endpoint
        self._limit = limit
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._places = asyncio.Semaphore(MOST_CONNECTIONS)

    async def ask(self, question: bytes, read: Read) -> bytes:
        """Raises Failure."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._idle, self._places = loop, [], asyncio.Semaphore(MOST_CONNECTIONS)
        try:
            async with asyncio.timeout(WAIT), self._places:
                try:
                    return await self._once(question, read)
                except (asyncio.IncompleteReadError, ConnectionError):
                    # The server may have been about to close the connection when we asked.
                    self._hang_up()
                    return await self._once(question, read)
        except TimeoutError:
            raise Failure(f"no answer within {WAIT:.0f} seconds") from None
        except asyncio.IncompleteReadError:
            raise Failure("unexpected disconnect") from None
        except OSError as error:
            raise Failure(_reason(error)) from None

    def close(self) -> None:
        self._hang_up()

    async def _once(self, question: bytes, read: Read) -> bytes:
        reader, writer = await self._connection()
        try:
            writer.write(question)
            await writer.drain()
            answer = await read(reader)
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return answer

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        place = self.endpoint
        try:
            if place.path:
                return await asyncio.open_unix_connection(place.path, limit=self._limit)
            return await asyncio.open_connection(place.host, place.port, limit=self._limit)
        except TimeoutError:
            raise
        except OSError as error:
            raise Unreachable(_reason(error)) from None

    def _hang_up(self) -> None:
        for _, writer in self._idle:
            with contextlib.suppress(RuntimeError):  # the loop is closed already, and its connections with it
                writer.close()
        self._idle.clear()


class ServedTable(Table):
    """What `tcp:` and `socketmap:` have in common: a server that is not ours answers, so nothing is trusted to it."""

    indexed = False
    _server: Conversation

    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        self._flags = flags
        if flags.trusted:
            raise TableError(
                f"{self.spec} map is not allowed for security-sensitive data", "use a table that is a file of ours"
            )

    def close(self) -> None:
        self._server.close()

    def _askable(self, key: str) -> bool:
        """Whether the key is text, where it has to be; the log says when it is not."""
        if self._flags.utf8 and not is_utf8(key):
            log.warning(f"{self.spec}: non-UTF-8 key: malformed UTF-8 or invalid codepoint")
            return False
        return True

    def _usable(self, key: str, value: str) -> str:
        """The value of a key. Raises TableDown when it has to be text, and is not."""
        if self._flags.utf8 and not is_utf8(value):
            log.warning(f'{self.spec}: key "{key}": non-UTF-8 value: malformed UTF-8 or invalid codepoint')
            raise TableDown(f"table {self.spec}: query error: the value is not UTF-8")
        return value


_ERRNO = re.compile(r"^\[Errno -?\d+\] ")


def _reason(error: OSError) -> str:
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio's own words name the address twice
    return error.strerror or _ERRNO.sub("", str(error))
