"""What others hand to the accounts room: a damaged password file, a saslauthd that says anything, odd notations."""

from __future__ import annotations

import asyncio
import struct
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from estafeta.accounts import hashes
from estafeta.accounts.authenticator import Circumstances
from estafeta.accounts.berkeley_db import BadDatabase, read_pairs
from estafeta.accounts.hashes import BadHash, Stored
from estafeta.accounts.saslauthd import Saslauthd
from estafeta.accounts.source import SourceDown
from estafeta.accounts.sql_statement import Statement

PAGE = 512
ABOUT = Circumstances("smtp", "", "192.0.2.1", "1", "192.0.2.2", "25", "mail.example.test", False)


def database(magic: int) -> bytes:
    """Two users on one page, the second with a long password."""
    long = b"x" * 600
    here = PAGE - 26
    meta = struct.pack("<8xIIII4BII", 0, magic, 9, PAGE, 0, 8, 0, 0, 0, 3).ljust(PAGE, b"\0")
    off = b"\3\0\0\0" + struct.pack("<II", 2, len(long))
    items = [b"\1ana", b"\1secret", b"\1eva", off]
    if magic == 0x053162:
        items = [struct.pack("<HB", len(item) - 1, item[0]) + item[1:] for item in items[:3]] + [
            b"\0\0" + off[:1] + off[3:]
        ]
    offsets, body = [], b""
    for item in items:
        body = item + body
        offsets.append(PAGE - len(body))
    kind = 13 if magic == 0x061561 else 5
    head = struct.pack("<8xIIIHHBB4H", 1, 0, 0, 4, 0, 0, kind, *offsets)
    first = struct.pack("<8xIIIHHBB", 2, 0, 3, 1, here, 0, 7) + long[:here]
    rest = (struct.pack("<8xIIIHHBB", 3, 0, 0, 1, len(long) - here, 0, 7) + long[here:]).ljust(PAGE, b"\0")
    return meta + head.ljust(PAGE - len(body), b"\0") + body + first + rest


FILES = [database(0x061561), database(0x053162)]


def test_the_files_that_are_damaged_below_can_be_read() -> None:
    for raw in FILES:
        assert read_pairs(raw) == {b"ana": b"secret", b"eva": b"x" * 600}


@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 4 * PAGE - 1), st.integers(0, 255)), max_size=8),
    st.integers(0, 4 * PAGE),
)
def test_a_damaged_database_is_read_or_refused(raw: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    damaged = bytearray(raw)
    for place, byte in changes:
        damaged[place] = byte
    for text in (bytes(damaged), bytes(damaged[:cut])):
        try:
            pairs = read_pairs(text)
        except BadDatabase:
            continue
        assert all(isinstance(part, bytes) for pair in pairs.items() for part in pair)


@given(st.binary(max_size=3 * PAGE))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        read_pairs(raw)
    except BadDatabase:
        pass


@settings(deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"\0\2OK", b"\0\2NO", b"\0\2"])), max_size=4))
def test_a_saslauthd_that_says_anything(pieces: list[bytes]) -> None:
    said = b"".join(pieces)

    async def go() -> bool | None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            for piece in pieces:
                writer.write(piece)
            writer.close()

        with tempfile.TemporaryDirectory() as folder:
            server = await asyncio.start_unix_server(serve, Path(folder, "mux"))
            try:
                return await Saslauthd(f"{folder}/mux", timeout=5).verify("ana", "uno", ABOUT)
            except SourceDown:
                return None
            finally:
                server.close()

    length = int.from_bytes(said[:2], "big")
    whole = len(said) >= 2 and 2 <= length <= min(1024, len(said) - 2)
    expected = {b"OK": True, b"NO": False}.get(said[2:4]) if whole else None
    assert asyncio.run(go()) is expected


@given(st.sampled_from(sorted(hashes.KNOWN - {"CRYPT", "YESCRYPT", "BLF-CRYPT"})), st.text(max_size=60))
def test_a_stored_password_is_checked_or_refused(scheme: str, text: str) -> None:
    try:
        stored = Stored.parse(f"{{{scheme}}}{text}")
        assert hashes.verify(stored, "secret", "ana") in (True, False)
    except (BadHash, SourceDown):
        pass


@given(st.text(max_size=80), st.text(max_size=30))
def test_what_a_client_says_never_becomes_sql(template: str, user: str) -> None:
    try:
        statement = Statement.parse(template, "u")
    except ValueError:
        return
    before = statement.text("?")
    values = statement.parameters({"u": user})
    assert statement.text("?") == before
    assert len(values) == len(statement.values)
