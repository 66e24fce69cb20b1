"""tcp: a server that answers one line for one line: tcp_table(5).

tcp:host:port          get SPACE key -> 200 SPACE value | 500 SPACE not there | 400 SPACE later
"""

from __future__ import annotations

import asyncio
import re

from estafeta.base import log
from estafeta.tables.conversation import Conversation, Endpoint, Failure, ServedTable, Unreachable
from estafeta.tables.table import Flags, TableDown, TableError

LONGEST_REPLY = 4096
"""Bytes, with the line end: tcp_table(5), "REPLY FORMAT"."""

_TO_ENCODE = re.compile(rb"[^!-$&-~]")
_CODE = re.compile(rb"%(?:([0-9A-Fa-f]{2})|)")


class TcpTable(ServedTable):
    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        super().__init__(kind, name, flags)
        try:
            endpoint = Endpoint.inet(name)
        except ValueError as error:
            raise TableError(str(error), f"write {kind}:host:port") from None
        self._server = Conversation(endpoint, limit=LONGEST_REPLY)

    async def get(self, key: str) -> str | None:
        if not self._askable(key):
            return None
        question = b"get %b\n" % encoded(key.encode("utf-8", "surrogateescape"))
        try:
            code, value = parsed(await self._server.ask(question, _line))
        except Failure as error:
            doing = "connect to TCP map" if isinstance(error, Unreachable) else "read TCP map reply from"
            log.warning(f"{doing} {self._server.endpoint}: {error}")
            raise TableDown(f"table {self.spec}: query error: {error}") from None
        if code == b"500":
            return None
        text = value.decode("utf-8", "surrogateescape")
        if code == b"400":
            raise TableDown(f"table {self.spec}: query error: {text}")
        return self._usable(key, text)


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError:
        raise Failure(f"text longer than {LONGEST_REPLY}") from None
    if len(line) > LONGEST_REPLY:
        raise Failure(f"text longer than {LONGEST_REPLY}")
    return line[:-1]


def encoded(raw: bytes) -> bytes:
    """A key as it is sent: everything but printing characters, and %, as %XX."""
    return _TO_ENCODE.sub(lambda match: b"%%%02X" % match[0][0], raw)


def parsed(line: bytes) -> tuple[bytes, bytes]:
    """A reply's line -> (code, decoded text). Raises Failure."""
    shown = line.decode("utf-8", "replace")[:100]
    if len(line) < 4 or not line[:3].isdigit() or line[3:4] not in (b" ", b"\t"):
        raise Failure(f"malformed reply: {shown}")
    code = line[:3]
    if code not in (b"200", b"400", b"500"):
        raise Failure(f"bad status code: {shown}")
    text = line[4:]
    if any(match[1] is None for match in _CODE.finditer(text)):
        raise Failure(f"malformed reply: {shown}")
    return code, _CODE.sub(lambda match: bytes([int(match[1], 16)]), text)
