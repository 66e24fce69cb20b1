"""Accounts for a session under test: users and passwords in a dictionary, mechanisms as they are."""

from __future__ import annotations

from collections.abc import Sequence

from estafeta.accounts.authenticator import (
    Answer,
    Challenge,
    Circumstances,
    Denied,
    Exchange,
    Login,
    Mechanism,
)
from estafeta.wire.sasl.server import (
    TRAITS,
    Event,
    Failure,
    Password,
    Secret,
    Send,
    Setting,
    Success,
    Verify,
    server_mechanism,
)
from estafeta.wire.sasl.server import Mechanism as Machine

NONCE = "not-by-chance"
"""Challenges are the same each time, so that a written dialogue can answer them."""


class KnownUsers:
    """`away`: nobody can be asked now. `asked` is what the circumstances were."""

    def __init__(
        self, users: dict[str, str], offered: Sequence[str] = ("PLAIN", "LOGIN"), *, away: bool = False
    ) -> None:
        self.users = users
        self.offered = tuple(Mechanism(name, TRAITS[name]) for name in offered)
        self.away = away
        self.asked: list[Circumstances] = []
        self.cancelled = 0

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    def unavailable(self, mechanism: str, *, needs_encryption: bool) -> str:
        return "Invalid authentication mechanism"

    async def mechanisms(self) -> Sequence[Mechanism]:
        if self.away:
            raise ConnectionError("away")
        return self.offered

    async def begin(self, mechanism: str, initial: bytes | None, about: Circumstances) -> tuple[Exchange, Answer]:
        self.asked.append(about)
        setting = Setting(
            about.own_name,
            about.realm,
            NONCE,
            b"pepper",
            about.service,
            about.certificate_name,
            about.channel_binding,
            iterations=4096,
        )
        exchange = _Exchange(self, server_mechanism(mechanism, setting))
        return exchange, exchange.answer(exchange.machine.begin(initial))


class _Exchange:
    def __init__(self, known: KnownUsers, machine: Machine) -> None:
        self._known = known
        self.machine = machine

    async def step(self, response: bytes) -> Answer:
        return self.answer(self.machine.step(response))

    def answer(self, event: Event) -> Answer:
        users = self._known.users
        while True:
            match event:
                case Send():
                    return Challenge(event.text)
                case Success():
                    return Login(event.user, event.text)
                case Failure():
                    return Denied(event.reason, user=event.user or None)
                case Verify():
                    event = self.machine.answer(event.user if users.get(event.user) == event.password else None)
                case Secret():
                    event = self.machine.answer(Password(users[event.user]) if event.user in users else None)
                case _:
                    event = self.machine.answer(None)

    def cancel(self) -> None:
        self._known.cancelled += not self.machine.over
