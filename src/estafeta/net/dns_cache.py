"""Answers kept as long as their TTL allows, least recently used ones dropped first when there are too many."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from estafeta.net.dns_names import Answer, DnsDown, DnsError

MOST_ENTRIES = 20_000
LONGEST = 86_400
"""Seconds: a TTL of a week is more often a mistake than a promise (RFC 8767 4 recommends a cap)."""

LONGEST_NO = 10_800
"""Seconds for "there is none" (RFC 2308 5)."""

FAILURE = 1
"""Seconds for a failure: long enough to stop a storm of questions, short enough not to be noticed (RFC 9520 3.2)."""

Key = tuple[str, str]
Outcome = Answer | DnsError


class DnsCache:
    """(name, type) -> Answer or the error that was the answer."""

    __slots__ = ("_clock", "_entries", "_most")

    def __init__(self, clock: Callable[[], float], most: int = MOST_ENTRIES) -> None:
        self._clock = clock
        self._most = most
        self._entries: OrderedDict[Key, tuple[float, Outcome]] = OrderedDict()

    def get(self, key: Key) -> Outcome | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        until, outcome = entry
        left = until - self._clock()
        if left <= 0:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return outcome._replace(ttl=int(left)) if isinstance(outcome, Answer) else outcome

    def put(self, key: Key, outcome: Outcome, ttl: int) -> None:
        """`ttl` in seconds; 0 is not kept. Of an error, which is about to be raised, a copy is kept."""
        if isinstance(outcome, DnsDown):
            ttl = FAILURE
        ttl = min(ttl, LONGEST if isinstance(outcome, Answer) else LONGEST_NO)
        if ttl <= 0:
            return
        kept = outcome if isinstance(outcome, Answer) else outcome.again()
        self._entries[key] = (self._clock() + ttl, kept)
        self._entries.move_to_end(key)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)
