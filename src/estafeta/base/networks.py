"""Network blocks: `192.0.2.0/24`, `2001:db8::/32`, `[::1]`, and sets of them.

Used by mynetworks-like lists and by cidr tables. Addresses are kept as whole numbers, so that a look-up is one
masking and one set membership per prefix length that occurs.
"""

from __future__ import annotations

import socket
from typing import NamedTuple

_WIDTH = {4: 32, 6: 128}


class NetworkError(ValueError):
    """The text is no network pattern; says what is wrong and, where it can, what was meant."""


class Network(NamedTuple):
    """`family` 4 or 6; `length` of the prefix in bits; `prefix` is the address shifted down to its prefix."""

    family: int
    length: int
    prefix: int

    def covers(self, address: tuple[int, int]) -> bool:
        """Whether an address as `number_of` gives it lies in the block."""
        family, number = address
        return bool(family == self.family and number >> (_WIDTH[self.family] - self.length) == self.prefix)

    def __str__(self) -> str:
        number = self.prefix << (_WIDTH[self.family] - self.length)
        return f"{text_of(self.family, number)}/{self.length}"


def number_of(address: str) -> tuple[int, int] | None:
    """(4 or 6, the address as a number); None if `address` is not an address. A zone (`%eth0`) is not allowed."""
    try:
        if ":" in address:
            return 6, int.from_bytes(socket.inet_pton(socket.AF_INET6, address), "big")
        return 4, int.from_bytes(socket.inet_pton(socket.AF_INET, address), "big")
    except (OSError, ValueError):  # ValueError: a NUL or a surrogate in it
        return None


def text_of(family: int, number: int) -> str:
    """The address in its usual form."""
    if family == 4:
        return socket.inet_ntop(socket.AF_INET, number.to_bytes(4, "big"))
    return socket.inet_ntop(socket.AF_INET6, number.to_bytes(16, "big"))


def parse_network(pattern: str) -> Network:
    """`net/length` or an address, either with the address in `[]`. Raises NetworkError."""
    plain = pattern
    if pattern.startswith("["):
        inside, bracket, after = pattern[1:].partition("]")
        if not bracket:
            raise NetworkError(f"missing ']' character after \"{pattern}\"")
        if after and not after.startswith("/"):
            raise NetworkError(f'garbage after "[{inside}]"')
        plain = inside + after
    address, slash, length = plain.partition("/")
    if slash and not (length.isascii() and length.isdigit()):
        raise NetworkError(f'bad mask value in "{plain}"')
    number = number_of(address)
    if number is None:
        raise NetworkError(f'bad network value in "{plain}"' if slash else f'bad address pattern: "{plain}"')
    family, value = number
    width = _WIDTH[family]
    if not slash:
        return Network(family, width, value)
    if int(length[:4]) > width:
        raise NetworkError(f'bad mask length in "{plain}"')
    bits = int(length[:4])
    host_bits = width - bits
    prefix = value >> host_bits
    if prefix << host_bits != value:
        meant = text_of(family, prefix << host_bits)
        raise NetworkError(f'non-null host address bits in "{plain}", perhaps you should use "{meant}/{bits}" instead')
    return Network(family, bits, prefix)


class NetworkSet:
    """Many blocks, asked at once."""

    __slots__ = ("_by_family",)

    def __init__(self) -> None:
        self._by_family: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}

    def add(self, network: Network) -> None:
        shift = _WIDTH[network.family] - network.length
        self._by_family[network.family].setdefault(shift, set()).add(network.prefix)

    def __contains__(self, address: object) -> bool:
        """Whether an address as `number_of` gives it lies in any block."""
        if not isinstance(address, tuple):
            return False
        family, number = address
        return any(number >> shift in prefixes for shift, prefixes in self._by_family[family].items())

    def __bool__(self) -> bool:
        return any(self._by_family.values())
