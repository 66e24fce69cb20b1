"""The address of a command that is not plain at first sight: is it one, and could mail go there at all?

MAIL, RCPT and VRFY come here with what `plain_path` leaves open.
"""

from __future__ import annotations

from estafeta.daemons.smtpd.session import Session, illegal_address
from estafeta.mail.address import quote
from estafeta.tables.table import TableDown
from estafeta.wire.smtp.path import PathError, Unfinished, parse_path


async def address_in(session: Session, verb: str, path: str, *, utf8: bool, empty: bool = False) -> str | None:
    """The address in internal form; None if it is none, which is logged. `empty`: there need not be one."""
    strict = session.policy.conf.strict_rfc821_envelopes and verb != "VRFY"
    try:
        address = parse_path(path, strict=strict, utf8=utf8)
    except Unfinished:
        return None
    except PathError:
        address = None
    if address is not None and (await _routable(session, address) if address else empty):
        return address
    illegal_address(session, verb, path)
    return None


def as_written(path: str, address: str) -> str:
    """How the client wrote a recipient, for its ORCPT, where that is not the usual form. RFC 3461 4.2."""
    written = path[1:-1] if path.startswith("<") and path.endswith(">") else path
    return f"rfc822;{written}" if written != quote(address) and written.isascii() and written.isprintable() else ""


async def _routable(session: Session, address: str) -> bool:
    """Whether routing makes sense of it. A table that cannot answer now is no reason to call it wrong."""
    try:
        return not (await session.policy.resolve(address)).invalid
    except TableDown:
        return True
