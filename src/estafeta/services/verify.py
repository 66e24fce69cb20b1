"""Is there such an address? smtpd asks verify(8), which knows, or sends a probe; qmgr tells what became of the probe.

Over `private/verify`, one reply for each question and for each outcome. `Verifier.ask` waits for a probe as long as
`address_verify_poll_count` and `address_verify_poll_delay` allow. ADDRESS_VERIFICATION_README.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from estafeta.mail.address import fold
from estafeta.net.asker import Asker
from estafeta.routing.rewrite import Rewriter

if TYPE_CHECKING:
    from estafeta.config.instance import Config

OK: Final = 0
DEFER: Final = 1
BOUNCE: Final = 2
TODO: Final = 3
"""Deliverable; could not be told now; undeliverable; a probe is under way. In the cache they stand as these numbers."""

STATUS_OF = {"sent": OK, "deferred": DEFER, "bounced": BOUNCE}
"""What an agent says of a probe -> what that tells about the address."""


class Question(msgspec.Struct, array_like=True, tag="Q"):
    """Is `address` (internal form, as the client gave it) deliverable?"""

    number: int
    address: str


class Outcome(msgspec.Struct, array_like=True, tag="O"):
    """What became of a probe. The reply repeats it."""

    number: int
    address: str
    status: int
    text: str


class Answer(msgspec.Struct, array_like=True):
    """`status` is OK, DEFER, BOUNCE or TODO; `text` is what the other server, or ours, said about it."""

    number: int
    status: int
    text: str


Word = Question | Outcome

encode = msgspec.msgpack.Encoder().encode
decode_word = msgspec.msgpack.Decoder(Word).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


class Verifier:
    """The asking side: one connection to verify(8), opened when it is needed."""

    def __init__(self, socket: str, timeout: float) -> None:
        self._asker = Asker(socket, timeout, decode_answer)

    async def ask(self, address: str, *, polls: int = 1, pause: float = 0.0) -> Answer:
        """What is known of an address. Asked up to `polls` times, with `pause` seconds between, while a probe is under
        way. Raises OSError (TimeoutError) when verify cannot be asked now."""
        for poll in range(polls):
            if poll:
                await asyncio.sleep(pause)
            answer = await self._asker.ask(Question(0, address), retry_lost=True)
            if answer.status != TODO:
                break
        return answer

    async def update(self, address: str, status: int, text: str) -> None:
        """Tell what became of a probe. Raises OSError (TimeoutError): tell it again later then."""
        await self._asker.ask(Outcome(0, address, status, text), retry_lost=True)

    def close(self) -> None:
        """Hang up."""
        self._asker.close()


_DIGITS = "0123456789BCDFGHJKLMNPQRSTVWXYZ"


class ProbeSender:
    """The sender address of probes: address_verify_sender, which may change with time.

    Mail to it is always taken, so that systems that ask each other about senders do not go on for ever. With
    address_verify_sender_ttl, the addresses of the period before and after are good, too.
    """

    __slots__ = ("_domain", "_local", "_start", "_ttl")

    def __init__(self, conf: Config) -> None:
        text = conf.address_verify_sender.strip()
        address = "" if text == "<>" else Rewriter(conf).rewrite(text)
        self._local, _, self._domain = address.rpartition("@")
        self._start = self._local.lower()
        self._ttl = conf.address_verify_sender_ttl

    def address(self, now: float) -> str:
        """The sender of a probe that leaves now (seconds since the epoch); empty for the null sender."""
        if not self._local:
            return ""
        return f"{self._local}{_number(int(now) // self._ttl) if self._ttl else ''}@{self._domain}"

    def resembles(self, address: str) -> bool:
        """False for what cannot be such an address, at the price of one comparison: nearly all mail."""
        start = self._start
        return bool(start) and address[: len(start)].lower() == start

    def matches(self, address: str, now: float) -> bool:
        """Whether `address` (internal form) is one that probes come from about now."""
        if not self.resembles(address):
            return False
        folded = fold(address)
        moments = (now - self._ttl, now, now + self._ttl) if self._ttl else (now,)
        return any(folded == fold(self.address(moment)) for moment in moments)


def _number(value: int) -> str:
    """A number in letters that make no words."""
    text = ""
    while value:
        value, digit = divmod(value, len(_DIGITS))
        text = _DIGITS[digit] + text
    return text or "0"
