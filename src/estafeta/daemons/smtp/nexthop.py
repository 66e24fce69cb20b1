"""Reading a next hop: who is to get the mail, before any look-up.

    example.com   example.com:587   [mail.example.com]   [192.0.2.1]:2525   [ipv6:2001:db8::1]   a.example, b.example
    unix:/run/dovecot/lmtp   inet:localhost:24                              (LMTP only)

smtp(8), SMTP DESTINATION SYNTAX and LMTP DESTINATION SYNTAX.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from estafeta.mail.address import valid_address_text, valid_hostname, valid_ipv6

MOST_DESTINATIONS = 100
"""In one next hop."""


class NexthopError(ValueError):
    """The next hop cannot be read; says what is wrong with it."""


@dataclass(slots=True, frozen=True)
class Destination:
    """One place of a next hop. `path` is set for a local socket, and then nothing else."""

    host: str
    port: int = 0
    literal: bool = False
    """In brackets, or LMTP: its addresses are looked up, not its mail exchangers."""
    path: str = ""
    service: str = field(default="", compare=False)
    """The service as written (smtp_tcp_port where none is), for SRV look-ups; empty for a name in brackets."""


def parse_nexthop(
    nexthop: str, *, lmtp: bool, port: str, ports: Mapping[str, int]
) -> tuple[list[Destination], list[NexthopError]]:
    """The places, in the order in which they are to be tried, and what is wrong with members that name none.

    Raises NexthopError if there is no member, or too many.
    `port` is smtp_tcp_port or lmtp_tcp_port; `ports` gives numbers of service names (known_tcp_ports).
    """
    members = nexthop.replace(",", " ").split()
    if not members:
        raise NexthopError("the next hop is empty: name a domain, a [host] or a list of them")
    if len(members) > MOST_DESTINATIONS:
        raise NexthopError(f"more than {MOST_DESTINATIONS} destinations in one next hop")
    places: list[Destination] = []
    slips: list[NexthopError] = []
    for member in members:
        try:
            places.append(_parse(member, lmtp, port, ports))
        except NexthopError as slip:
            slips.append(slip)
    return places, slips


def _parse(member: str, lmtp: bool, port: str, ports: Mapping[str, int]) -> Destination:
    if lmtp:
        if member.startswith("unix:"):
            path = member[5:]
            if not path:
                raise NexthopError(f"no path in {member!r}")
            return Destination("", path=path)
        member = member.removeprefix("inet:")
    literal = member.startswith("[")
    if literal:
        host, bracket, after = member[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise NexthopError(f"invalid destination {member!r}: write [host] or [host]:port")
        if host[:5].lower() == "ipv6:":
            host = host[5:]
            if not valid_ipv6(host):
                raise NexthopError(f"malformed IPv6 address in server description: {member}")
        service = after[1:]
    else:
        host, _, service = member.partition(":")
    if not host:
        raise NexthopError(f"no host in the destination {member!r}")
    # Domains of recipients were looked at before. What is no name here is the administrator's slip, so mail waits.
    if not valid_hostname(host.removesuffix(".")) and not valid_address_text(host):
        raise NexthopError(f"valid hostname or network address required in server description: {member}")
    service = service or port
    return Destination(host, port_number(service, ports), literal or lmtp, service="" if literal else service)


def plain_name(nexthop: str, *, lmtp: bool) -> str:
    """A next hop as smtp_connection_cache_destinations names it: without `[]`, port, `unix:` and `inet:`."""
    if lmtp:
        if nexthop.startswith("unix:"):
            return nexthop[5:]
        nexthop = nexthop.removeprefix("inet:")
    if nexthop.startswith("["):
        return nexthop[1:].partition("]")[0]
    return nexthop.partition(":")[0]


def port_number(service: str, ports: Mapping[str, int]) -> int:
    """The TCP port of a number or a service name. Raises NexthopError."""
    if service.isascii() and service.isdigit():
        number = int(service[:6])
        if not 0 < number < 65536:
            raise NexthopError(f"bad port number {service!r}")
        return number
    if service in ports:
        return ports[service]
    raise NexthopError(f"unknown service: {service}/tcp")


def known_ports(words: Iterable[str]) -> dict[str, int]:
    """known_tcp_ports, `smtps=submissions=465 ...`: service name -> number. Members that are not so are passed over."""
    found: dict[str, int] = {}
    for word in words:
        *names, number = word.split("=")
        if names and number.isascii() and number.isdigit():
            found.update((name, int(number)) for name in names)
    return found


def services_file(path: str = "/etc/services") -> dict[str, int]:
    """The TCP services of services(5): name or alias -> number. Empty where there is no such file."""
    try:
        text = Path(path).read_text("utf-8", "replace")
    except OSError:
        return {}
    found: dict[str, int] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        number, _, protocol = words[1].partition("/") if len(words) > 1 else ("", "", "")
        if protocol == "tcp" and number.isdigit():
            for name in (words[0], *words[2:]):
                found.setdefault(name, int(number))
    return found
