"""Berkeley DB files, read only: the hash and btree files that libdb 4 and 5 write.

`saslpasswd2` keeps passwords in one, and no Python package reads them without the C library. The files at hand are
small, so nothing is looked up on disk: all pages are read and their pairs go into a dictionary, which needs neither
the hash function nor the tree. A page that makes no sense is an error, never a missing key.

Numbers are in the byte order of the machine that wrote the file. A page: 26 bytes of header, then as many 2-byte
offsets as there are items; items fill the page from its end.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

HASH_MAGIC, BTREE_MAGIC = 0x061561, 0x053162
_VERSIONS = {HASH_MAGIC: range(7, 11), BTREE_MAGIC: range(8, 11)}
_HEADER = 26
_INVALID, _HASH_UNSORTED, _BTREE_LEAF, _OVERFLOW, _HASH_SORTED = 0, 2, 5, 7, 13
_OTHERS = frozenset({_INVALID, 3, _OVERFLOW, 8, 9})
"""Pages without pairs of their own: free, inner btree, overflow, the two kinds of first page."""
_ON_PAGE, _OFF_PAGE = 1, 3
_DELETED = 0x80
LARGEST_ITEM = 1 << 20
"""Bytes of a key or value."""


class BadDatabase(ValueError):
    """The bytes are no Berkeley DB that we can read; says why."""


def read_pairs(raw: bytes) -> dict[bytes, bytes]:
    """Every key with its value. `raw` is the whole file. Raises BadDatabase."""
    if not raw:
        return {}
    try:
        return dict(_File(raw).pairs())
    except struct.error:
        raise BadDatabase("it ends too early") from None


class _File:
    def __init__(self, raw: bytes) -> None:
        if len(raw) < 512:
            raise BadDatabase("it is too short")
        for order in ("<", ">"):
            magic, version, size = struct.unpack_from(f"{order}III", raw, 12)
            if magic in _VERSIONS:
                break
        else:
            raise BadDatabase("it is no Berkeley DB hash or btree file")
        encrypted, _, flags = raw[24:27]
        if version not in _VERSIONS[magic]:
            raise BadDatabase(f"version {version} of the format is not known")
        if encrypted or flags & 1:
            raise BadDatabase("it is encrypted or has checksums, which is not supported")
        if size not in (512 << shift for shift in range(8)):
            raise BadDatabase(f"a page of {size} bytes cannot be")
        if len(raw) % size:
            raise BadDatabase("it ends within a page")
        self._raw = raw
        self._size: int = size
        self._pages = len(raw) // size
        (last,) = struct.unpack_from(f"{order}I", raw, 32)
        if last >= self._pages:
            raise BadDatabase(f"it has {self._pages} pages and should have {last + 1}")
        self._header = struct.Struct(f"{order}8xIIIHHBB")
        self._short = struct.Struct(f"{order}H")
        self._off_page = struct.Struct(f"{order}II")
        self._order = order

    def pairs(self) -> Iterator[tuple[bytes, bytes]]:
        for number in range(1, self._pages):
            start = number * self._size
            own, _, _, count, _, _, kind = self._header.unpack_from(self._raw, start)
            if kind in _OTHERS:
                continue
            if kind not in (_HASH_SORTED, _HASH_UNSORTED, _BTREE_LEAF):
                raise BadDatabase(f"page {number} is of a kind ({kind}) that is not supported")
            if own != number:
                raise BadDatabase(f"page {number} says that it is page {own}")
            if count % 2 or _HEADER + 2 * count > self._size:
                raise BadDatabase(f"page {number} cannot hold {count} items")
            offsets = struct.unpack_from(f"{self._order}{count}H", self._raw, start + _HEADER)
            items = self._leaf_items if kind == _BTREE_LEAF else self._hash_items
            found = items(number, offsets)
            for key, value in zip(found[::2], found[1::2], strict=True):
                if key is not None and value is not None:
                    yield key, value

    def _hash_items(self, number: int, offsets: tuple[int, ...]) -> list[bytes | None]:
        """An item reaches up to where the one before it begins; its first byte is its kind."""
        start, least = number * self._size, _HEADER + 2 * len(offsets)
        items: list[bytes | None] = []
        end = self._size
        for offset in offsets:
            if not least <= offset < end:
                raise BadDatabase(f"page {number} has an item outside of itself")
            kind = self._raw[start + offset]
            if kind == _ON_PAGE:
                items.append(self._raw[start + offset + 1 : start + end])
            elif kind == _OFF_PAGE:
                if end - offset < 12:
                    raise BadDatabase(f"page {number} has an item that is too short")
                items.append(self._overflow(start + offset + 4))
            else:
                raise BadDatabase(f"page {number} has duplicates, which are not supported")
            end = offset
        return items

    def _leaf_items(self, number: int, offsets: tuple[int, ...]) -> list[bytes | None]:
        """An item begins with its length and kind; one that is deleted stays until its place is needed."""
        start, least = number * self._size, _HEADER + 2 * len(offsets)
        items: list[bytes | None] = []
        for offset in offsets:
            if not least <= offset <= self._size - 3:
                raise BadDatabase(f"page {number} has an item outside of itself")
            (length,) = self._short.unpack_from(self._raw, start + offset)
            kind = self._raw[start + offset + 2]
            if kind & _DELETED:
                items.append(None)
            elif kind == _ON_PAGE:
                if offset + 3 + length > self._size:
                    raise BadDatabase(f"page {number} has an item that goes beyond it")
                items.append(self._raw[start + offset + 3 : start + offset + 3 + length])
            elif kind == _OFF_PAGE:
                if offset + 12 > self._size:
                    raise BadDatabase(f"page {number} has an item that is too short")
                items.append(self._overflow(start + offset + 4))
            else:
                raise BadDatabase(f"page {number} has duplicates, which are not supported")
        return items

    def _overflow(self, place: int) -> bytes:
        """A long item: pages of its own, each naming the next. `place` is where page number and length stand."""
        number, length = self._off_page.unpack_from(self._raw, place)
        if length > LARGEST_ITEM:
            raise BadDatabase(f"an item of {length} bytes is too long")
        parts: list[bytes] = []
        missing = length
        while missing > 0:
            if not 0 < number < self._pages:
                raise BadDatabase("a long item goes on outside of the file")
            start = number * self._size
            _, _, following, _, here, _, kind = self._header.unpack_from(self._raw, start)
            if kind != _OVERFLOW or not 0 < here <= min(missing, self._size - _HEADER):
                raise BadDatabase(f"page {number} does not go on with a long item")
            parts.append(self._raw[start + _HEADER : start + _HEADER + here])
            missing -= here
            number = following
        return b"".join(parts)
