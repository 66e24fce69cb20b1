"""cdb files: the format, what postmap does with it, and damage."""

from __future__ import annotations

import asyncio
import os
import struct
from pathlib import Path

import pytest

from estafeta.commands import postmap
from estafeta.tables.cdb_file import HEAD
from estafeta.tables.index import open_table
from estafeta.tables.table import TableDown, TableError


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    source = tmp_path / "t"
    source.write_text("".join(f"Key{number}\tvalue {number}\n" for number in range(600)))
    assert postmap.main([f"cdb:{source}"]) == 0
    return source


def get(spec: str, key: str) -> str | None:
    return asyncio.run(open_table(spec).get(key))


def test_every_entry_is_found_and_no_other(made: Path) -> None:
    table = f"cdb:{made}"
    assert all(get(table, f"KEY{number}") == f"value {number}" for number in range(600))
    assert get(table, "key600") is None
    with pytest.raises(TableError, match="sequence operation is not supported"):
        list(open_table(table).entries())


def test_the_file_is_as_the_format_says(tmp_path: Path, made: Path) -> None:
    """One record: cdb.txt worked out by hand for the key "a" (hash 177604)."""
    made.write_text("a b\n")
    assert postmap.main([f"cdb:{made}"]) == 0
    raw = (tmp_path / "t.cdb").read_bytes()
    record = struct.pack("<II", 1, 1) + b"ab"
    number = 5381 * 33 ^ ord("a")
    assert raw[HEAD : HEAD + 10] == record
    assert struct.unpack_from("<II", raw, (number & 255) * 8) == (HEAD + 10, 2)
    slots = struct.unpack_from("<4I", raw, HEAD + 10)
    at = (number >> 8) % 2
    assert slots[2 * at : 2 * at + 2] == (number, HEAD)
    assert len(raw) == HEAD + 10 + 16


def test_keys_with_a_nul_are_found_too(tmp_path: Path, made: Path) -> None:
    assert postmap.main(["-N", f"cdb:{made}"]) == 0
    assert b"key1\0value 1\0" in (tmp_path / "t.cdb").read_bytes()
    assert get(f"cdb:{made}", "key1") == "value 1"


def test_a_new_file_takes_the_place_of_the_old_one(made: Path) -> None:
    table = open_table(f"cdb:{made}")
    assert not table.changed()
    made.write_text("new entry\n")
    assert postmap.main([f"cdb:{made}"]) == 0
    assert table.changed()
    assert asyncio.run(table.get("key1")) == "value 1"
    assert asyncio.run(open_table(f"cdb:{made}", anew=True).get("new")) == "entry"


@pytest.mark.parametrize("words", [["-i"], ["-d", "key1"]])
def test_a_constant_database_is_not_changed(words: list[str], made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert postmap.main([*words, f"cdb:{made}"]) == 1
    assert "dict_cdb_open: inappropriate open flags for cdb database" in capsys.readouterr().err


def test_damage_is_ask_later(tmp_path: Path, made: Path) -> None:
    path = tmp_path / "t.cdb"
    path.write_bytes(path.read_bytes()[:HEAD])
    os.utime(path)
    with pytest.raises(TableDown, match="cut short"):
        get(f"cdb:{made}", "key1")
    path.write_bytes(b"x")
    with pytest.raises(TableError, match=r"dict_cdbq_open: unable to init .*t.cdb: Protocol error"):
        open_table(f"cdb:{made}", anew=True)
