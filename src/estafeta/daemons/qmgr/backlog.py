"""What waits on disk: new mail that found no room in memory, and deferred mail until it is due.

Of each message only id, time and path (or place) are kept, so that a hundred thousand deferred messages are a few
megabytes. The times of deferred messages are the modification times of their files; a scan of the folder brings in what
was put there by hand, and what an operator changed.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator

from estafeta.queue.keeper import Found
from estafeta.queue.place import Place

RECORD_SLACK = 1.0
"""Seconds by which file times may differ from ours without meaning anything."""


class Incoming:
    """New messages, oldest first. Envelopes are kept as long as they hold few recipients together."""

    def __init__(self, recipient_limit: int) -> None:
        self._limit = recipient_limit
        self._recipients = 0
        self._waiting: deque[Found | Place] = deque()
        self._removed: set[tuple[str, int]] = set()

    def __len__(self) -> int:
        return len(self._waiting) - len(self._removed)

    def add(self, found: Found) -> None:
        count = len(found.envelope.recipients)
        # What progress says is with the envelope; one without any can be read again from its place.
        plain = not (found.failed or found.envelope.done or found.heard or found.wishes)
        if plain and self._recipients + count > self._limit:
            self._waiting.append(found.place)
            return
        self._recipients += count
        self._waiting.append(found)

    def take(self) -> Found | Place | None:
        """The oldest; a bare place is to be read."""
        while self._waiting:
            first = self._waiting.popleft()
            if isinstance(first, Found):
                self._recipients -= len(first.envelope.recipients)
            key = _key(first)
            if key not in self._removed:
                return first
            self._removed.discard(key)
        return None

    def remove(self, entry: Found | Place) -> None:
        self._removed.add(_key(entry))

    def __iter__(self) -> Iterator[Found | Place]:
        return (each for each in self._waiting if _key(each) not in self._removed)


def _key(entry: Found | Place) -> tuple[str, int]:
    place = entry.place if isinstance(entry, Found) else entry
    return place.path, place.offset


class Deferred:
    """Deferred messages by the time when they are due, seconds since the epoch."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._known: dict[str, tuple[float, str]] = {}
        self._gone: set[str] = set()
        """Finished messages whose files may still be there for a moment: they go with the next sync."""

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, queue_id: str) -> bool:
        return queue_id in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def add(self, queue_id: str, due: float, path: str) -> None:
        """A message lies in `path` and is due at `due`."""
        self._known[queue_id] = (due, path)
        heapq.heappush(self._heap, (due, queue_id))

    def path(self, queue_id: str) -> str:
        return self._known[queue_id][1]

    def remove(self, queue_id: str) -> None:
        self._known.pop(queue_id, None)

    def take(self, now: float) -> tuple[str, str] | None:
        """(queue id, path) of the next message that is due; it is no longer here then."""
        while self._heap and self._heap[0][0] <= now:
            due, queue_id = heapq.heappop(self._heap)
            known = self._known.get(queue_id)
            if known is not None and known[0] == due:
                del self._known[queue_id]
                return queue_id, known[1]
        return None

    @property
    def next_due(self) -> float | None:
        while self._heap:
            due, queue_id = self._heap[0]
            known = self._known.get(queue_id)
            if known is not None and known[0] == due:
                return due
            heapq.heappop(self._heap)
        return None

    def found(self, listing: Iterable[tuple[str, float, str]], busy: Iterable[str]) -> int:
        """Take in what a scan of deferred/ has found, except messages that are being delivered. How many are new."""
        active = set(busy)
        new = 0
        still_there = set()
        for queue_id, due, path in listing:
            if queue_id in self._gone:
                still_there.add(queue_id)
                continue
            if queue_id in active:
                continue
            known = self._known.get(queue_id)
            if known is None:
                new += 1
            elif known[1] == path and abs(known[0] - due) < RECORD_SLACK:
                continue
            self.add(queue_id, due, path)
        self._gone = still_there
        return new

    def finished(self, queue_id: str) -> None:
        """A message file was released."""
        self._known.pop(queue_id, None)
        self._gone.add(queue_id)

    def overdue(self, now: float) -> list[str]:
        """The paths of all that is due but was not taken yet."""
        return [path for due, path in self._known.values() if due <= now]

    def make_due(self, queue_ids: Iterable[str], now: float) -> int:
        """Have these tried now. How many of them there are."""
        count = 0
        for queue_id in list(queue_ids):
            known = self._known.get(queue_id)
            if known is not None:
                count += 1
                self.add(queue_id, now, known[1])
        return count
