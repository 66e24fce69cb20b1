"""Who a client is: its address, and its host name as far as DNS confirms it. For the servers: smtpd, qmqpd.

The name that the address has (PTR) counts only if that name has the address in turn; anyone may write any name
into a reverse zone. The unconfirmed name is kept as the reverse name. A name that could not be looked up is a
temporary matter (`name_status` 4), one that is not there or does not fit is not (5): restrictions answer 450 for both
by default, and only the first keeps its class when an administrator asks for 5xx.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from estafeta.base import log
from estafeta.mail.address import valid_hostname
from estafeta.net.dns import BadName, DnsDown, DnsError, Resolver

OK, LATER, NEVER = 2, 4, 5

KEPT = 10_000
"""Clients remembered at the most."""
FRESH, FRESH_LATER = 60.0, 5.0
"""Seconds a verdict on a name is kept; briefly if DNS was down."""


class Client:
    """One client. `namaddr` is `name[address]` as it stands in log lines, with `:port` if that is asked for."""

    __slots__ = (
        "address",
        "log_port",
        "namaddr",
        "namaddr_plain",
        "name",
        "name_status",
        "port",
        "reverse_name",
        "reverse_status",
    )

    def __init__(
        self,
        name: str,
        address: str,
        port: str = "",
        *,
        reverse_name: str = "",
        name_status: int = OK,
        reverse_status: int = OK,
        log_port: bool = False,
    ) -> None:
        self.name = name
        self.address = address
        self.port = port
        self.reverse_name = reverse_name or name
        self.name_status = name_status
        self.reverse_status = reverse_status
        self.log_port = log_port
        self.namaddr_plain = f"{name}[{address}]"
        self.namaddr = f"{self.namaddr_plain}:{port}" if log_port else self.namaddr_plain


Names = tuple[str, str, int, int]
"""Verified name, reverse name, status of the first, status of the second."""

UNKNOWN = "unknown"


class Peers:
    """Looks clients up, and remembers them for a little while."""

    def __init__(self, resolver: Resolver, *, lookup: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self._resolver = resolver
        self._lookup = lookup
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Names, str]] = OrderedDict()

    def known(self, address: str) -> Names | None:
        """The answer for a client that was here a moment ago, without waiting; its warning is logged again."""
        if not self._lookup:
            return UNKNOWN, UNKNOWN, NEVER, NEVER
        kept = self._known.get(address)
        if kept is None or kept[0] < self._clock():
            return None
        if kept[2]:
            log.warning(kept[2])
        return kept[1]

    async def names(self, address: str) -> Names:
        """The names of a client. Never fails: what DNS cannot say is in the statuses."""
        kept = self.known(address)
        if kept is not None:
            return kept
        names, warning = await self._verified(address)
        if warning:
            log.warning(warning)
        later = LATER in (names[2], names[3])
        self._known[address] = (self._clock() + (FRESH_LATER if later else FRESH), names, warning)
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return names

    async def _verified(self, address: str) -> tuple[Names, str]:
        try:
            name = await self._resolver.ptr(address)
        except DnsDown:
            return (UNKNOWN, UNKNOWN, LATER, LATER), ""
        except DnsError:
            name = None
        if not name:
            return (UNKNOWN, UNKNOWN, NEVER, NEVER), ""
        if not valid_hostname(name):
            # An address as its own name, or worse: nothing that a table or a log should take for a name.
            return (UNKNOWN, UNKNOWN, NEVER, NEVER), f"address {address} has a malformed host name: {name[:100]!r}"
        try:
            addresses = await self._resolver.native(name, family=6 if ":" in address else 4)
        except DnsDown:
            reason = "Temporary failure in name resolution"
            return (UNKNOWN, name, LATER, OK), f"hostname {name} does not resolve to address {address}: {reason}"
        except (DnsError, BadName):
            reason = "Name or service not known"
            return (UNKNOWN, name, NEVER, OK), f"hostname {name} does not resolve to address {address}: {reason}"
        if address in addresses:
            return (name, name, OK, OK), ""
        return (UNKNOWN, name, NEVER, OK), f"hostname {name} does not resolve to address {address}"


def endpoints(transport: Any) -> tuple[str, str, str, str]:
    """(client address, client port, our address, our port). A client on a local socket is this host."""
    peer = transport.get_extra_info("peername")
    own = transport.get_extra_info("sockname")
    if not isinstance(peer, tuple):
        return "127.0.0.1", "0", "127.0.0.1", "0"
    if not isinstance(own, tuple):
        return plain(peer[0]), str(peer[1]), "", ""
    return plain(peer[0]), str(peer[1]), plain(own[0]), str(own[1])


def plain(address: str) -> str:
    """An IPv4 address that came over an IPv6 socket as IPv4, and no zone."""
    address = address.partition("%")[0]
    return address[7:] if address.lower().startswith("::ffff:") and "." in address else address
