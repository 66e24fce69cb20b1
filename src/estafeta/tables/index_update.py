"""Write to an index: what postmap, postalias and newaliases do to a table's file.

`hash` and its kin get a new file that takes the old one's place; an `lmdb` file is changed in place in one
transaction, under the whole-file lock that Postfix's programs respect too.
"""

from __future__ import annotations

import fcntl
import os
from abc import ABC, abstractmethod

import lmdb

from estafeta.base import log
from estafeta.base.fs_identity import acting_as
from estafeta.tables import cdb_file
from estafeta.tables.cache_file import is_cache
from estafeta.tables.index_build import FIRST_MAP, LARGEST_MAP, Meta, draft_beside, sync_folder, write_index
from estafeta.tables.indexed import IndexedTable
from estafeta.tables.lmdb_env import LONGEST_KEY, MAGIC_END, encode, has_magic
from estafeta.tables.source import Stamp
from estafeta.tables.table import Flags, TableError

WARN, REPLACE, IGNORE = "warn", "replace", "ignore"
"""What a second entry with the same key does: complain and stay out, take the place of the first, stay out silently."""

WRITABLE = ("hash", "btree", "cdb", "dbm", "sdbm", "lmdb")


class IndexUpdate(ABC):
    """One run of changes. Nothing is visible before `save`; not calling it changes nothing."""

    def __init__(self, kind: str, name: str, flags: Flags, *, on_duplicate: str, mode: int) -> None:
        self.spec = f"{kind}:{name}"
        self.shown = self.spec
        self._flags = flags
        self._on_duplicate = on_duplicate
        self._mode = mode

    def put(self, key: str, value: str, *, as_written: bool = False) -> None:
        """Add an entry; the key is folded here, unless `as_written`. Raises TableError where it cannot be held."""
        if not as_written:
            key = self._flags.key(key)
        if not key:
            log.warning(f"table {self.spec}: empty lookup key value is not allowed")
            return
        if self._has(key) and self._on_duplicate != REPLACE:
            if self._on_duplicate == WARN:
                log.warning(f'{self.shown}: duplicate entry: "{key}"')
            return
        self._set(key, value)

    @abstractmethod
    def delete(self, key: str) -> bool:
        """Remove an entry. False if it is not there."""

    @abstractmethod
    def save(self) -> None:
        """Make the changes real and durable. Raises TableError."""

    @abstractmethod
    def _has(self, key: str) -> bool: ...

    @abstractmethod
    def _set(self, key: str, value: str) -> None: ...


def open_update(
    kind: str, name: str, flags: Flags, *, truncate: bool, create: bool, on_duplicate: str, mode: int, nul: bool | None
) -> IndexUpdate:
    """Begin to write to `FILE.db`, `FILE.lmdb` or `FILE.cdb`.

    truncate: begin with an empty table. create: make the file if it is not there. mode: permissions of a new file.
    nul: whether keys and values of an lmdb or cdb file end in a NUL; None: as is usual there. Raises TableError, with
    Postfix's words.
    """
    if kind == "lmdb":
        ends = nul is not False
        return _InPlace(name, flags, truncate=truncate, create=create, on_duplicate=on_duplicate, mode=mode, nul=ends)
    if kind == "cdb":
        if not (truncate and create):
            raise TableError(
                "dict_cdb_open: inappropriate open flags for cdb database - "
                "specify O_RDONLY or O_WRONLY|O_CREAT|O_TRUNC",
                f"a cdb file is only made anew: run postmap {kind}:{name}",
            )
        return _Constant(name, flags, on_duplicate=on_duplicate, mode=mode, nul=bool(nul))
    return _Replacement(kind, name, flags, truncate=truncate, create=create, on_duplicate=on_duplicate, mode=mode)


class _Replacement(IndexUpdate):
    """All entries in memory, then a new file."""

    def __init__(
        self, kind: str, name: str, flags: Flags, *, truncate: bool, create: bool, on_duplicate: str, mode: int
    ) -> None:
        super().__init__(kind, name, flags, on_duplicate=on_duplicate, mode=mode)
        self.shown = self._index = f"{name}.db"
        self._source = name
        self._from_source = truncate
        self._stamp = Stamp.of_path(name)
        self._entries: dict[str, str] = {}
        self._lock = _FolderLock(os.path.dirname(name) or ".")
        exists = os.path.exists(self._index)
        if not exists and not create:
            raise TableError(f"open database {self._index}: No such file or directory", f"run postmap {self.spec}")
        if not os.path.isdir(os.path.dirname(name) or "."):
            raise TableError(f"open database {self._index}: No such file or directory", "make its folder")
        if exists:
            self._check_free()
        if exists and not truncate:
            self._entries = dict(IndexedTable(kind, name, flags).entries())

    def _check_free(self) -> None:
        """A daemon that keeps its cache in the file would not see another one in its place."""
        try:
            with open(self._index, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TableError(
                f"open database {self._index}: {error.strerror}",
                "it is the cache of a running program: stop that first",
            ) from None
        except OSError:
            return  # replaced it can be all the same

    def delete(self, key: str) -> bool:
        return self._entries.pop(self._flags.key(key), None) is not None

    def _has(self, key: str) -> bool:
        return key in self._entries

    def _set(self, key: str, value: str) -> None:
        self._entries[key] = value

    def save(self) -> None:
        raw: dict[bytes, bytes] = {}
        while self._entries:  # not held twice: a table may have millions
            key, value = self._entries.popitem()
            raw[encode(key) + b"\0"] = encode(value) + b"\0"
        meta = Meta(
            aliases=self._flags.aliases,
            base64_files=self._flags.base64_files,
            from_source=self._from_source,
            modified=self._stamp.modified if self._stamp else 0,
            size=self._stamp.size if self._stamp else 0,
            fold=self._flags.fold,
        )
        old = _status(self._index)
        mode = old.st_mode & 0o7777 if old else self._mode
        try:
            write_index(self._index, raw, meta, mode=mode)
        except PermissionError as error:
            self._save_as_root(raw, meta, mode, error)
        except OSError as error:
            raise TableError(f"open database {self._index}: {error.strerror}") from None
        self._lock.release()

    def _save_as_root(self, raw: dict[bytes, bytes], meta: Meta, mode: int, error: PermissionError) -> None:
        """The owner of an index may change it though its folder is root's; the new file is root's to put there."""
        old = _status(self._index)
        if os.getuid() != 0 or old is None or os.path.islink(self._index):
            raise TableError(
                f"open database {self._index}: {error.strerror}",
                "the index is written beside the old one, so its folder must be writable",
            ) from None
        with acting_as(0, 0):
            write_index(self._index, raw, meta, mode=mode, owner=(old.st_uid, old.st_gid))


class _Constant(IndexUpdate):
    """A new cdb file."""

    def __init__(self, name: str, flags: Flags, *, on_duplicate: str, mode: int, nul: bool) -> None:
        super().__init__("cdb", name, flags, on_duplicate=on_duplicate, mode=mode)
        self.shown = name
        self._path = f"{name}.cdb"
        self._nul = b"\0" if nul else b""
        self._entries: dict[str, str] = {}
        folder = os.path.dirname(name) or "."
        if not os.path.isdir(folder):
            raise TableError(f"open database {self._path}: No such file or directory", "make its folder")

    def delete(self, key: str) -> bool:
        return self._entries.pop(self._flags.key(key), None) is not None

    def save(self) -> None:
        nul = self._nul
        entries = ((encode(key) + nul, encode(value) + nul) for key, value in self._entries.items())
        try:
            with draft_beside(self._path) as draft:
                with open(draft, "wb") as file:
                    cdb_file.write(file, entries)
                    os.fchmod(file.fileno(), self._mode)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(draft, self._path)
                sync_folder(os.path.dirname(self._path) or ".")
        except OSError as error:
            raise TableError(f"open database {self._path}: {error.strerror}") from None

    def _has(self, key: str) -> bool:
        return key in self._entries

    def _set(self, key: str, value: str) -> None:
        self._entries[key] = value


class _InPlace(IndexUpdate):
    """An LMDB file as Postfix keeps it: entries in the main database, whole-file locks."""

    def __init__(
        self, name: str, flags: Flags, *, truncate: bool, create: bool, on_duplicate: str, mode: int, nul: bool
    ) -> None:
        super().__init__("lmdb", name, flags, on_duplicate=on_duplicate, mode=mode)
        self._path = f"{name}.lmdb"
        self._nul = b"\0" if nul else b""
        self._truncate = truncate
        self._changes: list[tuple[bytes, bytes | None]] = []
        self._pending: dict[str, bool] = {}
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), mode)
            # A daemon's cache is not given back before the daemon ends; another postmap is soon done.
            at_once = fcntl.LOCK_NB if is_cache(self._path) else 0
            fcntl.flock(self._fd, fcntl.LOCK_EX | at_once)
        except OSError as error:
            raise TableError(f"open database {self._path}: {error.strerror}", f"run postmap {self.spec}") from None
        self._size = max(FIRST_MAP, 2 * os.fstat(self._fd).st_size)
        self._env = self._open_env()
        # Postfix's lock is taken last: to open the environment opens and closes the file, which gives such locks up.
        # Until then the flock above keeps our own programs from one another.
        fcntl.lockf(self._fd, fcntl.LOCK_EX)

    def delete(self, key: str) -> bool:
        key = self._flags.key(key)
        if not self._has(key):
            return False
        self._changes += [(encode(key) + b"\0", None), (encode(key), None)]
        self._pending[key] = False
        return True

    def _has(self, key: str) -> bool:
        if key in self._pending:
            return self._pending[key]
        raw = encode(key)
        if self._truncate or not raw or len(raw) >= LONGEST_KEY:
            return False
        with self._env.begin() as transaction:
            return transaction.get(raw + b"\0") is not None or transaction.get(raw) is not None

    def _set(self, key: str, value: str) -> None:
        raw = encode(key) + self._nul
        if len(raw) > LONGEST_KEY:
            raise TableError(
                f"error updating {self.spec}: key of {len(raw)} bytes", f"an lmdb file holds keys up to {LONGEST_KEY}"
            )
        self._changes.append((raw, encode(value) + self._nul))
        self._pending[key] = True

    def save(self) -> None:
        while True:
            try:
                self._write()
            except lmdb.MapFullError:
                self._size *= 4
                if self._size > LARGEST_MAP:
                    raise TableError(f"error updating {self.spec}: too large") from None
                self._env.set_mapsize(self._size)
            except lmdb.Error as error:
                raise TableError(f"error updating {self.spec}: {error}") from None
            else:
                break
        self._env.sync(True)
        os.utime(self._path)  # newer than its source, also when nothing was to be written
        self._env.close()
        os.close(self._fd)

    def _write(self) -> None:
        database = self._env.open_db(None)
        with self._env.begin(write=True) as transaction:
            if self._truncate:
                transaction.drop(database, delete=False)
            for key, value in self._changes:
                if value is None:
                    transaction.delete(key)
                else:
                    transaction.put(key, value)

    def _open_env(self) -> lmdb.Environment:
        if os.fstat(self._fd).st_size and not has_magic(os.pread(self._fd, MAGIC_END, 0)):
            if not self._truncate:
                raise TableError(f"open database {self._path}: not an LMDB file", f"run postmap {self.spec}")
            os.truncate(self._fd, 0)
        try:
            return lmdb.open(self._path, subdir=False, lock=False, map_size=self._size)
        except lmdb.Error as error:
            raise TableError(f"open database {self._path}: {error}") from None


class _FolderLock:
    """Keeps other updates in a folder waiting while it exists: they read, change and replace a whole file.

    Where the folder cannot be read there is no lock, and the last writer wins.
    """

    __slots__ = ("_fd",)

    def __init__(self, folder: str) -> None:
        self._fd = -1
        try:
            self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError:
            return

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    __del__ = release


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
