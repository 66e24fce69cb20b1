"""Keys for session tickets that all workers share, and that change with time.

A client that comes back shows a ticket, sealed by whichever worker served it before. Master makes a chain for each
lifetime in use before it forks; every process winds its own copy on by the clock, so all agree without a word. A step
cannot be wound back: who reads the memory of a process learns nothing about tickets of earlier periods. A key seals
for one lifetime and opens for one more. Nothing is kept on disk; after a restart of master clients make new sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Callable
from typing import NamedTuple


class TicketKey(NamedTuple):
    """What one ticket is sealed with."""

    name: bytes
    """16 bytes that stand in the ticket."""
    secret: bytes
    """32 bytes for the cipher."""
    seal: bytes
    """32 bytes for HMAC-SHA256."""


class Chain:
    """One chain. `period`: seconds that a key seals."""

    def __init__(self, period: int, seed: bytes, clock: Callable[[], float] = time.time) -> None:
        self._period = max(1, period)
        self._clock = clock
        self._step = int(clock() // self._period)
        self._state = seed
        self._keys = [self._derived()]

    def current(self) -> TicketKey:
        """The key to seal with."""
        self.wind()
        return self._keys[0]

    def named(self, name: bytes) -> TicketKey | None:
        """The key of that name, if it is still good."""
        self.wind()
        return next((key for key in self._keys if hmac.compare_digest(key.name, name)), None)

    def wind(self) -> None:
        """Go on to the present period. A clock that was set back changes nothing."""
        step = int(self._clock() // self._period)
        while self._step < step:
            self._state = _hashed(self._state, b"next")
            self._step += 1
            self._keys = [self._derived(), *self._keys[:1]]

    def _derived(self) -> TicketKey:
        state = self._state
        return TicketKey(_hashed(state, b"name")[:16], _hashed(state, b"secret"), _hashed(state, b"seal"))


def _hashed(state: bytes, purpose: bytes) -> bytes:
    return hmac.digest(state, purpose, hashlib.sha256)


_chains: dict[int, Chain] = {}


def chain(period: int) -> Chain:
    """The chain for tickets that live `period` seconds, wound to the present. Master asks for it before a fork, so that
    all its children have the same one."""
    if period not in _chains:
        _chains[period] = Chain(period, os.urandom(32))
    _chains[period].wind()
    return _chains[period]
