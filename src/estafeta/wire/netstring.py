"""Netstrings, of which QMQP is made: `5:hello,`. cr.yp.to/proto/netstrings.txt"""

from __future__ import annotations

MOST_DIGITS = 10
"""Digits of a length: more is nonsense, or an attack."""


class NetstringError(Exception):
    """Not a netstring."""


class NetstringTooLong(Exception):
    """Longer than allowed."""


def pack(text: bytes) -> bytes:
    """The netstring of some bytes."""
    return b"%d:%s," % (len(text), text)


def parse_length(digits: bytes, most: int) -> int:
    """The number before the colon. Raises NetstringError, NetstringTooLong."""
    if not digits.isdigit():
        raise NetstringError("no length")
    if len(digits) > MOST_DIGITS or int(digits) > most:
        raise NetstringTooLong(digits.decode()[:20])
    return int(digits)


def split(data: bytes, most: int) -> list[bytes]:
    """The netstrings that `data` consists of, each no longer than `most`. Raises NetstringError, NetstringTooLong."""
    found = []
    at = 0
    while at < len(data):
        colon = data.find(b":", at, at + MOST_DIGITS + 2)
        if colon < 0:
            raise NetstringError("no colon")
        end = colon + 1 + parse_length(data[at:colon], most)
        if data[end : end + 1] != b",":
            raise NetstringError("no comma")
        found.append(data[colon + 1 : end])
        at = end + 1
    return found
