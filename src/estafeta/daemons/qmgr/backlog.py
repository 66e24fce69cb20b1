"""What waits on disk: new mail that found no room in memory, and deferred mail until it is due.

Of a deferred message only the id is kept, in a list of those that are due in the same second, so that a hundred
thousand are a few megabytes. The times of deferred messages are the modification times of their files; a scan of the
folder brings in what was put there by hand, and what an operator changed.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Collection, Container, Iterable, Iterator

from estafeta.queue.keeper import Found
from estafeta.queue.place import Place

UNREADABLE = -1
"""In place of a number."""
RECORD_SLACK = 1.0
"""Seconds by which file times may differ from ours without meaning anything."""


class Incoming:
    """New messages, oldest first. Envelopes are kept as long as they hold few recipients together."""

    def __init__(self, recipient_limit: int) -> None:
        self._limit = recipient_limit
        self._recipients = 0
        self._waiting: deque[Found | Place] = deque()
        self._taken = 0
        """The number of the oldest: they are numbered as they come."""
        self._removed: set[int] = set()
        self._unreadable: dict[tuple[str, int], Place] = {}
        """What could not be read just now: still listed, but not to be taken."""

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
            number = self._taken
            self._taken += 1
            if isinstance(first, Found):
                self._recipients -= len(first.envelope.recipients)
            if number not in self._removed:
                return first
            self._removed.discard(number)
        return None

    def put_off(self, place: Place) -> None:
        """The disk does not give what `place` holds: nobody takes it before `try_again`."""
        self._unreadable[_key(place)] = place

    def try_again(self) -> None:
        self._waiting.extend(self._unreadable.values())
        self._unreadable.clear()

    def remove(self, number: int, entry: Found | Place) -> bool:
        """Take out one of `numbered`. False if it has gone meanwhile: somebody has taken it."""
        if number == UNREADABLE:
            return isinstance(entry, Place) and self._unreadable.pop(_key(entry), None) is not None
        if number < self._taken or number in self._removed:
            return False
        self._removed.add(number)
        return True

    def numbered(self) -> list[tuple[int, Found | Place]]:
        """What waits now, each with the number that `remove` wants."""
        waiting = [pair for pair in enumerate(self._waiting, self._taken) if pair[0] not in self._removed]
        return [*waiting, *((UNREADABLE, place) for place in self._unreadable.values())]

    def __iter__(self) -> Iterator[Found | Place]:
        return (entry for _, entry in self.numbered())


def _key(place: Place) -> tuple[str, int]:
    return place.path, place.offset


class Moment:
    """The deferred messages of one second. `asked`: somebody wants them tried, whatever their files say."""

    __slots__ = ("asked", "due", "queue_ids")

    def __init__(self, due: int, *, asked: bool = False) -> None:
        self.due = due
        self.asked = asked
        self.queue_ids: list[str] = []
        """Also of messages that meanwhile are due at another moment, or gone: `Deferred` knows which."""


class Deferred:
    """Deferred messages by the second when they are due, since the epoch.

    `usual_path(queue_id)` says where a message file belongs: only the others' paths are kept.
    """

    def __init__(self, usual_path: Callable[[str], str]) -> None:
        self._usual_path = usual_path
        self._elsewhere: dict[str, str] = {}
        self._known: dict[str, Moment] = {}
        self._moments: dict[int, Moment] = {}
        """By second; those that were asked for have moments of their own."""
        self._heap: list[tuple[int, int, Moment]] = []
        self._count = 0
        self._gone: set[str] = set()
        """Finished messages whose files may still be there for a moment: they go with the next sync."""
        self._gone_before: set[str] = set()
        """Those of them that were finished before the scan that is under way."""

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, queue_id: str) -> bool:
        return queue_id in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def add(self, queue_id: str, due: float, path: str) -> None:
        """A message lies in `path` and is due at `due`; a fraction of a second later, if it is not a whole one."""
        second = math.ceil(due)
        moment = self._moments.get(second)
        if moment is None:
            moment = self._moments[second] = self._moment(second)
        moment.queue_ids.append(queue_id)
        self._known[queue_id] = moment
        if path != self._usual_path(queue_id):
            self._elsewhere[queue_id] = path
        elif self._elsewhere:
            self._elsewhere.pop(queue_id, None)

    def _moment(self, second: int, *, asked: bool = False) -> Moment:
        moment = Moment(second, asked=asked)
        self._count += 1
        heapq.heappush(self._heap, (second, self._count, moment))
        return moment

    def path(self, queue_id: str) -> str:
        return self._elsewhere.get(queue_id) or self._usual_path(queue_id)

    def remove(self, queue_id: str) -> None:
        self._known.pop(queue_id, None)
        self._elsewhere.pop(queue_id, None)

    def take(self, now: float) -> tuple[str, str] | None:
        """(queue id, path) of the next message that is due; it is no longer here then."""
        moment = self._next()
        if moment is None or moment.due > now:
            return None
        queue_id = moment.queue_ids.pop()
        path = self.path(queue_id)
        self.remove(queue_id)
        return queue_id, path

    @property
    def next_due(self) -> int | None:
        moment = self._next()
        return None if moment is None else moment.due

    def _next(self) -> Moment | None:
        """The first moment, with a message that is due then at its end."""
        while self._heap:
            moment = self._heap[0][2]
            queue_ids = moment.queue_ids
            while queue_ids:
                if self._known.get(queue_ids[-1]) is moment:
                    return moment
                queue_ids.pop()
            heapq.heappop(self._heap)
            if not moment.asked:
                del self._moments[moment.due]
        return None

    def scan_begins(self, leaving: Collection[str]) -> None:
        """What deferred/ holds is told to `found`, piece by piece; then comes `scan_ends`, unless the disk refuses.

        `leaving`: the finished messages whose files are not removed yet. A file of any other that is found has been put
        back by hand.
        """
        self._gone_before = (self._gone_before | self._gone).intersection(leaving)
        self._gone = set()

    def found(self, listing: Iterable[tuple[str, float, str]], busy: Container[str]) -> int:
        """Take in what a scan has found, except messages that are being delivered. How many are new."""
        new = 0
        for queue_id, due, path in listing:
            if queue_id in self._gone_before or queue_id in self._gone:
                self._gone.add(queue_id)
                continue
            if queue_id in busy:
                continue
            known = self._known.get(queue_id)
            if known is None:
                new += 1
            elif self.path(queue_id) == path and (known.asked or abs(known.due - due) <= RECORD_SLACK):
                continue
            self.add(queue_id, due, path)
        return new

    def scan_ends(self) -> None:
        """What it has not found is not there any more."""
        self._gone_before = set()

    def finished(self, queue_id: str) -> None:
        """A message file was released."""
        self.remove(queue_id)
        self._gone.add(queue_id)

    def overdue(self, now: float) -> list[str]:
        """The paths of all that is due but was not taken yet."""
        return [self.path(queue_id) for queue_id, moment in self._known.items() if moment.due <= now]

    def make_due(self, queue_ids: Iterable[str], now: float) -> int:
        """Have these tried now. How many of them there are."""
        chosen = [queue_id for queue_id in queue_ids if queue_id in self._known]
        unasked = [queue_id for queue_id in chosen if not self._known[queue_id].asked]
        if unasked:
            moment = self._moment(int(now), asked=True)
            moment.queue_ids = unasked[::-1]  # they are taken from the end
            self._known.update(dict.fromkeys(unasked, moment))
        return len(chosen)
