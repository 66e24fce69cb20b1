"""Logins that this process checks itself: SASL mechanisms joined to sources of passwords.

The mechanism says what it wants to know (wire/sasl), the sources are asked in order, and the first that knows decides
for the user; a source that cannot be asked makes the answer "later" unless another one lets the user in. Both kinds of
accounts are made of this: those of a Cyrus configuration (cyrus.py) and our own (own.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from estafeta.accounts.authenticator import Answer, Challenge, Circumstances, Denied, Exchange, Login
from estafeta.accounts.authenticator import Mechanism as Offer
from estafeta.accounts.failure_delay import FailureDelay
from estafeta.accounts.good_passwords import GoodPasswords
from estafeta.accounts.source import SECRET_FORMS, Source, SourceDown
from estafeta.accounts.workers import Workers
from estafeta.base import log
from estafeta.tables.source import shown
from estafeta.wire.sasl.events import FAILED
from estafeta.wire.sasl.server import (
    CHANNEL_BOUND,
    TRAITS,
    Authorize,
    Event,
    Failure,
    Given,
    Kept,
    Mechanism,
    Secret,
    Send,
    Setting,
    Success,
    Token,
    Verify,
    server_mechanism,
)

_T = TypeVar("_T")

LONGEST_NAME = 100
"""Characters of what a client calls a mechanism, for the log."""
NEEDS_ENCRYPTION = "encryption needed to use mechanism"
NO_MECHANISM = "no mechanism available"
LATER = "generic failure"
PLAINTEXT_MECHANISMS = frozenset({"PLAIN", "LOGIN"})
TOKEN_MECHANISMS = frozenset({"OAUTHBEARER", "XOAUTH2"})
AS_ANOTHER = "authzid"
"""Among Habits.remarks: that somebody wanted to act as another user."""
NO_USER = "no user: "
"""Among Habits.remarks, before a mechanism: that nothing is kept for the user."""
NO_SOURCE = frozenset({"ANONYMOUS", "EXTERNAL"})


class Effort(Protocol):
    """The parameters that say how much work goes into logins."""

    @property
    def estafeta_auth_threads(self) -> int: ...

    @property
    def estafeta_auth_queue(self) -> int: ...

    @property
    def estafeta_auth_cache_time(self) -> int: ...

    @property
    def estafeta_auth_failure_delay(self) -> int: ...


@dataclass(slots=True)
class Checking:
    """What the sources of one process share."""

    workers: Workers
    good: GoodPasswords
    delay: FailureDelay

    @classmethod
    def of(cls, conf: Effort) -> Checking:
        return cls(
            Workers(conf.estafeta_auth_threads, conf.estafeta_auth_queue),
            GoodPasswords(conf.estafeta_auth_cache_time),
            FailureDelay(conf.estafeta_auth_failure_delay),
        )


def usable(mechanism: str, sources: Sequence[Source]) -> bool:
    """Whether some source has what the mechanism needs."""
    if mechanism in PLAINTEXT_MECHANISMS:
        return any(source.passwords for source in sources)
    if mechanism in TOKEN_MECHANISMS:
        return any(source.tokens for source in sources)
    form = mechanism.removesuffix("-PLUS")
    return any(form in source.forms for source in sources) if form in SECRET_FORMS else mechanism in TRAITS


def named(user: str, realm: str) -> str:
    """The whole name of a user: one who names no realm is of ours, if we have one."""
    return user if "@" in user or not realm else f"{user}@{realm}"


def within(user: str, realm: str) -> tuple[str, ...]:
    """Under which names a list may know the user: the whole name, and without our own realm."""
    whole = named(user, realm)
    bare, at, domain = whole.rpartition("@")
    return (whole, bare) if at and realm and domain.lower() == realm.lower() else (whole,)


@dataclass(frozen=True, slots=True)
class Habits:
    """In what the two kinds of accounts differ."""

    offered: tuple[str, ...]
    """Mechanisms, in capitals, in the order in which they are offered."""
    remarks: dict[str, str] = field(default_factory=dict)
    """Mechanism -> what is logged when a password was wrong, before the line of the server itself."""
    failure: str = "SASL: a password cannot be checked now: "
    """What is logged before the reason, where a source cannot be asked."""
    unknown: str = ""
    """What is logged about a mechanism that is not offered; `%s` is its name."""


class LocalAuthenticator:
    """See Authenticator. `start` comes after privileges are dropped; sources are opened before, by who makes this."""

    def __init__(self, sources: Sequence[Source], habits: Habits, checking: Checking) -> None:
        self.sources = tuple(sources)
        self._habits = habits
        self.checking = checking
        self._pepper = pepper()
        self._offers: dict[frozenset[str], tuple[Offer, ...]] = {}
        # A user who does not exist must be as slow to refuse as one who does.
        self._keeps_passwords = any(source.forms >= SECRET_FORMS for source in sources)

    async def start(self) -> None:
        for source in self.sources:
            await source.start()

    async def mechanisms(self) -> Sequence[Offer]:
        return self.offers()

    def offers(self, without: frozenset[str] = frozenset()) -> tuple[Offer, ...]:
        """The same object for the same answer, so that it need not be looked through again."""
        if without not in self._offers:
            names = [name for name in self._habits.offered if name not in without]
            self._offers[without] = tuple(Offer(name, TRAITS[name]) for name in names)
        return self._offers[without]

    def unavailable(self, mechanism: str, *, needs_encryption: bool) -> str:
        if needs_encryption:
            return NEEDS_ENCRYPTION
        if self._habits.unknown and mechanism not in self._habits.offered:
            log.warning(self._habits.unknown % shown(mechanism[:LONGEST_NAME]))
        return NO_MECHANISM

    async def begin(self, mechanism: str, initial: bytes | None, about: Circumstances) -> tuple[Exchange, Answer]:
        if mechanism not in self._habits.offered:
            return _Over(), Denied(self.unavailable(mechanism, needs_encryption=False))
        exchange = LocalExchange(self, server_mechanism(mechanism, self._setting(mechanism, about)), about)
        return exchange, await exchange.go_on(exchange.machine.begin(initial))

    async def stop(self) -> None:
        for source in self.sources:
            await source.stop()
        self.checking.workers.stop()

    def _setting(self, mechanism: str, about: Circumstances) -> Setting:
        bound = f"{mechanism.removesuffix('-PLUS')}-PLUS"
        with_binding = bound in CHANNEL_BOUND and bound in self._habits.offered
        return Setting(
            host=about.own_name,
            realm=about.realm or about.own_name,
            nonce=secrets.token_urlsafe(24),
            pepper=self._pepper,
            service=about.service,
            certificate_name=about.certificate_name,
            channel_binding=about.channel_binding if with_binding else b"",
            keeps_passwords=self._keeps_passwords,
        )

    # --- what the sources say

    async def verify(self, asked: Verify, about: Circumstances) -> str | None:
        """The whole name of the user, if the password is right. Raises SourceDown."""
        user = named(asked.user, about.realm)
        return await self._first(self._whose(source, user, asked, about) for source in self.sources if source.passwords)

    @staticmethod
    async def _whose(source: Source, user: str, asked: Verify, about: Circumstances) -> str | None:
        if await source.verify(user, asked.password, about):
            return user
        if asked.prepared != asked.password and await source.verify(user, asked.prepared, about):
            return user
        return None

    async def kept(self, asked: Secret, about: Circumstances) -> Kept | None:
        """What some source keeps for the mechanism. Raises SourceDown."""
        return await self._first(
            source.kept(named(asked.user, about.realm), asked.realm, asked.form, about)
            for source in self.sources
            if asked.form in source.forms
        )

    async def decoy(self, asked: Secret, about: Circumstances) -> Kept | None:
        """For a user whom no source knows: a challenge that looks like everybody's. Raises SourceDown."""
        for source in self.sources:
            if asked.form in source.forms:
                found = await source.decoy(named(asked.user, about.realm), asked.form)
                if found is not None:
                    return found
        return None

    async def owner(self, asked: Token) -> str | None:
        """Whose token it is. Raises SourceDown."""
        return await self._first(source.owner(asked.user, asked.token) for source in self.sources if source.tokens)

    @staticmethod
    async def _first(answers: Iterable[Awaitable[_T | None]]) -> _T | None:
        """What the first source says that knows. Raises SourceDown if nobody knows and one could not be asked."""
        down: SourceDown | None = None
        for answer in answers:
            try:
                found = await answer
            except SourceDown as error:
                down = down or error
                continue
            if found is not None:
                return found
        if down is not None:
            raise down
        return None

    async def refuse(
        self, failure: Failure, mechanism: str, user: str, about: Circumstances, *, known: bool | None
    ) -> Denied:
        """After a wrong password: the client waits, and nobody else does. `known`: there is such a user; None: the
        password was right, and the user wanted to be another."""
        if failure.reason == FAILED:
            if known is False and mechanism not in PLAINTEXT_MECHANISMS:
                mechanism = f"{NO_USER}{mechanism}"
            remark = self._habits.remarks.get(AS_ANOTHER if known is None else mechanism)
            if remark is not None:
                log.warning(remark)
            await asyncio.sleep(self.checking.delay.after_failure(about.client_address))
        return Denied(failure.reason, user=user or None)

    def cannot_ask(self, reason: SourceDown, mechanism: str) -> None:
        log.warning(f"{self._habits.failure}{reason}")
        if mechanism == "PLAIN" and mechanism in self._habits.remarks:
            log.warning(self._habits.remarks[mechanism])


class LocalExchange:
    """One login."""

    def __init__(self, owner: LocalAuthenticator, machine: Mechanism, about: Circumstances) -> None:
        self._owner = owner
        self._about = about
        self.machine = machine
        self._known: bool | None = False
        self._elsewhere = ""
        """The whole name of a user of a realm that is not ours."""

    async def step(self, response: bytes) -> Answer:
        return await self.go_on(self.machine.step(response))

    async def go_on(self, event: Event) -> Answer:
        """Answer what the mechanism asks, until it has something for the client."""
        while True:
            match event:
                case Send():
                    return Challenge(event.text)
                case Success():
                    self._owner.checking.delay.forgive(self._about.client_address)
                    return Login(self._whole_name(event.user), event.text)
                case Failure():
                    # Of who wants to be another, that name is logged.
                    user = self.machine.authzid if self._known is None else event.user
                    whole = self._whole_name(user) if user else ""
                    return await self._owner.refuse(event, self.machine.name, whole, self._about, known=self._known)
            try:
                given = await self._answer(event)
            except SourceDown as error:
                return self._later(error)
            if self.machine.name.startswith("SCRAM-"):
                # Thousands of rounds, unless keys are kept: not on the event loop.
                try:
                    event = await self._owner.checking.workers.run(self.machine.answer, given)
                except SourceDown as error:
                    return self._later(error)
                continue
            event = self.machine.answer(given)

    def _later(self, reason: SourceDown) -> Denied:
        self._owner.cannot_ask(reason, self.machine.name)
        user = self.machine.user
        return Denied(LATER, later=True, user=self._whole_name(user) if user else None)

    async def _answer(self, event: Verify | Secret | Token | Authorize) -> Given:
        match event:
            case Verify():
                return await self._owner.verify(event, self._about)
            case Secret():
                kept = await self._owner.kept(self._of_realm(event), self._about)
                self._known = kept is not None
                if kept is None and event.form.startswith("SCRAM-"):
                    return await self._owner.decoy(event, self._about)
                return kept
            case Token():
                return await self._owner.owner(event)
        # Nobody acts for anybody else here; to name oneself in full is no such wish.
        same = self._whole_name(event.authzid) == self._whole_name(event.user)
        self._known = None if not same else self._known
        return event.user if same else None

    def _of_realm(self, asked: Secret) -> Secret:
        """DIGEST-MD5 lets the client name a realm. Who has the same name in another realm is another user."""
        if asked.realm == (self._about.realm or self._about.own_name):
            return asked
        self._elsewhere = f"{asked.user}@{asked.realm}"
        return replace(asked, user=self._elsewhere)

    def _whole_name(self, user: str) -> str:
        if self._elsewhere and user == self.machine.user:
            return self._elsewhere
        return user if self.machine.name in NO_SOURCE else named(user, self._about.realm)

    def cancel(self) -> None:
        """Nothing is held: work that was begun in a thread ends by itself."""


class _Over:
    """What was over before it began."""

    async def step(self, response: bytes) -> Answer:
        return Denied(NO_MECHANISM)

    def cancel(self) -> None:
        return


def pepper() -> bytes:
    """A secret that lasts as long as the machine: its identifier, which is nobody's business (machine-id(5))."""
    try:
        with open("/etc/machine-id", "rb") as file:
            identifier = file.read(64).strip()
    except OSError:
        identifier = b""
    return hashlib.blake2b(identifier or secrets.token_bytes(32), person=b"estafeta-pepper").digest()
