"""How much one client may ask for, over all its sessions and all our processes: smtpd_client_*_limit. TUNING_README.

anvil(8) counts (services/anvil.py); here is what a session asks it and what it says to a client that is over a limit.
Clients of smtpd_client_event_limit_exceptions, and those that may use XCLIENT to speak for others, are not counted.

Where a client is exempt by its address alone, as with mynetworks, the question leaves before the client's name is
looked up, and the answer is there when the greeting is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.base.networks import NetworkError, number_of, parse_network, text_of
from estafeta.config.instance import Config
from estafeta.daemons.smtpd.arrival import is_in
from estafeta.services.anvil import AUTH, MESSAGE, NEWTLS, RECIPIENT, AnvilClient, Visit, limits_of
from estafeta.services.postmaster import POLICY
from estafeta.tables.match import MatchList

if TYPE_CHECKING:
    from estafeta.daemons.smtpd.session import Session

EXEMPT = Visit("")
"""Stands for the visit of a client that is not counted."""


class ClientLimits:
    """What one service allows its clients. One a process; `ClientLimits.of` says whether there is anything to do."""

    def __init__(self, conf: Config, anvil: AnvilClient, service: str) -> None:
        self.count, self.rate, self.messages, self.recipients, self.new_tls, self.auth = limits_of(conf)
        self._anvil = anvil
        self._service = service
        parents = "smtpd_client_event_limit_exceptions" in conf.parent_domain_matches_subdomains
        words = conf.smtpd_client_event_limit_exceptions
        self._exceptions = MatchList.open(
            words, parent_matches_subdomains=parents, name="smtpd_client_event_limit_exceptions"
        )
        self._lengths = {4: conf.smtpd_client_ipv4_prefix_length, 6: conf.smtpd_client_ipv6_prefix_length}
        self.by_address = _are_networks(words) and _are_networks(conf.smtpd_authorized_xclient_hosts)
        """Whether a client's name makes no difference to whether it is counted."""

    @classmethod
    def of(cls, conf: Config, anvil: AnvilClient, service: str) -> ClientLimits | None:
        """None where there is no limit."""
        return cls(conf, anvil, service) if any(limits_of(conf)) else None

    def ident(self, address: str) -> str:
        """Under which name anvil knows the client: `smtp:192.0.2.1`, or a network, `smtp:2001:db8::/84`."""
        number = number_of(address)
        if number is None:
            return f"{self._service}:{address}"
        family, value = number
        host_bits = (32 if family == 4 else 128) - self._lengths[family]
        if not host_bits:
            return f"{self._service}:{address}"
        return f"{self._service}:{text_of(family, value >> host_bits << host_bits)}/{self._lengths[family]}"

    # --- connections

    async def arrive(self, session: Session) -> None:
        """Tell of the connection, unless the client is exempt."""
        xclient = session.policy.xclient_hosts
        if await is_in(session, self._exceptions) or (xclient and await is_in(session, xclient)):
            session.visit = EXEMPT
        else:
            session.visit = self._anvil.arrive(self.ident(session.client.address))

    def leave(self, session: Session) -> None:
        """The connection has ended, or becomes another client's."""
        visit, session.visit = session.visit, None
        if visit is not None and visit is not EXEMPT:
            self._anvil.leave(visit)

    async def greet(self, session: Session) -> bytes | None:
        """The reply to a client that has too many connections, or comes too often."""
        if session.visit is None:
            await self.arrive(session)
        visit = session.visit
        if visit is None or visit is EXEMPT:
            return None
        try:
            known = await self._anvil.rates(visit)
        except OSError as error:
            _unreachable(error)
            return None
        if known is None:
            return None
        if 0 < self.count < known.count:
            self._warn("Connection concurrency limit", known.count, session)
        elif 0 < self.rate < known.rate:
            self._warn("Connection rate limit", known.rate, session)
        else:
            return None
        return (
            f"421 4.7.0 {session.policy.conf.myhostname} "
            f"Error: too many connections from {session.client.address}\r\n".encode()
        )

    # --- what clients ask for; each returns the reply to one that is over its limit

    async def message(self, session: Session) -> bytes | None:
        """MAIL FROM. Only where `messages` is set."""
        if await self._is_over(session, MESSAGE, self.messages, "Message delivery request rate limit"):
            return f"450 4.7.1 Error: too much mail from {session.client.address}\r\n".encode()
        return None

    async def recipient(self, session: Session) -> bytes | None:
        """RCPT TO and VRFY. Only where `recipients` is set."""
        if await self._is_over(session, RECIPIENT, self.recipients, "Recipient address rate limit"):
            return f"450 4.7.1 Error: too many recipients from {session.client.address}\r\n".encode()
        return None

    async def login(self, session: Session) -> bytes | None:
        """AUTH, whatever comes of it. Only where `auth` is set."""
        if await self._is_over(session, AUTH, self.auth, "AUTH command rate limit"):
            return f"450 4.7.1 Error: too many AUTH commands from {session.client.address}\r\n".encode()
        return None

    async def starttls(self, session: Session) -> bytes | None:
        """Before a handshake, which costs us most: a client that has begun too many sessions already. Only where
        `new_tls` is set."""
        if not await self.refuses_tls(session, "STARTTLS"):
            return None
        session.trouble |= POLICY
        return f"454 4.7.0 Error: too many new TLS sessions from {session.client.namaddr}\r\n".encode()

    async def refuses_tls(self, session: Session, request: str = "TLS service") -> bool:
        """The same for smtpd_tls_wrappermode, where there is nobody to reply to."""
        if await self._rate(session, NEWTLS, 0) <= self.new_tls:
            return False
        log.warning(f"Refusing {request} request from {session.client.namaddr} for service {self._service}")
        return True

    async def new_tls_session(self, session: Session) -> bytes | None:
        """After a handshake that resumed no earlier session. Only where `new_tls` is set. The reply ends it."""
        if await self._is_over(session, NEWTLS, self.new_tls, "New TLS session rate limit"):
            return (
                f"421 4.7.0 {session.policy.conf.myhostname} "
                f"Error: too many new TLS sessions from {session.client.namaddr}\r\n".encode()
            )
        return None

    async def _is_over(self, session: Session, kind: int, limit: int, name: str) -> bool:
        rate = await self._rate(session, kind)
        if rate <= limit:
            return False
        self._warn(name, rate, session)
        session.trouble |= POLICY
        return True

    async def _rate(self, session: Session, kind: int, amount: int = 1) -> int:
        """Count an event; how many there are within the time unit. 0 for who is not counted."""
        visit = session.visit
        if visit is None or visit is EXEMPT:
            return 0
        try:
            known = await self._anvil.event(visit.ident, kind, amount)
        except OSError as error:
            _unreachable(error)
            return 0
        return 0 if known is None else known.rate

    def _warn(self, what: str, value: int, session: Session) -> None:
        log.warning(f"{what} exceeded: {value} from {session.client.namaddr} for service {self._service}")


def _unreachable(error: OSError) -> None:
    """Nobody is turned away because anvil is not there; limits do not apply for a moment."""
    log.warning(f"problem talking to server {error.filename}: {error.strerror or error}")


def _are_networks(words: Sequence[str]) -> bool:
    """Whether the words of a list are addresses and networks only."""
    try:
        for word in words:
            parse_network(word.removeprefix("!"))
    except NetworkError:
        return False
    return True
