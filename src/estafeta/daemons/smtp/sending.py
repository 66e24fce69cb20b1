"""Sending the content of a message, in one piece or at the server's pace.

Small messages go out in one write, with their final dot. A large one is read from the spool piece by piece, in
threads, while the server takes it; if it must be converted it is made as a whole first. smtp_data_xfer_timeout limits
each standstill, or with smtp_per_request_deadline the whole transfer, smtp_min_data_rate allowing for its length.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

from estafeta.daemons.smtp.connection import Connection, Manner
from estafeta.daemons.smtp.letter import Content, Letter, Unreadable
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
    convert = manner.convert and letter.delivery.encoding == "8bit" and not connection.extensions.eight_bit
    if letter.size <= SMALL:
        return letter.content(reader, manner.line_limit, convert=convert)
    if not convert:
        return None
    work = partial(letter.content, reader, manner.line_limit, convert=True)
    return await asyncio.get_running_loop().run_in_executor(None, work)


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
    pieces = reader.pieces(letter.delivery.place, PIECE)
    loop = asyncio.get_running_loop()
    try:
        if letter.prefix:
            connection.stream.write(encoder.feed(letter.prefix))
        while piece := await loop.run_in_executor(None, _read, pieces):
            await pace.send(encoder.feed(piece))
            if connection.stream.gone:
                return
        connection.stream.write(encoder.finish()[: -len(DOT)])
    finally:
        pieces.close()  # type: ignore[attr-defined]  # Reader.pieces is a generator
    await _dot(connection, pause)
    if encoder.folded:
        letter.folding(manner.line_limit)


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

    async def send(self, piece: bytes) -> None:
        """Raises TimeoutError when it takes too long."""
        self._stream.write(piece)
        self._stream.timeout = self._limit
        if self._rate:
            self._end += len(piece) / self._rate
            self._stream.timeout = max(self._end - self._loop.time(), 0.01)
        await self._stream.drain()
