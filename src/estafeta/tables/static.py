"""static: one answer to every question: `static:value`, or `static:{ value with spaces }`."""

from __future__ import annotations

from estafeta.tables.braces import BraceError, inside
from estafeta.tables.file_values import Unreadable, stored
from estafeta.tables.table import Flags, LoadedTable, TableError


class StaticTable(LoadedTable):
    indexed = False
    constant = True

    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        self._value = name
        if name.startswith("{"):
            try:
                self._value = inside(name)
            except BraceError as problem:
                raise TableError(f"bad static:name syntax: {problem}", "close the brace, or write none") from None
        try:
            self._value = stored(self._value, flags)
        except Unreadable as problem:
            raise TableError(str(problem), f"{self.spec} must name files that can be read") from None

    def lookup(self, key: str) -> str | None:
        return self._value
