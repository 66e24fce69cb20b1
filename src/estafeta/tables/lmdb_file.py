"""lmdb: an index `FILE.lmdb` that Postfix itself could read and write; lmdb_table(5).

Such a file is changed in place, by Postfix's postmap or ours, so every read holds the shared whole-file lock
that Postfix uses in place of LMDB's own.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

import lmdb

from estafeta.base import log
from estafeta.tables.lmdb_env import LONGEST_KEY, Environment, decode, encode, environment
from estafeta.tables.source import Stamp, is_hidden
from estafeta.tables.table import Flags, Table, TableDown, TableError

LOCK_WAIT = 10.0
"""Seconds to wait for a writer."""

LOCK_RETRY = 0.02


class LmdbTable(Table):
    def __init__(self, kind: str, name: str, flags: Flags, suffix: str = ".lmdb") -> None:
        self.spec = f"{kind}:{name}"
        self._path = f"{name}{suffix}"
        self._flags = flags
        self._environment = self._opened(name)
        source, made = Stamp.of_path(name), Stamp.of_path(self._path)
        if source is not None and made is not None and source.modified > made.modified:
            log.warning(f"database {self._path} is older than source file {name}")

    async def get(self, key: str) -> str | None:
        raw = encode(self._flags.key(key))
        if not raw or len(raw) >= LONGEST_KEY:
            return None
        waited = 0.0
        while not self._lock():
            if waited >= LOCK_WAIT:
                raise TableDown(f"table {self.spec}: {self._path} is locked by a writer")
            await asyncio.sleep(LOCK_RETRY)
            waited += LOCK_RETRY
        try:
            return self._read(raw)
        finally:
            fcntl.lockf(self._environment.fd, fcntl.LOCK_UN)

    def get_now(self, key: str) -> str | None:
        """As `get`; blocks while a writer is at it."""
        raw = encode(self._flags.key(key))
        if not raw or len(raw) >= LONGEST_KEY:
            return None
        with self._locked():
            return self._read(raw)

    def entries(self) -> Iterator[tuple[str, str]]:
        with self._locked(), self._environment.env.begin() as transaction:
            for key, value in transaction.cursor():
                if key.startswith(b"\0"):  # a long key of a cache stands in its value
                    key, _, value = bytes(value).partition(b"\0")
                yield decode(key), decode(value)

    def changed(self) -> bool:
        # It is written in place; only another file in its place is a change. The held file tells a process in a chroot.
        held, now = os.fstat(self._environment.fd), Stamp.of_path(self._path)
        if now is None:
            return not held.st_nlink and is_hidden(self._path)
        return now.inode != held.st_ino

    def _read(self, raw: bytes) -> str | None:
        try:
            with self._environment.env.begin() as transaction:
                value = transaction.get(raw + b"\0")
                if value is None:
                    value = transaction.get(raw)  # made with postmap -n
                return None if value is None else decode(value)
        except lmdb.MapResizedError:
            # A writer has let the file outgrow our view of it.
            self._environment.env.set_mapsize(0)
            return self._read_again(raw)
        except lmdb.Error as error:
            raise TableDown(f"table {self.spec}: cannot read {self._path}: {error}") from None

    def _read_again(self, raw: bytes) -> str | None:
        try:
            with self._environment.env.begin() as transaction:
                value = transaction.get(raw + b"\0") or transaction.get(raw)
                return None if value is None else decode(value)
        except lmdb.Error as error:
            raise TableDown(f"table {self.spec}: cannot read {self._path}: {error}") from None

    def _lock(self) -> bool:
        try:
            fcntl.lockf(self._environment.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise TableDown(f"table {self.spec}: cannot lock {self._path}: {error.strerror}") from None
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self._environment.fd, fcntl.LOCK_SH)
        try:
            yield
        finally:
            fcntl.lockf(self._environment.fd, fcntl.LOCK_UN)

    def _opened(self, name: str) -> Environment:
        try:
            return environment(self._path)
        except OSError as error:
            raise TableError(
                f"open database {self._path}: {error.strerror}", f"make {name} and run postmap {self.spec}"
            ) from None
        except lmdb.Error as error:
            raise TableError(f"open database {self._path}: {error}", f"make it anew: run postmap {self.spec}") from None
