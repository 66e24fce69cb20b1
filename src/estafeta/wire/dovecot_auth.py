"""The protocol by which a program asks a Dovecot server whether a login is good: bytes in, events out.

Dovecot's "Authentication Protocol v1.1", the client's side. Lines of fields between tabs. The server opens with what
it can do (Mechanism ... Done); after that, requests and answers carry numbers, so that many logins share a connection.
Used by accounts/dovecot.py.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field

MAJOR, MINOR = 1, 2
LONGEST_LINE = 16 * 1024
"""Of what the server says; it never says nearly as much."""
LONGEST_REQUEST = 8 * 1024
"""A server hangs up on a longer line, and with it on all other logins of the connection."""
MOST_MECHANISMS = 100


class ProtocolError(Exception):
    """The server speaks something else."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A mechanism, in capitals, and Dovecot's words about it: plaintext, dictionary, active, mutual-auth ..."""

    name: str
    flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Ready:
    """The server has introduced itself."""

    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Continue:
    """A challenge."""

    request: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Good:
    """The login is good."""

    request: int
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def user(self) -> str:
        return self.parameters.get("user", "")


@dataclass(frozen=True, slots=True)
class Bad:
    """It is not, or cannot be checked now."""

    request: int
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def user(self) -> str | None:
        """None if the client has not said so far who it is."""
        return self.parameters.get("user")

    @property
    def reason(self) -> str:
        return self.parameters.get("reason", "")

    @property
    def later(self) -> bool:
        """The server could not find out. Older servers say `temp`, newer ones `code=temp_fail`."""
        return "temp" in self.parameters or self.parameters.get("code") == "temp_fail"


Event = Ready | Continue | Good | Bad


class DovecotAuth:
    """The server's bytes, understood."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._offers: dict[str, Offer] = {}
        self._version = False
        self._ready = False

    def feed(self, data: bytes) -> list[Event]:
        """What has become complete. Raises ProtocolError."""
        self._held += data
        events: list[Event] = []
        while (end := self._held.find(b"\n")) >= 0:
            line = bytes(self._held[:end])
            del self._held[: end + 1]
            if end > LONGEST_LINE:
                raise ProtocolError("a line without end")
            event = self._line(line)
            if event is not None:
                events.append(event)
        if len(self._held) > LONGEST_LINE:
            raise ProtocolError("a line without end")
        return events

    def _line(self, line: bytes) -> Event | None:
        command, *fields = [unescaped(part) for part in line.split(b"\t")]
        if not self._ready:
            return self._introduction(command, fields)
        if command in ("CONT", "OK", "FAIL"):
            if not fields:
                raise ProtocolError(f"{command} without a number")
            number = _number(fields[0])
            if command == "CONT":
                return Continue(number, _decoded(fields[1] if len(fields) > 1 else ""))
            return (Good if command == "OK" else Bad)(number, _parameters(fields[1:]))
        return self._introduction(command, fields)  # a new COOKIE or MECH is no error

    def _introduction(self, command: str, fields: Sequence[str]) -> Event | None:
        """The handshake; words that we do not know are for others."""
        if command == "VERSION":
            if not fields or _number(fields[0]) != MAJOR:
                raise ProtocolError(f"version {'.'.join(fields)[:20]}, not {MAJOR}")
            self._version = True
        elif command == "MECH" and fields:
            if len(self._offers) >= MOST_MECHANISMS:
                raise ProtocolError("mechanisms without end")
            name = fields[0].upper()
            self._offers[name] = Offer(name, frozenset(word.lower() for word in fields[1:]))
        elif command == "DONE" and not self._ready:
            if not self._version:
                raise ProtocolError("no version")
            self._ready = True
            # What is private is for other clients than those who come over the network.
            return Ready(tuple(offer for offer in self._offers.values() if "private" not in offer.flags))
        return None


def hello(client: int) -> bytes:
    """Our introduction. `client` must differ from those of all other connections to the server, and is no 0."""
    return b"VERSION\t%d\t%d\nCPID\t%d\n" % (MAJOR, MINOR, client)


def begin(request: int, mechanism: str, parameters: Sequence[tuple[str, str]], initial: bytes | None) -> bytes:
    """A login. `parameters` are `service`, `rip` ...; "" for those that have no value. `initial`: the client's first
    response; None for none."""
    parts = [b"AUTH", b"%d" % request, escaped(mechanism)]
    parts += [escaped(f"{name}={value}" if value else name) for name, value in parameters]
    if initial is not None:
        parts.append(b"resp=" + base64.b64encode(initial))  # this has to be the last one
    return b"\t".join(parts) + b"\n"


def proceed(request: int, response: bytes) -> bytes:
    """The client's response to a challenge."""
    return b"CONT\t%d\t%b\n" % (request, base64.b64encode(response))


def cancel(request: int) -> bytes:
    """The client has given up."""
    return b"CANCEL\t%d\n" % request


_ESCAPES = {"0": "\0", "1": "\x01", "t": "\t", "r": "\r", "n": "\n"}


def escaped(text: str) -> bytes:
    """Tabs, line ends, NUL and byte 1 as Dovecot writes them: byte 1 and a letter."""
    if not text.isprintable():
        for letter, char in (("1", "\x01"), *((key, value) for key, value in _ESCAPES.items() if key != "1")):
            text = text.replace(char, f"\x01{letter}")
    return text.encode("utf-8", "surrogateescape")


def unescaped(raw: bytes) -> str:
    """The opposite."""
    text = raw.decode("utf-8", "surrogateescape")
    if "\x01" not in text:
        return text
    first, *rest = text.split("\x01")
    return first + "".join(_ESCAPES.get(part[:1], part[:1]) + part[1:] for part in rest)


def _parameters(fields: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in fields:
        name, _, value = text.partition("=")
        found.setdefault(name, value)
    return found


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        raise ProtocolError(f"no number: {text[:20]!r}")
    return int(text)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("a challenge that is not base64") from None
