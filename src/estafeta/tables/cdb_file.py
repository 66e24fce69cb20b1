"""The format of constant databases: https://cr.yp.to/cdb/cdb.txt.

256 pairs (place, slots) of four bytes each, little-endian; then the records (length of key, length of value, key,
value); then 256 hash tables of pairs (hash, place of the record), half empty, where place 0 is an empty slot.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable
from typing import BinaryIO

HEAD = 2048
LARGEST = (1 << 32) - 1
"""Bytes: places have four."""

_PAIR = struct.Struct("<II")


class Damaged(Exception):
    """The file is no such database, or a part of it is missing."""


def hash_of(key: bytes) -> int:
    number = 5381
    for byte in key:
        number = (number * 33 & 0xFFFFFFFF) ^ byte
    return number


def find(data: mmap.mmap | bytes, key: bytes) -> bytes | None:
    """The first value of `key` in a whole file. Raises Damaged."""
    wanted = hash_of(key)
    try:
        table, slots = _PAIR.unpack_from(data, (wanted & 255) * 8)
        if not slots:
            return None
        start = (wanted >> 8) % slots
        for step in range(slots):
            number, place = _PAIR.unpack_from(data, table + (start + step) % slots * 8)
            if not place:
                return None
            if number != wanted:
                continue
            length, size = _PAIR.unpack_from(data, place)
            begin = place + 8
            if length == len(key) and bytes(data[begin : begin + length]) == key:
                value = bytes(data[begin + length : begin + length + size])
                if len(value) != size:
                    raise Damaged("cut short")
                return value
    except struct.error:
        raise Damaged("cut short") from None
    return None


def write(file: BinaryIO, entries: Iterable[tuple[bytes, bytes]]) -> None:
    """Write a whole database to an empty file. Raises OSError, also for one that grows too large."""
    tables: list[list[tuple[int, int]]] = [[] for _ in range(256)]
    file.write(bytes(HEAD))
    place = HEAD
    for key, value in entries:
        number = hash_of(key)
        tables[number & 255].append((number, place))
        file.write(b"%b%b%b" % (_PAIR.pack(len(key), len(value)), key, value))
        place += 8 + len(key) + len(value)
        if place > LARGEST:
            raise OSError(27, "a cdb file holds 4 GiB at most")
    head = []
    for table in tables:
        slots = _slots(table)
        if place + 4 * len(slots) > LARGEST:
            raise OSError(27, "a cdb file holds 4 GiB at most")
        head += [place, len(slots) // 2]
        file.write(struct.pack(f"<{len(slots)}I", *slots))
        place += 4 * len(slots)
    file.seek(0)
    file.write(struct.pack("<512I", *head))


def _slots(table: list[tuple[int, int]]) -> list[int]:
    size = 2 * len(table)
    slots = [0] * (2 * size)
    for number, place in table:
        at = (number >> 8) % size
        while slots[2 * at + 1]:
            at = (at + 1) % size
        slots[2 * at : 2 * at + 2] = number, place
    return slots
