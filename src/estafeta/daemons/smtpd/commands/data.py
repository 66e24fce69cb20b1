"""DATA: the content of a message, up to the line with only a dot. RFC 5321 4.1.1.4."""

from __future__ import annotations

from estafeta.daemons.smtpd.commands.content import Incoming, data_refused
from estafeta.daemons.smtpd.session import Session
from estafeta.wire.smtp.data import DataDecoder

GO_AHEAD = b"354 End data with <CR><LF>.<CR><LF>\r\n"


async def data(session: Session, arguments: str) -> bytes:
    transaction = session.transaction
    if transaction.chunks is not None:
        return b"503 5.5.1 Error: DATA after BDAT\r\n"
    if not transaction.count:
        if transaction.sender is None:
            return b"503 5.5.1 Error: need RCPT command\r\n"
        return b"554 5.5.1 Error: no valid recipients\r\n"
    if arguments:
        return b"501 5.5.4 Syntax: DATA\r\n"
    if session.policy.data:
        refusal = await data_refused(session)
        if refusal is not None:
            return refusal
    if session.login and session.policy.user_limits is not None:
        too_many = await session.policy.user_limits.check(session, "DATA")
        if too_many is not None:
            return too_many
    incoming = await Incoming.open(session)
    session.stream.write(GO_AHEAD)
    return await _receive(session, incoming)


async def _receive(session: Session, incoming: Incoming) -> bytes:
    """Read to the final dot. Should the client leave before it, the message never was."""
    stream = session.stream
    decoder = DataDecoder(
        strict=session.bare_newline_rule != "no", replace_stray=session.policy.conf.cleanup_replace_stray_cr_lf
    )
    session.where = "DATA (0 bytes)"
    arrived = 0
    if session.stream.until is not None:
        session.set_deadline()
    while not decoder.done:
        chunk = await stream.chunk()
        content = decoder.feed(chunk)
        arrived += len(chunk)
        session.extend_deadline(len(chunk))
        session.where = f"DATA ({arrived} bytes)"
        if content:
            await incoming.take(content)
    if decoder.rest:
        stream.unread(decoder.rest)
    session.where = "END-OF-MESSAGE"
    incoming.bare_newline = decoder.bare_newline
    return await incoming.finish()
