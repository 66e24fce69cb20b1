"""One delivery request, from next hop to outcomes: which servers are tried, in which order, until nobody is left.

Idle connections first, then the servers of each destination of the next hop, then the fallback relays. What a server
puts off (4xx, a broken connection) goes to the next one, with a line in the log; what it refuses (5xx) is final. A
recipient whom no server takes gets the last server's word. smtp(8), smtp_mx_session_limit, smtp_fallback_relay.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from estafeta.base import log
from estafeta.daemons.smtp.connection import Connection, Habits, Manner, open_connection
from estafeta.daemons.smtp.errors import Failure, LoopsBack, SiteError
from estafeta.daemons.smtp.letter import Content, Letter, Unreadable
from estafeta.daemons.smtp.mx import Directory, Server
from estafeta.daemons.smtp.nexthop import Destination, NexthopError, parse_nexthop, plain_name
from estafeta.daemons.smtp.pool import Pool
from estafeta.daemons.smtp.transfer import Stale, transfer
from estafeta.mail.outcome import Deferred
from estafeta.services.pass_on import UNAVAILABLE, PassOn
from estafeta.services.postmaster import PROTOCOL, Postmaster
from estafeta.tables.match import MatchList
from estafeta.tables.table import TableDown

NO_SERVER = Failure("4.3.0", "server unavailable or unable to receive mail", throttle=True)


class Demands(Protocol):
    """What stands in the way of handing mail for this next hop to this server at all. May raise TableDown."""

    async def __call__(self, server: Server, nexthop: str, sender: str) -> Failure | None: ...


@dataclass(slots=True)
class Office:
    """What all deliveries of a process share."""

    manner: Manner
    directory: Directory
    pool: Pool
    reader: Content
    habits: Habits
    unmet: Demands
    port: str = "25"
    ports: Mapping[str, int] = field(default_factory=dict)
    session_limit: int = 2
    relayhost: str = ""
    """What main.cf says: a slip in it must not cost the mail."""
    fallback: Sequence[str] = ()
    best_mx: str = ""
    """`transport` or `transport:nexthop` for mail that would come back to this machine; empty returns it."""
    pass_on: PassOn = field(default_factory=lambda: PassOn(timeout=0))
    postmaster: Postmaster | None = None
    keep: bool = True
    """Keep connections for the next message."""
    keep_for: MatchList | None = None
    """Next hops whose connections are kept in any case."""

    async def keeps(self, nexthop: str) -> bool:
        """Whether a connection to this next hop is kept for the next message."""
        if self.keep or not self.keep_for:
            return self.keep
        try:
            return await self.keep_for.matches_domain(plain_name(nexthop, lmtp=self.manner.lmtp))
        except TableDown:
            return False  # the mail is delivered; only the connection is at stake


class Attempt:
    """The work on one letter."""

    __slots__ = ("_connected", "_letter", "_office", "_sessions", "_tried")

    def __init__(self, office: Office, letter: Letter) -> None:
        self._office = office
        self._letter = letter
        self._sessions = 0
        self._tried: set[Server] = set()
        self._connected: dict[Connection, float] = {}

    async def run(self) -> Deferred | None:
        """Give every recipient an outcome. Returns why the whole next hop is in trouble, if it is."""
        letter = self._letter
        nexthop = letter.delivery.nexthop
        try:
            await self._idle_for(nexthop)
            if letter.left:
                await self._places(nexthop)
        except Unreadable as error:
            log.warning(f"{letter.delivery.queue_id}: cannot read the message: {error}; it stays in the queue")
            letter.fail_all(Failure("4.3.0", f"cannot read the message: {error}"))
        return self._conclude()

    def _conclude(self) -> Deferred | None:
        letter, dead = self._letter, None
        for index in list(letter.left):
            failure = letter.trouble.get(index, NO_SERVER)
            outcome = failure.outcome()
            if failure.throttle and isinstance(outcome, Deferred):
                dead = outcome
            letter.done(index, outcome)
        return dead

    # --- where to

    async def _places(self, nexthop: str) -> None:
        letter = self._letter
        places, slip = self._destinations(nexthop, nexthop, "correct the transport or relayhost setting")
        suspect = "relayhost" if nexthop == self._office.relayhost else ""
        if self._office.fallback:
            setting = "lmtp_fallback_relay" if self._office.manner.lmtp else "smtp_fallback_relay"
            more, another = self._destinations(" ".join(self._office.fallback), nexthop, f"correct {setting}")
            places += [place for place in more if place not in places]
            suspect = setting if more else suspect
            slip = slip or another
        missing = None
        for place in places:
            missing = await self._place(place, nexthop)
            if not letter.left:
                return
        if missing is not None and missing.hard and suspect:
            # The last resort is one that the administrator chose: that it does not exist is no fault of the recipient.
            log.warning(f"{suspect} configuration problem")
            letter.trouble.update(dict.fromkeys(letter.left, Failure("4.3.5", missing.text)))
        # What no server could be found for is final only now that all places are exhausted, and all were places:
        # where the administrator made a slip, nobody knows who would have taken the mail.
        for index in letter.left if slip is not None else ():
            known = letter.trouble.get(index)
            if known is None or known.hard:
                letter.trouble[index] = Failure("4.3.5", f"Server configuration error: {slip}")

    def _destinations(self, text: str, nexthop: str, remedy: str) -> tuple[list[Destination], NexthopError | None]:
        """The places that a list names, and the first of the slips in it, which are warned about."""
        office, queue_id = self._office, self._letter.delivery.queue_id
        try:
            places, slips = parse_nexthop(text, lmtp=office.manner.lmtp, port=office.port, ports=office.ports)
        except NexthopError as slip:
            places, slips = [], [slip]
        for each in slips:
            log.warning(f"{queue_id}: next hop {nexthop!r}: {each}; {remedy}")
        return places, slips[0] if slips else None

    async def _place(self, place: Destination, nexthop: str) -> Failure | None:
        """Try the servers of one destination. Returns why there are none."""
        letter, office = self._letter, self._office
        try:
            servers = await office.directory.servers(place, lmtp=office.manner.lmtp)
        except LoopsBack as error:
            if office.best_mx:
                await self._pass_on()
            elif nexthop == office.relayhost:
                log.warning("relayhost configuration problem")
                for index in list(letter.left):
                    letter.done(index, Failure("4.3.5", error.failure.text).outcome())
            else:
                letter.fail_all(error.failure)
            return None
        except SiteError as error:
            # "Does not exist" counts only if no other place takes it, so it is kept as trouble, hard or not.
            self._note()
            for index in letter.left:
                known = letter.trouble.get(index)
                if known is None or known.hard or not error.failure.hard:
                    letter.trouble[index] = error.failure
            return error.failure
        sessions = 0
        for server in self._fresh(servers):
            if office.session_limit and sessions >= office.session_limit:
                return None
            sessions += await self._server(server, nexthop)
            if not letter.left:
                return None
        return None

    async def _pass_on(self) -> None:
        """We are the best mail exchanger of a domain that is not listed as ours: best_mx_transport has its mail."""
        letter, office = self._letter, self._office
        left = list(letter.left)
        answers = await asyncio.gather(
            *(
                office.pass_on.deliver(office.best_mx, letter.delivery, letter.delivery.recipients[index])
                for index in left
            )
        )
        for index, outcome in zip(left, answers, strict=True):
            if outcome is None:
                letter.done(index, UNAVAILABLE)
            else:
                letter.settled_elsewhere(index, outcome)

    def _fresh(self, servers: Sequence[Server]) -> Iterator[Server]:
        return (server for server in servers if server not in self._tried)

    # --- one server

    async def _idle_for(self, nexthop: str) -> None:
        """Use up idle connections of this next hop until one works."""
        while self._letter.left and (connection := self._office.pool.take(nexthop)) is not None:
            if await self._session(connection, nexthop):
                self._tried.add(connection.server)
                return

    async def _server(self, server: Server, nexthop: str) -> bool:
        """Try one server, by an idle connection or a new one. True when it was a session."""
        letter, office = self._letter, self._office
        self._note()
        letter.connected, letter.uses = 0.0, 0
        try:
            # Before any connection: an idle one was made for another next hop, of which less may be demanded.
            hindrance = await office.unmet(server, nexthop, letter.delivery.sender)
            if hindrance is not None:
                letter.fail_all(hindrance)
                return False
            while (idle := office.pool.take_for(server)) is not None:
                if await self._session(idle, nexthop):
                    return True
            letter.connected, letter.uses = 0.0, 0
            connection = await open_connection(
                server,
                office.manner,
                office.habits,
                nexthop=nexthop,
                queue_id=letter.delivery.queue_id,
                arrived=letter.delivery.arrived,
            )
        except TableDown as error:
            letter.fail_all(Failure("4.3.0", f"{error}"))
            return False
        except SiteError as error:
            letter.connected = time.time()
            if error.failure.relay == "none" and not server.path:
                log.info(error.failure.text)
            letter.fail_all(error.failure)
            if error.connection is not None:
                self._tell(error.connection)
            # What fails before MAIL FROM is no session: the next one is tried, as far as there are addresses.
            return False
        await self._session(connection, nexthop)
        return True

    async def _session(self, connection: Connection, nexthop: str) -> bool:
        """One transaction. False when a kept connection was closed in the meantime: try again, nothing happened."""
        letter, office = self._letter, self._office
        connection.uses += 1
        letter.connected, letter.uses = time.time(), connection.uses
        try:
            clean = await transfer(connection, letter, office.reader, office.manner)
        except Stale:
            connection.abort()
            return False
        except BaseException:
            connection.abort()
            raise
        self._tell(connection)
        if clean and connection.sound and await office.keeps(nexthop):
            office.pool.give(connection, nexthop)
        else:
            office.pool.leave(connection)
        return True

    def _tell(self, connection: Connection) -> None:
        """notify_classes = protocol: the postmaster hears of servers that break it. A notice about a notice, or about
        a bounce, could go round for ever."""
        if not connection.strange or connection.said is None:
            return
        connection.strange = False
        sender, postmaster = self._letter.delivery.sender, self._office.postmaster
        if postmaster is None or not sender or sender == postmaster.sender:
            return
        kind = "LMTP" if self._office.manner.lmtp else "SMTP"
        subject, opening = (
            f"{kind} client: errors from {connection.relay}",
            f"Unexpected response from {connection.relay}.",
        )
        postmaster.tell(PROTOCOL, subject, tuple(connection.said), opening=opening)

    def _note(self) -> None:
        """Say in the log why the letter goes on to the next server. A failed connection was told already."""
        letter = self._letter
        told: set[str] = set()
        for index in letter.left:
            failure = letter.trouble.get(index)
            if failure is not None and failure.relay != "none" and failure.text not in told:
                told.add(failure.text)
                log.info(f"{letter.delivery.queue_id}: {failure.text}")
