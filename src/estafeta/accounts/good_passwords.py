"""Passwords that were right a moment ago, so that a busy user does not pay for a slow hash with each connection.

What is remembered is a keyed hash of the password together with what it was checked against (the stored hash, or the
user and service of PAM); the key is chance and lives as long as the process. So an entry tells nothing, and it stops
matching when the stored hash changes.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

KEPT_AT_MOST = 10_000


class GoodPasswords:
    """`lifetime` in seconds, 0 to remember nothing. Used from several threads: each step is one atomic call."""

    def __init__(self, lifetime: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def known(self, *parts: str) -> bool:
        if not self._lifetime:
            return False
        return self._until.get(self.key(*parts), 0.0) > self._clock()

    def remember(self, *parts: str, lifetime: float | None = None) -> None:
        """`lifetime`, if given, may only be shorter."""
        if not self._lifetime:
            return
        least = self._lifetime if lifetime is None else min(lifetime, self._lifetime)
        self._until[self.key(*parts)] = self._clock() + least
        while len(self._until) > KEPT_AT_MOST:
            try:
                self._until.popitem(last=False)
            except KeyError:
                break  # another thread emptied it

    def key(self, *parts: str) -> bytes:
        """The keyed hash itself, for who has more to remember about it."""
        mac = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            raw = part.encode("utf-8", "surrogateescape")
            mac.update(len(raw).to_bytes(4, "big"))
            mac.update(raw)
        return mac.digest()
