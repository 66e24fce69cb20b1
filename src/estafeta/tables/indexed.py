"""hash, btree, dbm, sdbm: an index `FILE.db` made from `FILE`, by postmap or here.

The index is an LMDB file. It is never changed in place: a new one is written beside it and renamed over it, so
readers need no locks and see one version or the other. It remembers how it was made, so that it can be made
again when its source has changed. Where it is missing, is another program's (Berkeley DB), or is older than its
source, it is made anew if we may write there, and otherwise the source is read into memory, with a warning.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace

import lmdb

from estafeta.base import log
from estafeta.tables.cache_file import is_cache
from estafeta.tables.index_build import NAMED, Meta, build_from_source, hashed_key
from estafeta.tables.lmdb_env import Environment, decode, encode, environment, is_lmdb
from estafeta.tables.lmdb_file import LmdbTable
from estafeta.tables.source import Stamp, Watch, looks_like_aliases, read_file
from estafeta.tables.table import Flags, LoadedTable, TableDown, TableError
from estafeta.tables.texthash import load

SETTLE = 2.0
"""Seconds that a source must rest before a running process takes it up: an editor may not be done with it."""


class IndexedTable(LoadedTable):
    """Served from the index, or from the source in memory."""

    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        self._source = name
        self._index = f"{name}.db"
        self._flags = flags
        self._memory: dict[str, str] | None = None
        self._environment: Environment | None = None
        self._meta: Meta | None = None
        self._cache: LmdbTable | None = None
        """In the index's place: what a daemon keeps for itself (cache_store.py), which is written while we read."""
        self._open()

    def lookup(self, key: str) -> str | None:
        key = self._flags.key(key)
        if self._memory is not None:
            return self._memory.get(key)
        if self._cache is not None:
            return self._cache.get_now(key)
        raw = hashed_key(encode(key) + b"\0")
        try:
            value = self._transaction.get(raw)
        except lmdb.Error as error:
            raise TableDown(f"table {self.spec}: cannot read {self._index}: {error}") from None
        if value is None:
            return None
        return decode(value.partition(b"\0")[2] if raw.startswith(b"\0") else value)

    def entries(self) -> Iterator[tuple[str, str]]:
        if self._memory is not None:
            yield from self._memory.items()
            return
        if self._cache is not None:
            yield from self._cache.entries()
            return
        try:
            for key, value in self._transaction.cursor():
                if key.startswith(b"\0"):  # a long key stands in its value
                    key, _, value = bytes(value).partition(b"\0")
                yield decode(key), decode(value)
        except lmdb.Error as error:
            raise TableDown(f"table {self.spec}: cannot read {self._index}: {error}") from None

    def changed(self) -> bool:
        if self._index_watch is not None:
            if self._index_watch.changed():
                return True
        elif Stamp.of_path(self._index) is not None:
            return True
        if self._source_watch is None or not self._source_watch.changed():
            return False
        source = Stamp.of_path(self._source)
        return source is None or abs(time.time() - source.modified / 1e9) >= SETTLE

    def _open(self) -> None:
        self._index_watch = Watch.of_path(self._index)
        self._source_watch = Watch.of_path(self._source)
        problem = self._problem()
        if not problem:
            return
        if self._source_watch is None and is_cache(self._index):
            self._cache = LmdbTable(self.spec.partition(":")[0], self._source, self._flags, ".db")
            return
        if self._source_watch is None:
            raise TableError(
                f"open database {self._index}: {problem}", f"make {self._source} and run postmap {self.spec}"
            )
        if self._flags.build and self._build(problem):
            return
        log.warning(
            f"{self._index}: {problem}; reading {self._source} into memory: run postmap {self.spec} "
            "as a user who may write there"
        )
        lines, self._source_watch = read_file(self._source)
        self._flags = replace(self._flags, aliases=self._flags.aliases or looks_like_aliases(lines))
        self._memory = load(lines, self._source, self._flags)

    def _problem(self) -> str:
        """Why the index cannot serve; "" if it does."""
        if self._index_watch is None:
            try:
                os.stat(self._index)
            except OSError as error:
                return error.strerror or str(error)
        try:
            if not is_lmdb(self._index):
                return "not an index of ours (Berkeley DB perhaps)"
            opened = environment(self._index, sealed=True)
            meta = self._meta = Meta.read(opened.env)
            if meta is None:
                return "an LMDB file, but not an index of ours"
        except (OSError, lmdb.Error) as error:
            return str(getattr(error, "strerror", None) or error)
        # What it was made with says how to make it again, whoever asks now.
        self._flags = replace(self._flags, aliases=meta.aliases, base64_files=meta.base64_files)
        source = self._source_watch.stamp if self._source_watch else None
        if source is not None and (source.modified, source.size) != (meta.modified, meta.size):
            if not meta.from_source or meta.base64_files or not os.access(self._source, os.R_OK):
                # It holds entries that the source does not have (postmap -i, -d): making it anew would lose them.
                # Or the source, or the files it names (postmap -F), are not for us to read: then an old index is
                # better than none.
                log.warning(f"database {self._index} is older than source file {self._source}")
            else:
                return f"older than {self._source}"
        self._serve(opened)
        return ""

    def _serve(self, opened: Environment) -> None:
        self._environment = opened
        data = opened.env.open_db(NAMED, create=False)
        # The file is never written in place, so one transaction sees the truth for as long as it is open.
        self._transaction = opened.env.begin(db=data)

    def _build(self, problem: str) -> bool:
        try:
            if not self._flags.aliases and self._meta is None:
                # Postfix's index would have known; an aliases file may be named as any other table.
                self._flags = replace(self._flags, aliases=looks_like_aliases(read_file(self._source)[0]))
            build_from_source(self._source, self._index, self._flags)
        except OSError as error:
            log.warning(f"{self._index}: {problem}; cannot make it anew: {error.strerror}")
            return False
        log.info(f"made {self._index} anew from {self._source} (it was: {problem})")
        self._index_watch = Watch.of_path(self._index)
        self._source_watch = Watch.of_path(self._source)
        opened = environment(self._index, sealed=True)
        if Meta.read(opened.env) is None:
            return False
        self._serve(opened)
        return True
