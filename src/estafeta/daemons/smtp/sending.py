"""Sending the content of a message, in one piece or at the server's pace.

Small messages go out in one write, with their final dot. A large one is read from the spool piece by piece, in
threads, while the server takes it; if it must be converted it is made as a whole first. smtp_data_xfer_timeout limits
each standstill, or with smtp_per_request_deadline the whole transfer, smtp_min_data_rate allowing for its length.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator

from estafeta.daemons.smtp.connection import Connection, Manner
from estafeta.daemons.smtp.letter import Content, Letter, Unreadable
from estafeta.mail.seven_bit import SevenBit
from estafeta.queue.record import Damaged
from estafeta.wire.smtp.client import ContentEncoder
from estafeta.wire.smtp.client_reply import Reply

SMALL = 256 * 1024
"""Bytes of content that are read and sent in one piece."""
PIECE = 128 * 1024
DOT = b".\r\n"


async def prepare(connection: Connection, letter: Letter, reader: Content, manner: Manner) -> bytes | None:
    """The content to send in one piece; None when it is large, to be read while it is sent.

    It is read before MAIL FROM: what cannot be read must not be promised. A small one is in the page cache as a rule.
    """
    convert = manner.convert and _needs_conversion(connection, letter)
    if letter.size <= SMALL:
        return letter.content(
            reader,
            manner.line_limit,
            convert=convert,
            deepest=manner.mime_nesting_limit,
            boundary_length=manner.mime_boundary_length_limit,
        )
    return None


async def send_content(
    connection: Connection, letter: Letter, reader: Content, manner: Manner, content: bytes | None
) -> Reply | None:
    """Send it all, the dot included. A refusal that comes before the end is returned.

    `content` is what `prepare` gave. Raises what the stream raises, and Unreadable.
    """
    delay = manner.pix_delay if "delay_dotcrlf" in connection.workarounds else 0.0
    if content is not None and len(content) <= SMALL + PIECE and not delay:
        connection.stream.write(content)
        return None
    connection.doing = "sending message body"
    if content is None:
        await _send_pieces(connection, letter, reader, manner, pause=delay)
    else:
        pace = _Pace(connection, manner)
        body = content[: -len(DOT)]
        for at in range(0, len(body), PIECE):
            await pace.send(body[at : at + PIECE])
            if connection.stream.gone:
                break
        await _dot(connection, delay)
    if connection.stream.gone:
        # Hung up in the middle; perhaps it has said why.
        answer = await connection.reply()
        connection.sound = False
        return answer
    return None


async def _send_pieces(
    connection: Connection, letter: Letter, reader: Content, manner: Manner, *, pause: float
) -> None:
    pace = _Pace(connection, manner)
    encoder = ContentEncoder(manner.line_limit)
    change = None
    if manner.convert and _needs_conversion(connection, letter):
        change = SevenBit(deepest=manner.mime_nesting_limit, boundary_length=manner.mime_boundary_length_limit)
    pieces = _pieces(letter, reader, change)
    loop = asyncio.get_running_loop()
    try:
        while piece := await loop.run_in_executor(None, _read, pieces):
            await pace.send(encoder.feed(piece))
            if connection.stream.gone:
                return
        connection.stream.write(encoder.finish()[: -len(DOT)])
    finally:
        pieces.close()
    await _dot(connection, pause)
    if encoder.folded:
        letter.folding(manner.line_limit)


def _needs_conversion(connection: Connection, letter: Letter) -> bool:
    return letter.delivery.encoding == "8bit" and not connection.extensions.eight_bit


def _pieces(letter: Letter, reader: Content, change: SevenBit | None) -> Generator[bytes, None, None]:
    """A large message as it goes out, piece by piece, without 8-bit parts where there is a `change`."""
    for piece in _stored(letter, reader):
        if change is None:
            yield piece
        elif changed := change.feed(piece):
            yield changed
    if change is not None and (rest := change.finish()):
        yield rest


def _stored(letter: Letter, reader: Content) -> Iterator[bytes]:
    """What comes before, the header as it was replaced, and the rest as it is in the spool. No piece is empty."""
    skip = 0
    if letter.prefix:
        yield letter.prefix
    if letter.head is not None:
        yield letter.head
        skip = letter.delivery.place.head
    for piece in reader.pieces(letter.delivery.place, PIECE):
        if skip < len(piece):
            yield piece[skip:] if skip else piece
        skip = max(skip - len(piece), 0)


def _read(pieces: Iterator[bytes]) -> bytes:
    """The next piece, in a thread; empty at the end."""
    try:
        return next(pieces, b"")
    except (OSError, Damaged) as error:
        raise Unreadable(str(error)) from error


async def _dot(connection: Connection, pause: float) -> None:
    if connection.stream.gone:
        return
    if pause:
        await connection.stream.drain()
        await asyncio.sleep(pause)
    connection.stream.write(DOT)


class _Pace:
    """Writes at the server's pace, within the time limits."""

    def __init__(self, connection: Connection, manner: Manner) -> None:
        self._stream = connection.stream
        self._limit = manner.data_xfer_timeout
        self._rate = manner.min_data_rate if manner.deadline else 0
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + self._limit
        self._earned = 0.0

    async def send(self, piece: bytes) -> None:
        """Raises TimeoutError when it takes too long."""
        self._stream.write(piece)
        self._stream.timeout = self._limit
        if self._rate:
            # What was sent earns time for the rest, but never more than the whole limit.
            now = self._loop.time()
            self._end = min(self._end + self._earned, now + self._limit)
            self._earned = len(piece) / self._rate
            self._stream.timeout = max(self._end - now, 0.01)
        await self._stream.drain()
