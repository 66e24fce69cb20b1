"""static: one answer to every question: `static:value`, or `static:{ value with spaces }`."""

from __future__ import annotations

from estafeta.tables.table import Flags, LoadedTable


class StaticTable(LoadedTable):
    indexed = False
    constant = True

    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        self._value = name[1:-1].strip() if name.startswith("{") and name.endswith("}") else name

    def lookup(self, key: str) -> str | None:
        return self._value
