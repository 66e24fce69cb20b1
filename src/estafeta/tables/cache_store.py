"""A table that a daemon writes for itself: what verify(8) and postscreen(8) remember.

`CacheStore.open("btree:/var/lib/postfix/verify_cache", conf)` is called once, before the process gives up its rights
or enters a chroot. All calls return at once: a change is kept in memory, where `get` sees it, and a thread writes
changes to the file in batches, one transaction and one sync each. A process that is killed loses the last second, and
never the file: LMDB's pages are not written in place.

A file belongs to one process at a time. One that is damaged, or another program's (Postfix's Berkeley DB), is set
aside with a warning and a new one begun: a cache is there to be filled again. `internal:` keeps everything in memory.
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol

from estafeta.base import log
from estafeta.base.fs_identity import acting_as
from estafeta.base.users import UsersDown, find_user
from estafeta.config.instance import Config
from estafeta.tables import settings
from estafeta.tables.cache_file import CacheFile, CacheFileError
from estafeta.tables.index import TYPES, split_spec
from estafeta.tables.table import TableError

SUFFIX = {"btree": ".db", "dbm": ".db", "hash": ".db", "lmdb": ".lmdb", "sdbm": ".db"}
"""The types that keep a file, and how it is called."""

COLLECT = 1.0
"""Seconds that changes are collected before they are written."""
BATCH = 1000
"""Changes that are written without waiting for more."""
MOST_UNWRITTEN = 100_000
"""Changes kept in memory while the file cannot be written; older ones are forgotten then."""
PAGE = 500
"""Entries that `items` reads at a time."""
LOCK_WAIT = 5.0
"""Seconds to wait for a process that is about to end (a reload)."""


class CacheConf(Protocol):
    """What the store needs of the configuration."""

    @property
    def data_directory(self) -> str: ...

    @property
    def mail_owner(self) -> str: ...


class CacheStore(ABC):
    """Keys and values are str, without NUL; keys are taken as they are, without case folding."""

    spec: str

    @staticmethod
    def of(parameter: str, map_text: str, conf: Config) -> CacheStore:
        """The store of a parameter, whose name and line a TableError then begins with."""
        try:
            return CacheStore.open(map_text, conf)
        except TableError as error:
            raise TableError(f"{conf.origin(parameter)}: {parameter}: {error.problem}", error.remedy) from error

    @staticmethod
    def open(map_text: str, conf: CacheConf, *, lock_wait: float = LOCK_WAIT) -> CacheStore:
        """The store that `type:name` names. Blocks; waits `lock_wait` seconds for another process to let go of it.

        Raises TableError for a type that cannot be written, a file that another process holds, and a folder that
        cannot be written; it says what to do.
        """
        map_text = map_text.strip()
        if map_text.partition(":")[0] == "internal":
            return MemoryStore(map_text)
        kind, name = split_spec(map_text)
        if map_text.startswith("proxy:"):
            _check_approved(f"{kind}:{name}")
        if kind not in SUFFIX:
            known = " ".join(sorted((*SUFFIX, "internal")))
            if kind not in TYPES:
                raise TableError(f"unsupported dictionary type: {kind}", f"a cache may be one of: {known}")
            raise TableError(
                f"{kind}:{name}: tables of type {kind} cannot be written", f"a cache may be one of: {known}"
            )
        uid, gid = _owner(conf)
        path = _safe_path(f"{kind}:{name}", name, uid, conf) + SUFFIX[kind]
        with acting_as(uid, gid):
            return FileStore(map_text, path, lock_wait)

    @abstractmethod
    def get(self, key: str) -> str | None:
        """The value last put, None if there is none."""

    @abstractmethod
    def put(self, key: str, value: str) -> None:
        """Remember `value` for `key`."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Forget `key`; it need not be there."""

    @abstractmethod
    def items(self) -> Iterator[tuple[str, str]]:
        """Every key with its value. What is changed meanwhile may or may not be seen; entries may be deleted."""

    @abstractmethod
    def close(self) -> None:
        """Write what is to be written, and give the file back. Blocks."""


class MemoryStore(CacheStore):
    """`internal:`: gone when the process ends."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self._entries: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        return self._entries.get(key)

    def put(self, key: str, value: str) -> None:
        self._entries[key] = value

    def delete(self, key: str) -> None:
        self._entries.pop(key, None)

    def items(self) -> Iterator[tuple[str, str]]:
        for key in list(self._entries):
            value = self._entries.get(key)
            if value is not None:
                yield key, value

    def close(self) -> None:
        """Nothing to give back."""


class FileStore(CacheStore):
    """Changes in memory, above a file that a thread brings up to date."""

    def __init__(self, spec: str, path: str, lock_wait: float = LOCK_WAIT) -> None:
        self.spec = spec
        self._path = path
        self._file = _opened(spec, path, lock_wait)
        self._waiting: dict[str, str | None] = {}
        """Changes not given to the thread yet; None is a deletion."""
        self._writing: dict[str, str | None] = {}
        """Changes that the thread is writing."""
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._failed = False

    def get(self, key: str) -> str | None:
        for changes in (self._waiting, self._writing):
            if key in changes:
                return changes[key]
        try:
            return self._file.get(key)
        except CacheFileError as error:
            # A cache that cannot tell does not know: the question is asked anew.
            log.warning(f"table {self.spec}: {error}")
            return None

    def put(self, key: str, value: str) -> None:
        self._change(key, value)

    def delete(self, key: str) -> None:
        self._change(key, None)

    def items(self) -> Iterator[tuple[str, str]]:
        changed = {**self._writing, **self._waiting}
        for key in changed:
            value = self.get(key)
            if value is not None:
                yield key, value
        after: bytes | None = None
        while True:
            try:
                page, after = self._file.page(after, PAGE)
            except CacheFileError as error:
                log.warning(f"table {self.spec}: {error}")
                return
            for key, value in page:
                if key in changed:
                    continue
                now = self._waiting.get(key, self._writing.get(key, value))
                if now is not None:
                    yield key, now
            if after is None:
                return

    def close(self) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        self._file.close()

    def _change(self, key: str, value: str | None) -> None:
        with self._wake:
            if self._failed and len(self._waiting) >= MOST_UNWRITTEN:
                self._waiting.pop(next(iter(self._waiting)))
            self._waiting[key] = value
            if self._thread is None:
                # Not before: a fork would leave it behind.
                self._thread = threading.Thread(target=self._write_on, name="cache", daemon=True)
                self._thread.start()
            elif len(self._waiting) == 1 or len(self._waiting) == BATCH:
                self._wake.notify()

    # --- in the thread

    def _write_on(self) -> None:
        while self._collect():
            try:
                self._file.write(self._writing)
            except CacheFileError as error:
                self._put_back(error)
            else:
                with self._wake:
                    self._writing = {}
                if self._failed:
                    log.info(f"table {self.spec}: {self._path} can be written again")
                    self._failed = False

    def _collect(self) -> bool:
        """Wait for a batch. False: the end, and nothing is left to write."""
        with self._wake:
            while not self._waiting and not self._closing:
                self._wake.wait()
            until = time.monotonic() + COLLECT
            while len(self._waiting) < BATCH or self._failed:
                left = until - time.monotonic()
                if self._closing or left <= 0:
                    break
                self._wake.wait(left)
            # In this order, and under the lock that `_change` takes: a reader finds every change in one of the two.
            self._writing = self._waiting
            self._waiting = {}
            return bool(self._writing)

    def _put_back(self, error: CacheFileError) -> None:
        with self._wake:
            self._waiting = {**self._writing, **self._waiting}
            self._writing = {}
            if not self._failed:
                log.warning(f"table {self.spec}: {error}: what is new is kept in memory and tried again")
            self._failed = True
            if self._closing:
                self._waiting = {}  # nobody is left to try again


def _opened(spec: str, path: str, lock_wait: float) -> CacheFile:
    until = time.monotonic() + lock_wait
    while True:
        try:
            return CacheFile(path)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise TableError(
                    f"open database {path}: another process holds it",
                    f"give each program a cache of its own: change {spec}, or stop the other program",
                ) from None
            time.sleep(0.05)
        except OSError as error:
            raise TableError(
                f"open database {path}: {error.strerror}",
                f"make the folder {os.path.dirname(path) or '.'}, owned by the mail system's account",
            ) from None
        except CacheFileError as error:
            raise TableError(f"open database {path}: {error}", "remove the file, and a new one is made") from None


def _owner(conf: CacheConf) -> tuple[int, int]:
    """Whose files caches are. Only root may choose; for anybody else they are his own."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    try:
        user = find_user(conf.mail_owner)
    except UsersDown as error:
        raise TableError(f"mail_owner: {error}", "try again when the list of users can be asked") from None
    if user is None:
        raise TableError(
            f"mail_owner: no user {conf.mail_owner}", f"make the account: adduser --system {conf.mail_owner}"
        )
    return user.uid, user.gid


def _check_approved(table: str) -> None:
    approved = settings.in_force.proxy_write
    if approved is None or table in approved:
        return
    log.warning(f'request for unapproved table: "{table}"')
    log.warning(f"to approve this table for read-write access, list proxy:{table} in main.cf:proxy_write_maps")
    raise TableError(
        f'proxywrite service is not configured for table "{table}"', f"list proxy:{table} in main.cf:proxy_write_maps"
    )


def _safe_path(spec: str, path: str, uid: int, conf: CacheConf) -> str:
    """The place for the file: the one that is asked for, or data_directory where that one's folder is not the
    mail system's, as it was in old configurations."""
    folder = os.path.dirname(path) or "."
    if os.geteuid() != 0 or folder == conf.data_directory.rstrip("/"):
        return path
    try:
        if os.stat(folder).st_uid == uid:
            return path
    except OSError as error:
        raise TableError(f"open database {path}: {error.strerror}", f"make the folder {folder}") from None
    log.warning(f"request to update table {spec} in non-{conf.mail_owner} directory {folder}")
    log.warning(f"redirecting the request to {conf.mail_owner}-owned data_directory {conf.data_directory}")
    return os.path.join(conf.data_directory, os.path.basename(path))
