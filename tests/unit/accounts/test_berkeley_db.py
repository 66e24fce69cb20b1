"""Berkeley DB files as saslpasswd2 and db_load write them, without the C library."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from estafeta.accounts.berkeley_db import BadDatabase, read_pairs

PAGE = 512


def header(number: int, count: int, kind: int, *, following: int = 0, order: str = "<", offset: int = 0) -> bytes:
    return struct.pack(f"{order}8xIIIHHBB", number, 0, following, count, offset, 0, kind)


def meta(magic: int, last: int, *, version: int = 9, order: str = "<", kind: int = 8, flags: int = 0) -> bytes:
    page = struct.pack(f"{order}8xIIII", 0, magic, version, PAGE) + bytes([0, kind, flags, 0])
    return (page + struct.pack(f"{order}II", 0, last)).ljust(PAGE, b"\0")


def hash_page(number: int, *items: bytes, order: str = "<") -> bytes:
    offsets, body = [], b""
    for item in items:
        body = item + body
        offsets.append(PAGE - len(body))
    head = header(number, len(items), 13, order=order) + struct.pack(f"{order}{len(items)}H", *offsets)
    return head.ljust(PAGE - len(body), b"\0") + body


def leaf_page(number: int, *items: tuple[int, bytes]) -> bytes:
    offsets, body = [], b""
    for kind, item in items:
        body = struct.pack("<HB", len(item), kind) + item + body
        offsets.append(PAGE - len(body))
    head = header(number, len(items), 5) + struct.pack(f"<{len(items)}H", *offsets)
    return head.ljust(PAGE - len(body), b"\0") + body


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_hash_file_of_either_byte_order(order: str) -> None:
    raw = meta(0x061561, 1, order=order) + hash_page(1, b"\1ana", b"\1secret", b"\1eva", b"\1", order=order)
    assert read_pairs(raw) == {b"ana": b"secret", b"eva": b""}


def test_a_btree_leaves_out_what_is_deleted() -> None:
    raw = meta(0x053162, 1, kind=9) + leaf_page(1, (1, b"ana"), (1, b"x"), (0x81, b"eva"), (0x81, b"y"))
    assert read_pairs(raw) == {b"ana": b"x"}


def test_a_long_item_goes_on_over_pages_of_its_own() -> None:
    value = bytes(range(200)) * 4
    here = PAGE - 26
    raw = meta(0x061561, 3) + hash_page(1, b"\1ana", b"\3\0\0\0" + struct.pack("<II", 2, len(value)))
    raw += header(2, 1, 7, following=3, offset=here) + value[:here]
    raw += (header(3, 1, 7, offset=len(value) - here) + value[here:]).ljust(PAGE, b"\0")
    assert read_pairs(raw) == {b"ana": value}


def test_free_pages_hold_nothing() -> None:
    assert read_pairs(meta(0x061561, 1) + bytes(PAGE)) == {}
    assert read_pairs(b"") == {}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"x" * 600, "no Berkeley DB"),
        (b"short", "too short"),
        (meta(0x061561, 0, version=4), "version 4"),
        (meta(0x061561, 0, flags=1), "checksums"),
        (meta(0x061561, 5), "should have 6"),
        (meta(0x061561, 0) + b"x", "within a page"),
        (meta(0x061561, 1) + hash_page(2, b"\1a", b"\1b"), "says that it is page 2"),
        (meta(0x061561, 1) + hash_page(1, b"\1a", b"\2b"), "duplicates"),
        (meta(0x061561, 1) + hash_page(1, b"\1a"), "cannot hold 1"),
        (meta(0x061561, 1) + header(1, 2, 99).ljust(PAGE, b"\0"), "of a kind"),
        (meta(0x061561, 1) + (header(1, 2, 13) + struct.pack("<2H", 20, 501)).ljust(PAGE, b"\0"), "outside of itself"),
        (meta(0x061561, 1) + hash_page(1, b"\1a", b"\3\0\0\0" + struct.pack("<II", 9, 5)), "outside of the file"),
        (meta(0x061561, 1) + hash_page(1, b"\1a", b"\3\0\0\0" + struct.pack("<II", 1, 5)), "does not go on"),
        (meta(0x061561, 1) + hash_page(1, b"\1a", b"\3\0\0\0" + struct.pack("<II", 1, 1 << 30)), "too long"),
    ],
)
def test_what_makes_no_sense_is_an_error_and_no_missing_key(raw: bytes, reason: str) -> None:
    with pytest.raises(BadDatabase, match=reason):
        read_pairs(raw)


@pytest.mark.skipif(not shutil.which("saslpasswd2"), reason="needs saslpasswd2 (Debian: sasl2-bin)")
def test_what_saslpasswd2_writes(tmp_path: Path) -> None:
    path = tmp_path / "sasldb2"

    def change(user: str, *options: str, password: str = "") -> None:
        command = ["saslpasswd2", "-p", "-f", str(path), "-u", "example.test", *options, user]
        subprocess.run(command, input=password, text=True, check=True)

    for number in range(40):
        change(f"user{number}", "-c", password=f"secret {number} " + "x" * (number * 20))
    change("user7", "-d")
    change("user8", password="changed")
    pairs = read_pairs(path.read_bytes())
    assert len(pairs) == 39
    assert pairs[b"user8\0example.test\0userPassword"] == b"changed"
    assert pairs[b"user39\0example.test\0userPassword"] == b"secret 39 " + b"x" * 780
