"""The attributes of XCLIENT and XFORWARD: `NAME=mx.b.example ADDR=192.0.2.1 PORT=4711`.

A value is xtext (RFC 3461 4); one that is not is taken as it stands, since old clients do not encode. `[UNAVAILABLE]`
says that the sender of the command does not know, `[TEMPUNAVAIL]` that it may know later. XCLIENT_README,
XFORWARD_README.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping

from estafeta.mail import xtext
from estafeta.mail.address import valid_hostname, valid_ipv4, valid_ipv6

UNAVAILABLE = "[UNAVAILABLE]"
TEMPUNAVAIL = "[TEMPUNAVAIL]"
NOT_KNOWN = frozenset({UNAVAILABLE, TEMPUNAVAIL})

LONGEST_VALUE = 255
LONGEST_PROTOCOL = 64
HIGHEST_PORT = 65535

# What must not get into log lines, headers and table keys with a name that a stranger said.
_NEUTER = {ord(char): "?" for char in ' <>()\\";@\t'} | dict.fromkeys((*range(32), 127), "?")


class BadAttribute(ValueError):
    """What is wrong, as the reply says it: `5.5.4 Bad ADDR syntax: x`."""


Rule = Callable[[str], str | None]
"""Takes a decoded value, returns it as it is kept, or None if it is malformed."""


def neutered(text: str) -> str:
    """The text with what could be mistaken for something else as `?`."""
    if text.isalnum() and text.isascii():
        return text
    text = text.translate(_NEUTER)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def hostname(value: str) -> str | None:
    return value if valid_hostname(value) else None


def address(value: str) -> str | None:
    """`192.0.2.1`, or `IPV6:2001:DB8::1` -> `2001:db8::1`; an IPv4 address in IPv6 clothes is one of IPv4, or no
    list of networks would know it."""
    if value[:5].upper() == "IPV6:":
        if not valid_ipv6(value[5:]):
            return None
        full = ipaddress.IPv6Address(value[5:])
        return str(full.ipv4_mapped or full)
    return value if valid_ipv4(value) else None


def port(value: str) -> str | None:
    good = value.isascii() and value.isdigit() and len(value) <= 5 and int(value) <= HIGHEST_PORT
    return value if good else None


def free(value: str) -> str | None:
    """A HELO name or a message identifier: anything, made harmless."""
    return neutered(value)


def login(value: str) -> str | None:
    """The name of a user, which may well be an address: only what cannot be printed is made harmless."""
    return "".join(char if char.isprintable() else "?" for char in value)


def session_protocol(value: str) -> str | None:
    return value.upper() if value.upper() in ("SMTP", "ESMTP") else None


def any_protocol(value: str) -> str | None:
    return neutered(value) if len(value) <= LONGEST_PROTOCOL else None


def source(value: str) -> str | None:
    return value.upper() if value.upper() in ("LOCAL", "REMOTE") else None


XCLIENT: Mapping[str, Rule] = {
    "NAME": hostname,
    "ADDR": address,
    "PROTO": session_protocol,
    "HELO": free,
    "REVERSE_NAME": hostname,
    "PORT": port,
    "LOGIN": login,
    "DESTADDR": address,
    "DESTPORT": port,
}
"""In the order in which EHLO names them."""

XFORWARD: Mapping[str, Rule] = {
    "NAME": hostname,
    "ADDR": address,
    "PROTO": any_protocol,
    "HELO": free,
    "SOURCE": source,
    "PORT": port,
    "IDENT": free,
}

NO_VALUE = {
    ("XCLIENT", "NAME"): frozenset({UNAVAILABLE, TEMPUNAVAIL}),
    ("XCLIENT", "REVERSE_NAME"): frozenset({UNAVAILABLE, TEMPUNAVAIL}),
    ("XCLIENT", "PROTO"): frozenset[str](),
}
"""(command, attribute) -> what may stand in place of a value; [UNAVAILABLE] for those that are not here."""
_UNAVAILABLE_ONLY = frozenset({UNAVAILABLE})


def parse_attributes(command: str, rules: Mapping[str, Rule], arguments: str, *, ipv6: bool = True) -> dict[str, str]:
    """The attributes by name; [UNAVAILABLE] and [TEMPUNAVAIL] stay. The last of several counts.

    `ipv6`: whether such addresses are any use here (inet_protocols).

    Raises BadAttribute.
    """
    found: dict[str, str] = {}
    for word in arguments.split():
        name, equals, raw = word.partition("=")
        if not equals or not raw:
            raise BadAttribute("5.5.4 Error: attribute=value expected")
        if len(raw) > LONGEST_VALUE:
            raise BadAttribute("5.5.4 Error: attribute value too long")
        written, name = name, name.upper()
        rule = rules.get(name)
        if rule is None:
            raise BadAttribute(f"5.5.4 Bad {command} attribute name: {login(written)}")
        value = _decoded(raw)
        if value[:1] == "[" and value.upper() in NO_VALUE.get((command, name), _UNAVAILABLE_ONLY):
            found[name] = value.upper()
            continue
        kept = rule(value)
        if kept is None or (rule is address and ":" in kept and not ipv6):
            # Decoded, it may hold line ends: what comes after them would look like a reply of ours.
            raise BadAttribute(f"5.5.4 Bad {name} syntax: {login(value)}")
        found[name] = kept
    return found


def _decoded(raw: str) -> str:
    try:
        return xtext.decode(raw)
    except xtext.XtextError:
        return raw
