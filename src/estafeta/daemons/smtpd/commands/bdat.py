"""BDAT: content in chunks of a length that is said beforehand. RFC 3030 2.

A chunk is read whatever is wrong, since its bytes must not be taken for commands; a chunk whose length cannot be
understood ends the session for the same reason.
"""

from __future__ import annotations

from estafeta.base import log
from estafeta.daemons.smtpd.commands.content import Incoming, bare_newline, data_refused
from estafeta.daemons.smtpd.session import Session
from estafeta.wire.smtp.data import LineNormalizer

LARGEST = (1 << 63) - 1
MOST_AT_ONCE = 64 * 1024


class Chunks:
    """What lasts from one chunk to the next. `incoming` is None after an error: the rest is thrown away."""

    __slots__ = ("incoming", "lines")

    def __init__(self, incoming: Incoming | None, lines: LineNormalizer) -> None:
        self.incoming = incoming
        self.lines = lines


def parse_arguments(arguments: str) -> tuple[int, bool] | None:
    """(bytes, whether it is the last chunk); None if malformed."""
    found = arguments.split()
    if not 1 <= len(found) <= 2 or not (found[0].isascii() and found[0].isdigit()) or len(found[0]) > 40:
        return None
    count = int(found[0])
    if count > LARGEST or (len(found) == 2 and found[1].upper() != "LAST"):
        return None
    return count, len(found) == 2


async def bdat(session: Session, arguments: str) -> bytes:
    if "CHUNKING" in session.ehlo_withheld:
        # The chunk that follows cannot be told from commands: the session must end, which 521 does. RFC 7504 2
        return b"521 5.5.1 Error: command not implemented\r\n"
    parsed = parse_arguments(arguments)
    queue_id = session.queue_id or "NOQUEUE"
    if parsed is None:
        line = f"BDAT {arguments}".rstrip()
        log.warning(f"{queue_id}: malformed BDAT command syntax from {session.client.namaddr}: {line[:100]}")
        return b"521 5.5.4 Syntax: BDAT count [LAST]\r\n"
    count, last = parsed
    transaction = session.transaction
    chunks = transaction.chunks
    if isinstance(chunks, Chunks) and chunks.incoming is None:
        await _skip(session, count)
        return _after_error(session, f"551 5.0.0 Discarded {count} bytes after earlier error\r\n".encode(), last)
    if count == 0 and not last:
        log.warning(f"{queue_id}: null BDAT request from {session.client.namaddr}")
        return _after_error(session, b"551 5.7.1 Null BDAT request\r\n")
    if not transaction.count:
        await _skip(session, count)
        if transaction.sender is None:
            return _after_error(session, b"503 5.5.1 Error: need RCPT command\r\n", last)
        return _after_error(session, b"554 5.5.1 Error: no valid recipients\r\n", last)
    if not isinstance(chunks, Chunks):
        if session.policy.data:
            refusal = await data_refused(session, "BDAT")
            if refusal is not None:
                await _skip(session, count)
                return _after_error(session, refusal, last)
        if session.login and session.policy.user_limits is not None:
            too_many = await session.policy.user_limits.check(session, "BDAT")
            if too_many is not None:
                await _skip(session, count)
                return _after_error(session, too_many, last)
        chunks = transaction.chunks = await _begin(session)
    return await _chunk(session, chunks, count, last)


async def _begin(session: Session) -> Chunks:
    lines = LineNormalizer(
        strict=session.bare_newline_rule != "no", replace_stray=session.policy.conf.cleanup_replace_stray_cr_lf
    )
    return Chunks(await Incoming.open(session), lines)


async def _chunk(session: Session, chunks: Chunks, count: int, last: bool) -> bytes:
    incoming, lines = chunks.incoming, chunks.lines
    assert incoming is not None
    if incoming.limit and count > incoming.limit - incoming.size:
        log.warning(f"{session.queue_id}: BDAT request from {session.client.namaddr} exceeds message size limit")
        incoming.give_up()
        await _skip(session, count)
        return _after_error(session, b"552 5.3.4 Chunk exceeds message size limit\r\n", last)
    left = count
    session.where = "BDAT (0 bytes)"
    while left:
        data = await session.stream.exactly(1, min(left, MOST_AT_ONCE))
        left -= len(data)
        session.extend_deadline(len(data))
        session.where = f"BDAT ({count - left} bytes)"
        content = lines.feed(data)
        if content:
            await incoming.take(content)
    session.where = "BDAT"
    if not last:
        if lines.bare_newline and session.bare_newline_rule == "reject":
            reply = bare_newline(session, "BDAT content")
            incoming.give_up()
            return _after_error(session, reply)
        if incoming.failed:
            return _after_error(session, b"552 5.3.4 Error: message file too big\r\n")
        return f"250 2.0.0 Ok: {count} bytes\r\n".encode()
    rest = lines.finish()
    if rest:
        await incoming.take(rest)
    incoming.bare_newline = lines.bare_newline
    return await incoming.finish(chunked=True)


def _after_error(session: Session, reply: bytes, last: bool = False) -> bytes:
    """Chunks that the client has under way are thrown away until it begins anew."""
    if last:
        session.reset()
    else:
        session.transaction.chunks = Chunks(None, LineNormalizer())
    return reply


async def _skip(session: Session, count: int) -> None:
    """Read a chunk and forget it."""
    while count > 0:
        count -= len(await session.stream.exactly(1, min(count, MOST_AT_ONCE)))
