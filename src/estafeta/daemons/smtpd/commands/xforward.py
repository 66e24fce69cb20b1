"""XFORWARD: a trusted client, mostly a content filter, says where the next message came from. XFORWARD_README.

Nothing but log lines and XFORWARD further on goes by it; restrictions see the client itself. It holds until the end of
the message. What was not said counts as not known: facts about the filter must not mix with facts about the client.
"""

from __future__ import annotations

from estafeta.daemons.smtpd.session import Session
from estafeta.net.peer import UNKNOWN
from estafeta.tables.table import TableDown
from estafeta.wire.smtp.attributes import NOT_KNOWN, XFORWARD, BadAttribute, parse_attributes

ABOUT_CLIENT = frozenset({"NAME", "ADDR", "PORT", "HELO", "PROTO"})


async def xforward(session: Session, arguments: str) -> bytes:
    if session.transaction.sender is not None:
        return b"503 5.5.1 Error: MAIL transaction in progress\r\n"
    try:
        if not await session.may_xforward():
            return b"550 5.7.0 Error: insufficient authorization\r\n"
    except TableDown:
        return session.no_local_data()
    if not arguments:
        return b"501 5.5.4 Syntax: XFORWARD attribute=value...\r\n"
    try:
        said = parse_attributes("XFORWARD", XFORWARD, arguments, ipv6=session.policy.ipv6)
    except BadAttribute as problem:
        return f"501 {problem}\r\n".encode("utf-8", "surrogateescape")
    forwarded = session.forwarded or Forwarded()
    for name, value in said.items():
        forwarded.take(name, "" if value in NOT_KNOWN else value)
    session.forwarded = forwarded
    return b"250 2.0.0 Ok\r\n"


class Forwarded:
    """What XFORWARD said about the next message; "" for what it did not say."""

    __slots__ = ("_about_client", "_said")

    def __init__(self) -> None:
        self._said: dict[str, str] = {}
        self._about_client = False

    def take(self, name: str, value: str) -> None:
        self._said[name] = value
        self._about_client = self._about_client or name in ABOUT_CLIENT

    def get(self, name: str) -> str:
        return self._said.get(name, "")

    @property
    def name(self) -> str:
        return self.get("NAME") or UNKNOWN

    @property
    def context(self) -> str:
        """`local` or `remote`; "" if nothing was said."""
        return self.get("SOURCE").lower()

    def namaddr(self, log_port: bool) -> str:
        """`name[address]:port`, or just the name if the address is not known."""
        address = self.get("ADDR")
        if not address:
            return self.name
        port = f":{self.get('PORT') or UNKNOWN}" if log_port else ""
        return f"{self.name}[{address}]{port}"

    def logged(self, log_port: bool) -> str:
        """What the log's `client=` line has behind the client."""
        ident = self.get("IDENT")
        parts = [f", orig_queue_id={ident}"] if ident else []
        if self._about_client:
            parts.append(f", orig_client={self.namaddr(log_port)}")
        return "".join(parts)
