"""static: one answer to every question: `static:value`, or `static:{ value with spaces }`."""

from __future__ import annotations

from estafeta.tables.braces import inside
from estafeta.tables.table import Flags, LoadedTable, TableError


class StaticTable(LoadedTable):
    indexed = False
    constant = True

    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        self._value = name
        if name.startswith("{"):
            braced = inside(name)
            if braced is None:
                problem = "syntax error after '}'" if "}" in name else "missing '}'"
                raise TableError(f'bad static:name syntax: {problem} in "{name}"', "close the brace, or write none")
            self._value = braced

    def lookup(self, key: str) -> str | None:
        return self._value
