"""One QMQP conversation: a packet in, one answer out. cr.yp.to/proto/qmqp.html

    packet    netstring of: netstring message, netstring sender, netstring recipient ...
    answer    netstring of: K (accepted), Z (try again) or D (never), then a text

The message comes first, so what is needed to take it in is known last: until then it waits in a file without a name.
A sender like `list-@host-@[]` asks for variable envelope return paths (VERP).
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.intake.intake import Intake
from estafeta.intake.verdict import Queued, TryAgain
from estafeta.mail.address import quote
from estafeta.mail.dates import mail_date
from estafeta.mail.envelope import Client, Envelope, Recipient
from estafeta.mail.verp import usable
from estafeta.net.stream import PeerGone, Stream
from estafeta.queue.journal import SpoolError
from estafeta.wire.netstring import MOST_DIGITS, NetstringError, NetstringTooLong, pack, parse_length, split

LARGEST_ENVELOPE = 16 * 1024 * 1024
"""Bytes of sender and recipients together."""
LONGEST_ADDRESS = 64 * 1024
LARGEST_PACKET = 10**MOST_DIGITS
IN_MEMORY = 1024 * 1024
PIECE = 64 * 1024
VERP_MARK = "-@[]"

HEADER, MESSAGE, SENDER, RECIPIENT = "QMQP packet header", "message content", "sender address", "recipient address"
_BARE = re.compile(rb"(?<!\r)\n")


class Refused(Exception):
    """The answer is no. `status`: D for never, Z for later. `loud`: it is a warning in the log."""

    def __init__(self, text: str, status: str = "D", *, loud: bool = True) -> None:
        super().__init__(text)
        self.status = status
        self.loud = loud


@dataclass(slots=True)
class Letter:
    """What the client sent. `content`: lines ending in LF, as they came."""

    content: IO[bytes]
    sender: str = ""
    verp: str = ""
    recipients: list[str] = field(default_factory=list)


class Conversation:
    """`client`: verified name, address, port, name that the address has."""

    def __init__(self, conf: Config, intake: Intake, stream: Stream, client: tuple[str, str, str, str]) -> None:
        self._conf = conf
        self._intake = intake
        self._stream = stream
        self._client = client
        name, address, port, _ = client
        self._namaddr = f"{name}[{address}]" + (f":{port}" if conf.qmqpd_client_port_logging else "")
        self._where = HEADER
        self._queue_id = ""
        self._left = 0
        """Bytes of the packet that have not been read."""

    async def run(self, is_authorized: Callable[[str, str], Awaitable[bool]]) -> None:
        """From the first byte to the last."""
        stream = self._stream
        stream.timeout = self._conf.qmqpd_timeout
        log.info(f"connect from {self._namaddr}")
        try:
            if not await is_authorized(self._client[0], self._client[1]):
                await self._refuse(Refused(f"Error: {self._namaddr} is not authorized to use this service"))
            else:
                await self._receive()
            await stream.drain()
        except TimeoutError:
            log.info(f"{self._queue_id}: {self._namaddr}: read/write timeout while receiving {self._where}")
        except PeerGone:
            log.info(f"{self._queue_id}: {self._namaddr}: lost connection while receiving {self._where}")
        stream.close()
        log.info(f"disconnect from {self._namaddr}")

    async def _receive(self) -> None:
        try:
            self._queue_id = self._intake.new_id()
            log.info(f"{self._queue_id}: client={self._namaddr}")
            answer = "K" + await self._one_message()
        except SpoolError as error:
            log.warning(f"{self._queue_id or 'NOQUEUE'}: {error}")
            await self._refuse(Refused("Error: queue file write error", "Z"))
        except NetstringError:
            await self._refuse(Refused(f"netstring format error while receiving {self._where}", loud=False))
        except NetstringTooLong:
            text = f"netstring length exceeds storage limit while receiving {self._where}"
            await self._refuse(Refused(text, loud=False))
        except Refused as refusal:
            await self._refuse(refusal)
        else:
            self._stream.write(pack(answer.encode("utf-8", "replace")))

    async def _refuse(self, refusal: Refused) -> None:
        if self._queue_id:
            (log.warning if refusal.loud else log.info)(f"{self._queue_id}: {self._namaddr}: {refusal}")
        await asyncio.sleep(self._conf.qmqpd_error_delay)
        self._stream.write(pack(f"{refusal.status}{refusal}".encode("utf-8", "replace")))

    # --- reading

    async def _one_message(self) -> str:
        self._left = MOST_DIGITS + 2
        length = await self._length(LARGEST_PACKET)
        self._left = length
        self._where = MESSAGE
        limit = self._conf.message_size_limit
        with tempfile.SpooledTemporaryFile(IN_MEMORY, dir="incoming") as content:
            left = await self._length(min(limit, length) if limit else length)
            while left:
                piece = await self._read(1, min(left, PIECE))
                left -= len(piece)
                if content.tell() + len(piece) > IN_MEMORY:
                    await asyncio.to_thread(content.write, piece)
                else:
                    content.write(piece)
            await self._comma()
            self._where = SENDER
            letter = Letter(content)
            await self._addresses(letter)
            return await self._take_in(letter)

    async def _read(self, least: int, most: int) -> bytes:
        """Some bytes of the packet. Raises NetstringError if it does not have them."""
        if least > self._left:
            raise NetstringError("packet ends early")
        data = await self._stream.exactly(least, min(most, self._left))
        self._left -= len(data)
        return data

    async def _length(self, most: int) -> int:
        digits = b""
        while (char := await self._read(1, 1)) != b":":
            digits += char
            if not digits.isdigit():
                raise NetstringError("no length")
            if len(digits) > MOST_DIGITS:
                raise NetstringTooLong(digits.decode())
        return parse_length(digits, most)

    async def _comma(self) -> None:
        if await self._read(1, 1) != b",":
            raise NetstringError("no comma")

    async def _addresses(self, letter: Letter) -> None:
        if self._left > LARGEST_ENVELOPE:
            raise NetstringTooLong(str(self._left))
        length = await self._length(LONGEST_ADDRESS)
        sender = b""
        while len(sender) < length:
            sender += await self._read(1, length - len(sender))
        await self._comma()
        self._set_sender(letter, _text(sender))
        self._where = RECIPIENT
        rest = b""
        while self._left:
            rest += await self._read(1, PIECE)
        letter.recipients = [_text(each) for each in split(rest, LONGEST_ADDRESS)]
        if await self._stream.exactly(1, 1) != b",":
            raise NetstringError("no comma behind the packet")

    def _set_sender(self, letter: Letter, sender: str) -> None:
        if not sender.endswith(VERP_MARK):
            letter.sender = sender
            return
        # `list-@host-@[]`: the last character of the local part is the delimiter.
        local, at, host = sender.removesuffix(VERP_MARK).rpartition("@")
        if not at:
            local, host = host, ""
        delimiters = f"{local[-1:]}="
        if not usable(delimiters, self._conf.verp_delimiter_filter):
            allowed = self._conf.verp_delimiter_filter
            raise Refused(f'Error: Invalid VERP delimiters: "{delimiters}". Need two characters from "{allowed}"')
        letter.sender, letter.verp = f"{local[:-1]}{at}{host}", delimiters

    # --- taking in

    async def _take_in(self, letter: Letter) -> str:
        name, address, port, reverse = self._client
        if not letter.recipients:
            raise Refused("Error: no recipients specified")
        now = time.time()
        envelope = Envelope(
            self._queue_id,
            now,
            letter.sender,
            [Recipient(each) for each in letter.recipients],
            content_filter=self._conf.content_filter,
            verp=letter.verp,
            client=Client(name, address, port, reverse, protocol="QMQP"),
        )
        submission = self._intake.begin(envelope, from_network=False, writer="qmqpd")
        submission.prepend(self._received(letter, now).encode("utf-8", "surrogateescape"))
        letter.content.seek(0)
        for piece in _lines(letter.content):
            if submission.feed(piece):
                await submission.drain()
        verdict = await submission.finish()
        if isinstance(verdict, Queued):
            return f"Ok: queued as {self._queue_id}"
        text = "message too large" if verdict.kind == "size" else verdict.text.removeprefix("Error: ")
        raise Refused(f"Error: {text}", "Z" if isinstance(verdict, TryAgain) else "D")

    def _received(self, letter: Letter, now: float) -> str:
        """RFC 5321 4.4, as far as QMQP knows: the client says no name of its own."""
        name, address, _, _ = self._client
        shown = f"IPv6:{address}" if ":" in address else address
        lead = f"Received: from {name} ({name} [{shown}])\r\n\tby {self._conf.myhostname} ({self._conf.mail_name})"
        if len(letter.recipients) == 1:
            for_whom = f"\tfor <{quote(letter.recipients[0])}>; {mail_date(now)}\r\n"
            return f"{lead} with QMQP id {self._queue_id}\r\n{for_whom}"
        return f"{lead} with QMQP\r\n\tid {self._queue_id}; {mail_date(now)}\r\n"


def _text(address: bytes) -> str:
    """An address is in internal form: what would have to be quoted elsewhere is not."""
    try:
        return address.decode()
    except UnicodeDecodeError:
        raise Refused("Error: address is not valid UTF-8") from None


def _lines(content: IO[bytes]) -> Iterator[bytes]:
    """The content with CRLF line ends, in pieces that do not end within one."""
    held, last = b"", b""
    while piece := content.read(PIECE):
        piece = held + piece
        held = b"\r" if piece.endswith(b"\r") else b""
        piece = piece[:-1] if held else piece
        if piece:
            last = _BARE.sub(b"\r\n", piece)
            yield last
    if held or not last.endswith(b"\n"):
        yield held + b"\r\n"
