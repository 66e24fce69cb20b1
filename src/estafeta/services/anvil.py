"""How often does a client come, and a user send? The one anvil(8) counts for all processes; they ask it here.

Over `private/anvil`. A client is an ident, `service:address`. `AnvilClient` knows which connections its process holds:
after anvil has gone (a reload, a crash) it tells the next one, and a process that dies gives its counts back, since
anvil forgets what came over a connection that has closed. Rates begin anew then; those of users are kept in a file.

Asking must not slow down who is counted. A question goes out in the same write as all others of the turn, `arrive`
does not wait for the answer, and `leave` wants none. When anvil cannot be asked nobody is held up: the caller hears of
it as OSError, warns and goes on; for a moment nothing more is asked then.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Final

import msgspec

from estafeta.net.asker import Asker
from estafeta.net.asker import Connect as Connecting
from estafeta.net.frames import connect

if TYPE_CHECKING:
    from estafeta.config.instance import Config

SOCKET = "private/anvil"
PATIENCE = 10.0
"""Seconds for an answer; and without questions, after there was none."""
PAUSE = 1.0
"""Seconds without questions after anvil was not there."""

CONNECTION: Final = 0
MESSAGE: Final = 1
RECIPIENT: Final = 2
NEWTLS: Final = 3
AUTH: Final = 4
"""What is counted: kinds of events."""

LIMITS = (
    "smtpd_client_connection_count_limit",
    "smtpd_client_connection_rate_limit",
    "smtpd_client_message_rate_limit",
    "smtpd_client_recipient_rate_limit",
    "smtpd_client_new_tls_session_rate_limit",
    "smtpd_client_auth_rate_limit",
)
"""The parameters: connections at a time, then the rates in the order of the kinds."""

MESSAGES_OVER: Final = 1
RECIPIENTS_OVER: Final = 2


class Connect(msgspec.Struct, array_like=True, tag="c"):
    """A client has connected. Answered with its connections, and how often it has come."""

    number: int
    ident: str


class Disconnect(msgspec.Struct, array_like=True, tag="d"):
    """It has left. Not answered."""

    number: int
    ident: str


class Event(msgspec.Struct, array_like=True, tag="e"):
    """A client has done something of this kind; `amount` 0 only asks."""

    number: int
    ident: str
    kind: int
    amount: int = 1


class Held(msgspec.Struct, array_like=True, tag="h"):
    """What the asking process has: ident -> connections. Said first on each connection, not answered."""

    number: int
    counts: dict[str, int]


class Sending(msgspec.Struct, array_like=True, tag="u"):
    """A user wants to send one message to so many recipients. `most_...`: the user's limits, 0 for none.

    `anyway`: it will be taken whether or not it is within the limits, so it counts in any case.
    """

    number: int
    user: str
    recipients: int
    most_messages: int
    most_recipients: int
    anyway: bool = True


class Survey(msgspec.Struct, array_like=True, tag="s"):
    """For `estafeta limits`: who has used at least `share` of a limit? `limits`: service -> most connections at a time,
    then the most events of each kind; 0 for no limit."""

    number: int
    share: float
    limits: dict[str, list[int]]


Word = Connect | Disconnect | Event | Held | Sending | Survey


class Rates(msgspec.Struct, array_like=True, tag="r"):
    """`count` connections at this moment, `rate` events of the kind within the time unit."""

    number: int
    count: int
    rate: int


class Standing(msgspec.Struct, array_like=True, tag="t"):
    """Messages and recipients of a user within the time unit, and which of them are over the limit (bits).

    `first`: the first time so in this time unit.
    """

    number: int
    messages: int
    recipients: int
    over: int = 0
    first: bool = False
    unit: int = 0
    """The time unit in seconds."""


class ClientCounts(msgspec.Struct, array_like=True):
    """One client, in a survey. `rates` by kind."""

    ident: str
    count: int
    rates: list[int]


class UserCounts(msgspec.Struct, array_like=True):
    """One user, in a survey. `left`: seconds until the counts begin anew."""

    user: str
    messages: int
    recipients: int
    most_messages: int
    most_recipients: int
    left: int


class Surveyed(msgspec.Struct, array_like=True, tag="v"):
    """The answer to a survey. `more`: how many clients did not fit in."""

    number: int
    unit: int
    clients: list[ClientCounts]
    users: list[UserCounts]
    more: int = 0


Reply = Rates | Standing | Surveyed

encode = msgspec.msgpack.Encoder().encode
decode_word = msgspec.msgpack.Decoder(Word).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode


def limits_of(conf: Config) -> list[int]:
    """The values of LIMITS."""
    return [
        conf.smtpd_client_connection_count_limit,
        conf.smtpd_client_connection_rate_limit,
        conf.smtpd_client_message_rate_limit,
        conf.smtpd_client_recipient_rate_limit,
        conf.smtpd_client_new_tls_session_rate_limit,
        conf.smtpd_client_auth_rate_limit,
    ]


class Visit:
    """One client's connection, from `arrive` to `leave`."""

    __slots__ = ("_answer", "_counted", "_over", "ident")

    def __init__(self, ident: str) -> None:
        self.ident = ident
        self._answer: asyncio.Future[Reply] | None = None
        self._counted = False
        """Whether anvil was told of it."""
        self._over = False


class AnvilClient:
    """One a process."""

    def __init__(self, socket: str = SOCKET, timeout: float = PATIENCE, *, connect: Connecting = connect) -> None:
        self._asker: Asker[Reply] = Asker(
            socket, timeout, decode_reply, connect=connect, greeting=self._greeting, lost=self._lost
        )
        self._timeout = timeout
        self._held: dict[str, int] = {}
        self._resting_until = 0.0
        self._telling: asyncio.Task[None] | None = None

    def _greeting(self) -> bytes | None:
        return encode(Held(0, self._held)) if self._held else None

    def _lost(self) -> None:
        if self._held and self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        """Tell the next anvil what we hold, though nobody comes: a process that is to end has its clients for long."""
        try:
            while self._held:
                try:
                    await self._asker.open()
                    return
                except OSError:
                    await asyncio.sleep(PAUSE)
        finally:
            self._telling = None

    # --- connections

    def arrive(self, ident: str) -> Visit:
        """Tell of a new connection; `rates` waits for the answer. Every visit ends with `leave`."""
        visit = Visit(ident)
        if not self._say(visit) and not self._resting():
            visit._answer = asyncio.get_running_loop().create_task(self._connect_first(visit))
            visit._answer.add_done_callback(_seen)
        return visit

    def _say(self, visit: Visit) -> bool:
        answer = self._asker.post(Connect(0, visit.ident))
        if answer is None:
            return False
        visit._answer = answer
        visit._counted = True
        self._held[visit.ident] = self._held.get(visit.ident, 0) + 1
        return True

    async def _connect_first(self, visit: Visit) -> Reply:
        await self._asker.open()
        if visit._over or not self._say(visit):
            raise ConnectionAbortedError(errno.ECONNABORTED, "the client has left", self._asker.socket)
        assert visit._answer is not None
        return await visit._answer

    async def rates(self, visit: Visit) -> Rates | None:
        """What anvil says to a new connection; None while it is not asked. Raises OSError (TimeoutError)."""
        answer = visit._answer
        if answer is None:
            return None
        try:
            if not answer.done():
                async with asyncio.timeout(self._timeout):
                    await answer
            reply = answer.result()
        except ConnectionResetError:
            # Another process takes anvil's place. It hears of the connection from the greeting; so this is the rate.
            return await self.event(visit.ident, CONNECTION)
        except TimeoutError as error:
            # Nobody knows what it has counted: begin anew, and say what we hold.
            self._asker.close()
            self._rest(self._timeout)
            if error.errno is None:
                reason = f"no answer within {self._timeout:g} seconds"
                raise TimeoutError(errno.ETIMEDOUT, reason, self._asker.socket) from error
            raise
        except OSError:
            self._rest()
            raise
        assert isinstance(reply, Rates)
        return reply

    def leave(self, visit: Visit) -> None:
        """The connection has ended."""
        visit._over = True
        if not visit._counted:
            return
        visit._counted = False
        left = self._held.get(visit.ident, 0) - 1
        if left > 0:
            self._held[visit.ident] = left
        else:
            self._held.pop(visit.ident, None)
        # If anvil is away just now, the greeting of the next connection says what there is.
        self._asker.tell(Disconnect(0, visit.ident))

    # --- events

    async def event(self, ident: str, kind: int, amount: int = 1) -> Rates | None:
        """Count an event. None while nothing is asked. Raises OSError (TimeoutError)."""
        reply = await self._ask(Event(0, ident, kind, amount))
        assert reply is None or isinstance(reply, Rates)
        return reply

    async def sending(
        self, user: str, recipients: int, most_messages: int, most_recipients: int, *, anyway: bool
    ) -> Standing | None:
        """Count a message of a user, see Sending. None while nothing is asked. Raises OSError (TimeoutError)."""
        reply = await self._ask(Sending(0, user, recipients, most_messages, most_recipients, anyway))
        assert reply is None or isinstance(reply, Standing)
        return reply

    async def _ask(self, message: Event | Sending) -> Reply | None:
        if self._resting():
            return None
        try:
            return await self._asker.ask(message, retry_lost=True)
        except OSError as error:
            self._rest(self._timeout if isinstance(error, TimeoutError) else PAUSE)
            raise

    def _resting(self) -> bool:
        return bool(self._resting_until) and asyncio.get_running_loop().time() < self._resting_until

    def _rest(self, seconds: float = PAUSE) -> None:
        self._resting_until = asyncio.get_running_loop().time() + seconds

    def close(self) -> None:
        """Hang up."""
        if self._telling is not None:
            self._telling.cancel()
        self._held.clear()
        self._asker.close()


def _seen(answer: asyncio.Future[Reply]) -> None:
    """A client that left before it was answered: nobody asks what became of the question."""
    if not answer.cancelled():
        answer.exception()
