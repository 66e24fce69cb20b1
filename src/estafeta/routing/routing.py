"""Rewrite an address to standard form, and resolve it to transport and next hop: trivial-rewrite(8) as a library.

One `Routing` a process, made from its configuration with the -o options of the `rewrite` entry. Resolution asks tables,
so it is async; without tables it never suspends. TableDown (from tables/table.py) passes through: the caller defers.
"""

from __future__ import annotations

from dataclasses import dataclass

LOCAL, ALIAS, MAILBOX, RELAY, DEFAULT = "local", "virtual alias", "virtual mailbox", "relay", "default"
"""The five address classes: ADDRESS_CLASS_README."""


@dataclass(slots=True, frozen=True)
class Resolved:
    """Where a recipient goes. `error` is set (`5.1.1 text`) where the transport is error: itself or routing failed."""

    transport: str
    nexthop: str
    recipient: str
    """The address as the transport is to see it."""
    address_class: str
    error: str = ""
