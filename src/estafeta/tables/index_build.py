"""Make an index file: sort, write beside, sync, rename.

Used by postmap, and by tables that find their index missing or old. The index has two databases: the entries,
and `meta`, which says what it was made from and how.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from estafeta.base import log
from estafeta.base.fs_identity import acting_as
from estafeta.tables.file_values import Unreadable, stored
from estafeta.tables.lmdb_env import LONGEST_KEY, seal
from estafeta.tables.source import alias_entries, map_entries, read_file
from estafeta.tables.table import Flags

NAMED = b"entries"
META = b"meta"
FIRST_MAP = 1 << 24
LARGEST_MAP = 1 << 40


@dataclass(slots=True, frozen=True)
class Meta:
    """How an index was made: format of the source, its version, and whether it still is only what the source says."""

    aliases: bool = False
    base64_files: bool = False
    from_source: bool = True
    modified: int = 0
    size: int = 0
    fold: bool = True

    @classmethod
    def read(cls, env: Any) -> Meta | None:
        """None if the file is not an index of ours."""
        try:
            database = env.open_db(META, create=False)
        except (lmdb.NotFoundError, lmdb.ReadonlyError):
            return None
        with env.begin(db=database) as transaction:
            raw = transaction.get(b"meta")
        try:
            return msgspec.json.decode(raw or b"", type=cls)
        except msgspec.MsgspecError:
            return None


def hashed_key(key: bytes) -> bytes:
    """A key that is too long for LMDB as a NUL and its digest; its value then begins with the key itself."""
    return key if len(key) <= LONGEST_KEY else b"\0" + hashlib.sha256(key).digest()


def build_from_source(source: str, index: str, flags: Flags) -> None:
    """Read `source` and write `index`, owned and readable as the source is. Raises OSError, TableError.

    As root the file is written under the identity of the source's owner, so that a folder that somebody else
    controls cannot lead root's pen astray.
    """
    status = os.stat(source)
    with acting_as(status.st_uid, status.st_gid):
        lines, watch = read_file(source)
        if flags.aliases:
            parsed = alias_entries(lines, source, utf8=flags.utf8)
        else:
            parsed = map_entries(lines, source, utf8=flags.utf8)
        entries: dict[str, str] = {}
        for number, raw_key, value in parsed:
            key = flags.key(raw_key)
            if key in entries:
                log.warning(f'{index}: duplicate entry: "{key}"')
                continue
            try:
                entries[key] = stored(value, flags)
            except Unreadable as problem:
                log.warning(f"{source}, line {number}: {problem}: skipping this entry")
        meta = Meta(
            aliases=flags.aliases,
            base64_files=flags.base64_files,
            modified=watch.stamp.modified,
            size=watch.stamp.size,
            fold=flags.fold,
        )
        raw = {
            key.encode("utf-8", "surrogateescape") + b"\0": value.encode("utf-8", "surrogateescape") + b"\0"
            for key, value in entries.items()
        }
        write_index(index, raw, meta, mode=stat.S_IMODE(status.st_mode) & 0o666)


def write_index(
    index: str, entries: Mapping[bytes, bytes], meta: Meta, *, mode: int, owner: tuple[int, int] | None = None
) -> None:
    """Write a whole index file and put it in place of the old one. Keys and values with their NUL.

    `owner` (uid, gid) of the new file where it is not the writer. Raises OSError.
    """
    records = sorted(
        (short, value if short is key else key[:-1] + b"\0" + value)
        for key, value in entries.items()
        for short in (hashed_key(key),)
    )
    with draft_beside(index) as draft:
        _write_databases(draft, records, msgspec.json.encode(asdict(meta)))
        if owner is not None:
            os.chown(draft, *owner)
        Path(draft).chmod(mode)
        os.rename(draft, index)
        sync_folder(os.path.dirname(index) or ".")


def _write_databases(path: str, records: list[tuple[bytes, bytes]], meta: bytes) -> None:
    size = FIRST_MAP
    while True:
        try:
            _write_once(path, records, meta, size)
        except lmdb.MapFullError:
            size *= 4
            if size > LARGEST_MAP:
                raise OSError(27, f"table of more than {LARGEST_MAP} bytes", path) from None
            os.truncate(path, 0)
        except lmdb.Error as error:
            raise OSError(5, str(error), path) from None
        else:
            return


def _write_once(path: str, records: list[tuple[bytes, bytes]], meta: bytes, size: int) -> None:
    env = lmdb.open(path, subdir=False, lock=False, sync=False, max_dbs=4, map_size=size)
    try:
        data = env.open_db(NAMED)
        about = env.open_db(META)
        with env.begin(write=True) as transaction:
            for key, value in records:
                transaction.put(key, value, db=data, append=True)
            transaction.put(b"meta", meta, db=about)
        env.sync(True)
        used = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    finally:
        env.close()
    if os.path.getsize(path) < used:
        os.truncate(path, used)  # the seal stands behind all pages, also those that were never written
    seal(path)


@contextmanager
def draft_beside(path: str) -> Iterator[str]:
    """An empty new file in the same folder; removed again if it is still there at the end."""
    folder, name = os.path.split(path)
    fd, draft = tempfile.mkstemp(prefix=f".{name}.", dir=folder or ".")
    os.close(fd)
    try:
        yield draft
    finally:
        Path(draft).unlink(missing_ok=True)


def sync_folder(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
