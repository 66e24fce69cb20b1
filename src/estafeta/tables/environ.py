"""environ: the variables of the process's environment; what follows the colon is not used."""

from __future__ import annotations

import os

from estafeta.tables.table import Flags, LoadedTable


class EnvironTable(LoadedTable):
    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        self._flags = flags

    def lookup(self, key: str) -> str | None:
        return os.environ.get(self._flags.key(key))
