"""cdb: an index `FILE.cdb` in D. J. Bernstein's format, made by postmap and never changed, only replaced.

Keys are found with and without a NUL at their end, since other programs write such files too.
"""

from __future__ import annotations

import mmap
import os
from typing import NoReturn

from estafeta.base import log
from estafeta.tables import cdb_file
from estafeta.tables.lmdb_env import decode, encode
from estafeta.tables.source import Stamp, Watch
from estafeta.tables.table import Flags, LoadedTable, TableDown, TableError


class CdbTable(LoadedTable):
    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self._path = f"{name}.cdb"
        self.spec = f"{kind}:{name}"
        self._flags = flags
        how = f"make {name} and run postmap {self.spec}"
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise TableError(f"open database {self._path}: {error.strerror}", how) from None
        self._watch = Watch(self._path, fd)
        if self._watch.stamp.size < cdb_file.HEAD:
            raise TableError(f"dict_cdbq_open: unable to init {self._path}: Protocol error", how)
        self._data = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        source = Stamp.of_path(name)
        if source is not None and source.modified > self._watch.stamp.modified:
            log.warning(f"database {self._path} is older than source file {name}")

    def lookup(self, key: str) -> str | None:
        raw = encode(self._flags.key(key))
        try:
            value = cdb_file.find(self._data, raw)
            if value is None:
                value = cdb_file.find(self._data, raw + b"\0")
        except cdb_file.Damaged as error:
            raise TableDown(f"table {self.spec}: {self._path}: {error}: run postmap {self.spec}") from None
        return None if value is None else decode(value)

    def entries(self) -> NoReturn:
        raise TableError(f"table {self.spec}.cdb: sequence operation is not supported")

    def changed(self) -> bool:
        return self._watch.changed()
