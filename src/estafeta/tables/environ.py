"""environ: the variables of the process's environment; what follows the colon is not used."""

from __future__ import annotations

import os
from collections.abc import Iterator

from estafeta.tables.table import Flags, LoadedTable, fold


class EnvironTable(LoadedTable):
    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        self._fold = flags.fold

    def lookup(self, key: str) -> str | None:
        return os.environ.get(fold(key) if self._fold else key)

    def entries(self) -> Iterator[tuple[str, str]]:
        return iter(os.environ.items())
