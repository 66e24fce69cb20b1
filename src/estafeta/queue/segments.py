"""Which records of which journal segment are still needed, as qmgr knows it.

A segment's file goes when its writer has sealed it and every record in it is released. Records become known through
notices or through a scan, whichever comes first, and only once.
"""

from __future__ import annotations

DROPPED_KEPT = 4096
"""How many names of removed segments are remembered."""


class _Segment:
    __slots__ = ("known", "released", "total")

    def __init__(self) -> None:
        self.known: set[int] = set()
        self.released: set[int] = set()
        self.total = -1

    @property
    def spent(self) -> bool:
        return self.total >= 0 and len(self.released) >= self.total


class Segments:
    """All segments of incoming/."""

    def __init__(self) -> None:
        self._segments: dict[str, _Segment] = {}
        self._dropped: dict[str, None] = {}

    def arrived(self, path: str, offset: int) -> bool:
        """Note a record. False if it was known before, even if its segment is gone already."""
        if path in self._dropped:
            return False
        segment = self._segments.get(path)
        if segment is None:
            segment = self._segments[path] = _Segment()
        if offset in segment.known:
            return False
        segment.known.add(offset)
        return True

    def sealed(self, path: str, total: int) -> bool:
        """The segment holds `total` records and gets no more. True if the file can go."""
        segment = self._segments.get(path)
        if segment is None:
            segment = self._segments[path] = _Segment()
        segment.total = total
        return segment.spent

    def release(self, path: str, offset: int) -> bool:
        """The record is not needed any more. True if the file can go."""
        segment = self._segments.get(path)
        if segment is None:
            segment = self._segments[path] = _Segment()
        segment.known.add(offset)
        segment.released.add(offset)
        return segment.spent

    def forget(self, path: str) -> None:
        """The file is gone. A notice about it may still be under way, so the name is kept for a while."""
        self._segments.pop(path, None)
        self._dropped[path] = None
        if len(self._dropped) > DROPPED_KEPT:
            del self._dropped[next(iter(self._dropped))]

    def released(self) -> dict[str, list[int]]:
        """Segment -> offsets of released records, for every segment that still exists."""
        return {path: sorted(segment.released) for path, segment in self._segments.items() if segment.released}

    def is_complete(self, path: str) -> bool:
        """Whether every record of this segment is known, so that reading it again would tell nothing new."""
        if path in self._dropped:
            return True
        segment = self._segments.get(path)
        return segment is not None and 0 <= segment.total <= len(segment.known)

    def __len__(self) -> int:
        return len(self._segments)
