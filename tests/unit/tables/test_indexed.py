"""hash and lmdb tables: the index, its source, and what happens when they do not agree."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from estafeta.tables import lmdb_file
from estafeta.tables.index import open_table
from estafeta.tables.index_build import Meta, build_from_source
from estafeta.tables.index_update import IGNORE, REPLACE, WARN, IndexUpdate, open_update
from estafeta.tables.lmdb_env import environment
from estafeta.tables.table import Flags, Table, TableDown, TableError

GROW = """
import sys
from estafeta.tables.index_update import open_update
from estafeta.tables.table import Flags
change = open_update("lmdb", sys.argv[1], Flags(), truncate=False, create=False, on_duplicate="warn", mode=0, nul=True)
for number in range(200_000):
    change.put(f"k{number}", "v" * 100)
change.save()
"""
BERKELEY = b"\0" * 12 + b"\x61\x15\x06\x00" + b"\0" * 5000


def get(table: Table, key: str) -> str | None:
    return asyncio.run(table.get(key))


def update(kind: str, path: Path, *, truncate: bool = False, create: bool = True, twice: str = WARN) -> IndexUpdate:
    return open_update(
        kind, str(path), Flags(), truncate=truncate, create=create, on_duplicate=twice, mode=0o644, nul=True
    )


def test_missing_index_is_made_from_its_source(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "t").write_text("Key value\n")
    (tmp_path / "t").chmod(0o640)
    table = open_table(f"hash:{tmp_path}/t")
    assert get(table, "KEY") == "value"
    assert get(table, "none") is None
    assert (tmp_path / "t.db").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t", "t.db"]
    assert lines == [f"made {tmp_path}/t.db anew from {tmp_path}/t (it was: No such file or directory)"]


def test_index_of_another_program_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("key value\n")
    (tmp_path / "t.db").write_bytes(BERKELEY)
    assert get(open_table(f"btree:{tmp_path}/t"), "key") == "value"


def test_values_that_are_files_are_read_when_the_index_is_made(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "key.pem").write_text("secret")
    (tmp_path / "t").write_text(f"host.test {tmp_path}/key.pem\nother.test {tmp_path}/none\n")
    (tmp_path / "t.db").write_bytes(BERKELEY)
    table = open_table(f"hash:{tmp_path}/t", Flags(base64_files=True))
    assert get(table, "host.test") == "c2VjcmV0"
    assert get(table, "other.test") is None
    assert f"{tmp_path}/t, line 2: open {tmp_path}/none: No such file or directory: skipping this entry" in "".join(
        lines
    )


def test_an_index_of_files_is_not_made_anew_by_those_who_may_not_read_them(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "key.pem").write_text("secret")
    (tmp_path / "t").write_text(f"host.test {tmp_path}/key.pem\n")
    build_from_source(f"{tmp_path}/t", f"{tmp_path}/t.db", Flags(base64_files=True))
    (tmp_path / "key.pem").unlink()
    (tmp_path / "t").write_text(f"# edited\nhost.test {tmp_path}/key.pem\n")
    assert get(open_table(f"hash:{tmp_path}/t", Flags(base64_files=True)), "host.test") == "c2VjcmV0"
    assert lines == [f"warning: database {tmp_path}/t.db is older than source file {tmp_path}/t"]


def test_index_of_another_program_without_source_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.db").write_bytes(BERKELEY)
    with pytest.raises(TableError, match=f"make {tmp_path}/t and run postmap hash:{tmp_path}/t"):
        open_table(f"hash:{tmp_path}/t")
    assert (tmp_path / "t.db").read_bytes() == BERKELEY


@pytest.mark.parametrize("content", [b"", b"x" * 100, BERKELEY[:12] + b"\0\0\0\0\xde\xc0\xef\xbe" + b"\xff" * 9000])
def test_damaged_index_is_made_anew(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("key value\n")
    (tmp_path / "t.db").write_bytes(content)
    assert get(open_table(f"hash:{tmp_path}/t"), "key") == "value"


def test_index_that_was_cut_short_is_not_served(tmp_path: Path) -> None:
    change = update("hash", tmp_path / "t")
    for number in range(2000):
        change.put(f"key{number}", "v" * 100)
    change.save()
    index = tmp_path / "t.db"
    whole = index.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:9000] + b"?" + whole[9001:]):
        index.write_bytes(damaged)
        with pytest.raises(TableError, match="damaged or cut short"):
            open_table(f"hash:{tmp_path}/t")
    index.write_bytes(whole)
    assert get(open_table(f"hash:{tmp_path}/t"), "key1999") == "v" * 100


def test_older_index_is_made_anew_as_it_was_made(tmp_path: Path) -> None:
    source = tmp_path / "names"
    source.write_text("one: first\n")
    build_from_source(str(source), f"{source}.db", Flags(aliases=True))
    source.write_text("one: first\ntwo: second\n")
    assert get(open_table(f"hash:{source}"), "two") == "second"


def test_source_in_aliases_form_is_known_by_its_look(tmp_path: Path) -> None:
    (tmp_path / "t").write_text('# c\nroot: admin\n"a b": x,\n  y\n')
    table = open_table(f"hash:{tmp_path}/t")
    assert (get(table, "root"), get(table, "a b")) == ("admin", "x, y")


def test_where_the_index_cannot_be_written_the_source_is_read(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "t").write_text("key value\nkey other\n")
    table = open_table(f"hash:{tmp_path}/t", Flags(build=False))
    assert get(table, "KEY") == "value"
    assert list(table.entries()) == [("key", "value")]
    assert not (tmp_path / "t.db").exists()
    assert "reading" in lines[0]
    assert "run postmap" in lines[0]


def test_incremental_entries_survive_a_newer_source(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "t").write_text("a 1\n")
    open_table(f"hash:{tmp_path}/t").close()
    added = update("hash", tmp_path / "t")
    added.put("b", "2")
    added.save()
    (tmp_path / "t").write_text("a 1\nc 3\n")
    table = open_table(f"hash:{tmp_path}/t", anew=True)
    assert (get(table, "b"), get(table, "c")) == ("2", None)
    assert lines[-1] == f"warning: database {tmp_path}/t.db is older than source file {tmp_path}/t"


def test_open_table_sees_its_version_and_knows_that_there_is_another(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("a 1\n")
    table = open_table(f"hash:{tmp_path}/t")
    assert not table.changed()
    again = update("hash", tmp_path / "t")
    again.put("b", "2")
    again.save()
    assert table.changed()
    assert get(table, "b") is None
    assert get(open_table(f"hash:{tmp_path}/t", anew=True), "b") == "2"


def test_keys_of_any_length_are_held_by_hash(tmp_path: Path) -> None:
    long = "k" * 600
    (tmp_path / "t").write_text(f"{long} value\nshort v\n")
    table = open_table(f"hash:{tmp_path}/t")
    assert get(table, long) == "value"
    assert get(table, long + "k") is None
    assert get(table, "x" * 100_000) is None
    assert sorted(table.entries()) == [(long, "value"), ("short", "v")]


def test_fork_does_not_disturb_a_table(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("a 1\n")
    table = open_table(f"hash:{tmp_path}/t")
    child = os.fork()
    if child == 0:
        os._exit(0 if table.lookup("a") == "1" else 1)  # type: ignore[attr-defined]
    assert os.waitpid(child, 0)[1] == 0
    assert get(table, "a") == "1"


def test_table_larger_than_the_first_map(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("".join(f"key{number} {'v' * 400}\n" for number in range(40_000)))
    assert get(open_table(f"hash:{tmp_path}/t"), "key39999") == "v" * 400


@pytest.mark.parametrize("kind", ["hash", "lmdb"])
def test_update_rules_for_equal_keys(kind: str, tmp_path: Path, lines: list[str]) -> None:
    for twice, value in ((WARN, "1"), (IGNORE, "2"), (REPLACE, "3")):
        change = update(kind, tmp_path / "t", twice=twice)
        change.put("Key", value)
        change.save()
    change = update(kind, tmp_path / "t")
    change.put("KEY", "4")
    change.put("", "nothing")
    assert not change.delete("none")
    change.save()
    assert list(open_table(f"{kind}:{tmp_path}/t").entries()) == [("key", "3")]
    assert lines == [
        f'warning: {tmp_path}/t.db: duplicate entry: "key"'
        if kind == "hash"
        else f'warning: lmdb:{tmp_path}/t: duplicate entry: "key"',
        f"warning: table {kind}:{tmp_path}/t: empty lookup key value is not allowed",
    ]


@pytest.mark.parametrize("kind", ["hash", "lmdb"])
def test_nothing_is_made_where_it_should_be_there(kind: str, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="No such file or directory"):
        update(kind, tmp_path / "t", create=False)
    with pytest.raises(TableError, match="No such file or directory"):
        update(kind, tmp_path / "no" / "t")


def test_unsaved_update_changes_nothing(tmp_path: Path) -> None:
    for kind in ("hash", "lmdb"):
        first = update(kind, tmp_path / "t")
        first.put("a", "1")
        first.save()
        second = update(kind, tmp_path / "t", truncate=True)
        second.put("b", "2")
        del second
        assert list(open_table(f"{kind}:{tmp_path}/t").entries()) == [("a", "1")]


def test_lmdb_file_has_the_form_that_postfix_reads(tmp_path: Path) -> None:
    change = update("lmdb", tmp_path / "t")
    change.put("key", "value")
    change.save()
    opened = environment(f"{tmp_path}/t.lmdb")
    with opened.env.begin() as transaction:
        assert list(transaction.cursor()) == [(b"key\0", b"value\0")]


def test_lmdb_key_has_a_limit(tmp_path: Path) -> None:
    change = update("lmdb", tmp_path / "t")
    with pytest.raises(TableError, match="keys up to 511"):
        change.put("k" * 600, "value")
    change.put("k", "v")
    change.save()
    assert get(open_table(f"lmdb:{tmp_path}/t"), "k" * 600) is None


def test_lmdb_reader_sees_later_changes_and_growth(tmp_path: Path) -> None:
    change = update("lmdb", tmp_path / "t")
    change.put("a", "1")
    change.save()
    table = open_table(f"lmdb:{tmp_path}/t")
    assert get(table, "a") == "1"
    subprocess.run([sys.executable, "-c", GROW, f"{tmp_path}/t"], check=True)
    assert get(table, "k199999") == "v" * 100
    assert get(table, "a") == "1"


def test_lmdb_locked_by_a_writer_for_long_is_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_file, "LOCK_WAIT", 0.05)
    change = update("lmdb", tmp_path / "t")
    change.put("a", "1")
    change.save()
    table = open_table(f"lmdb:{tmp_path}/t")
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        fd = os.open(f"{tmp_path}/t.lmdb", os.O_RDWR)
        fcntl.lockf(fd, fcntl.LOCK_EX)
        os.write(ready[1], b"x")
        os.close(done[1])
        os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    with pytest.raises(TableDown, match="locked by a writer"):
        get(table, "a")
    os.close(done[1])
    os.close(done[0])
    os.waitpid(child, 0)
    assert get(table, "a") == "1"


def test_meta_of_a_foreign_lmdb_file_is_none(tmp_path: Path) -> None:
    change = update("lmdb", tmp_path / "t")
    change.put("a", "1")
    change.save()
    opened = environment(f"{tmp_path}/t.lmdb")
    assert Meta.read(opened.env) is None


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_root_makes_the_index_as_the_owner_of_the_source(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    source = tmp_path / "t"
    source.write_text("a 1\n")
    os.chown(source, 65534, 65534)
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    assert get(open_table(f"hash:{source}"), "a") == "1"
    status = (tmp_path / "t.db").stat()
    assert (status.st_uid, status.st_gid) == (65534, 65534)
    assert os.geteuid() == 0


ADD = """
import sys
from estafeta.tables.index_update import open_update
from estafeta.tables.table import Flags
change = open_update(
    sys.argv[1], sys.argv[2], Flags(), truncate=False, create=True, on_duplicate="warn", mode=0o644, nul=True
)
change.put(sys.argv[3], "v")
change.save()
"""


@pytest.mark.parametrize("kind", ["hash", "lmdb"])
def test_updates_at_the_same_time_are_all_kept(kind: str, tmp_path: Path) -> None:
    keys = [f"k{number}" for number in range(8)]
    writers = [subprocess.Popen([sys.executable, "-c", ADD, kind, f"{tmp_path}/t", key]) for key in keys]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * len(keys)
    assert sorted(open_table(f"{kind}:{tmp_path}/t").entries()) == [(key, "v") for key in keys]


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
@pytest.mark.parametrize("kind", ["lmdb", "cdb", "hash"])
def test_a_replaced_table_shows_in_a_chroot(kind: str, tmp_path: Path) -> None:
    source, jail = tmp_path / "t", tmp_path / "jail"
    source.write_text("a b\n")
    (tmp_path / "u").write_text("a c\n")
    jail.mkdir()
    for path in (source, tmp_path / "u"):
        update = open_update(
            kind, str(path), Flags(), truncate=True, create=True, on_duplicate="warn", mode=0o644, nul=None
        )
        update.put("a", "b")
        update.save()
    suffix = {"hash": "db"}.get(kind, kind)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            table = open_table(f"{kind}:{source}")
            before = table.changed()
            os.replace(f"{tmp_path}/u.{suffix}", f"{source}.{suffix}")
            os.chroot(jail)
            status = 0 if not before and table.changed() else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
