"""socketmap: a server of Sendmail's protocol, netstrings over TCP or a local socket: socketmap_table(5).

socketmap:inet:host:port:name    socketmap:unix:path:name
name SPACE key -> OK SPACE value | NOTFOUND | TEMP, TIMEOUT or PERM SPACE reason
"""

from __future__ import annotations

import asyncio

from estafeta.base import log
from estafeta.tables import settings
from estafeta.tables.conversation import Conversation, Endpoint, Failure, ServedTable, Unreachable
from estafeta.tables.table import Flags, TableDown, TableError

LONGEST_LENGTH = 10
"""Digits before a netstring's colon."""

FAILURES = {"TEMP": "temporary", "TIMEOUT": "timeout", "PERM": "permanent"}


class SocketmapTable(ServedTable):
    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        super().__init__(kind, name, flags)
        self._longest_query = settings.in_force.socketmap_query
        self._longest_reply = settings.in_force.socketmap_reply
        server, colon, self._map = name.rpartition(":")
        if not colon:
            raise TableError(f"{kind} requires server:socketmap argument", _HOW_TO_WRITE)
        self._server = Conversation(_endpoint(server), limit=self._longest_reply + 1)

    async def get(self, key: str) -> str | None:
        if not self._askable(key):
            return None
        question = f"{self._map} {key}".encode("utf-8", "surrogateescape")
        if len(question) > self._longest_query:
            log.warning(
                f"{self.spec}: query of {len(question)} bytes is longer than socketmap_max_query_size: not asked"
            )
            return None
        try:
            reply = await self._server.ask(b"%d:%b," % (len(question), question), self._netstring)
        except Failure as error:
            if isinstance(error, Unreachable):
                log.warning(f"connect to {self._server.endpoint}: {error}")
            log.warning(f"table {self.spec} lookup error: {error}")
            raise TableDown(f"table {self.spec}: query error: {error}") from None
        return self._value(key, reply)

    def _value(self, key: str, reply: bytes) -> str | None:
        # Tables elsewhere cannot hold a NUL: what is behind it is nobody's.
        status, _, value = reply.partition(b"\0")[0].decode("utf-8", "surrogateescape").partition(" ")
        if status == "NOTFOUND" or (status == "OK" and reply == b"OK"):
            return None
        if status != "OK":
            reason = f": {value}" if value else ""
            log.warning(f"{self.spec} socketmap server {FAILURES.get(status, 'unknown')} error{reason}")
            raise TableDown(f"table {self.spec}: query error{reason}")
        return self._usable(key, value)

    async def _netstring(self, reader: asyncio.StreamReader) -> bytes:
        digits = b""
        while (char := await reader.readexactly(1)) != b":":
            digits += char
            if not char.isdigit():
                raise Failure("input format error")
            if len(digits) > LONGEST_LENGTH:
                raise Failure("input exceeds size limit")
        if not digits:
            raise Failure("input format error")
        if int(digits) > self._longest_reply:
            raise Failure("input exceeds size limit")
        content = await reader.readexactly(int(digits) + 1)
        if content[-1:] != b",":
            raise Failure("input format error")
        return content[:-1]


_HOW_TO_WRITE = "write socketmap:inet:host:port:name or socketmap:unix:path:name"


def _endpoint(server: str) -> Endpoint:
    transport, colon, place = server.partition(":")
    if not colon:
        raise TableError(f'need service transport:endpoint instead of "{server}"', _HOW_TO_WRITE)
    if transport == "unix" and place:
        return Endpoint.unix(place)
    if transport != "inet":
        raise TableError(f"invalid transport name: {transport} in service: {server}", _HOW_TO_WRITE)
    try:
        return Endpoint.inet(place)
    except ValueError as error:
        raise TableError(str(error), _HOW_TO_WRITE) from None
