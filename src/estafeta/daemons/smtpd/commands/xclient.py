"""XCLIENT: a trusted client speaks for another one, and the session begins anew as that one's. XCLIENT_README.

A proxy or a test program sends it. From then on restrictions, log and Received header go by what it said; whether the
new client may use XCLIENT again is decided by its own address.
"""

from __future__ import annotations

from estafeta.daemons.smtpd.commands.content import rewritten_as_local
from estafeta.daemons.smtpd.session import Hangup, Session
from estafeta.daemons.smtpd.shown import printable
from estafeta.net.peer import LATER, NEVER, OK, UNKNOWN, Client
from estafeta.tables.table import TableDown
from estafeta.wire.smtp.attributes import NOT_KNOWN, TEMPUNAVAIL, XCLIENT, BadAttribute, parse_attributes


async def xclient(session: Session, arguments: str) -> bytes:
    if session.transaction.sender is not None:
        return b"503 5.5.1 Error: MAIL transaction in progress\r\n"
    try:
        if not await session.may_xclient():
            return b"550 5.7.0 Error: insufficient authorization\r\n"
    except TableDown:
        return session.no_local_data()
    if not arguments:
        return b"501 5.5.4 Syntax: XCLIENT attribute=value...\r\n"
    try:
        said = parse_attributes("XCLIENT", XCLIENT, arguments, ipv6=session.policy.ipv6)
    except BadAttribute as problem:
        return f"501 {problem}\r\n".encode("utf-8", "surrogateescape")
    helo = said.get("HELO")
    destination = said.get("DESTADDR", session.own_address)
    await rewritten_as_local(session)  # Postfix decides that once, by who connected
    session.become(
        _changed(session.client, said),
        helo=None if helo is None or helo in NOT_KNOWN else helo,
        protocol=said.get("PROTO", "SMTP"),
        own_address="" if destination in NOT_KNOWN else destination,
    )
    if "LOGIN" in said:
        session.login = "" if said["LOGIN"] in NOT_KNOWN else printable(said["LOGIN"])
        session.login_method = "XCLIENT" if session.login else ""
    if "DESTPORT" in said:
        session.own_port = "" if said["DESTPORT"] in NOT_KNOWN else said["DESTPORT"]
    try:
        await session.refuse_early_talk()
    except Hangup:
        session.tally.add("xclient", False)
        raise
    reply = await session.greet()
    if reply.startswith(b"2"):
        # It is never counted as done, since the session that it was said in is over.
        session.tally.undo("xclient")
    return reply


def _changed(client: Client, said: dict[str, str]) -> Client:
    name, status = _name(said.get("NAME"), client.name, client.name_status)
    reverse, reverse_status = _name(said.get("REVERSE_NAME"), client.reverse_name, client.reverse_status)
    return Client(
        name,
        _known(said.get("ADDR", client.address)),
        _known(said.get("PORT", client.port)),
        reverse_name=reverse,
        name_status=status,
        reverse_status=reverse_status,
        log_port=client.log_port,
    )


def _name(said: str | None, name: str, status: int) -> tuple[str, int]:
    """The name and how sure it is."""
    if said is None:
        return name, status
    if said in NOT_KNOWN:
        return UNKNOWN, LATER if said == TEMPUNAVAIL else NEVER
    return said, OK


def _known(value: str) -> str:
    return UNKNOWN if value in NOT_KNOWN else value
