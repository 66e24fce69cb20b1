"""What routing answers."""

from __future__ import annotations

import msgspec

LOCAL, ALIAS, MAILBOX, RELAY, DEFAULT = "local", "virtual alias", "virtual mailbox", "relay", "default"
"""The five address classes: ADDRESS_CLASS_README."""

BAD_SYNTAX = "5.1.3 bad address syntax"


class Resolved(msgspec.Struct, frozen=True):
    """Where a recipient goes."""

    transport: str
    nexthop: str
    recipient: str
    """The address as the transport is to see it."""
    address_class: str
    error: str = ""
    """Where the transport is error: or retry: the reason, always with a status (`5.1.1 text`); else empty."""
    routed: bool = False
    """The local part has a route in it (`@`, `%` or `!`), which is not this machine's to interpret."""
    invalid: bool = False
    """Not an address that can be routed: smtpd answers 501 5.1.3, delivery bounces with `error`."""


class Unlisted(msgspec.Struct, frozen=True):
    """Why an address is refused: `550 5.1.1 <a@b>: Recipient address rejected: text`."""

    code: int
    dsn: str
    text: str
