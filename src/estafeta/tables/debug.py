"""debug: another table, whose every answer is logged: `debug:hash:/etc/postfix/access`."""

from __future__ import annotations

from collections.abc import Iterator

from estafeta.base import log
from estafeta.tables.index import open_table
from estafeta.tables.table import Flags, Table, TableDown


class DebugTable(Table):
    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        self._table = open_table(name, flags)
        if self._table.changed():
            self._table = open_table(name, flags, anew=True)
        self.indexed = self._table.indexed

    async def get(self, key: str) -> str | None:
        try:
            value = await self._table.get(key)
        except TableDown:
            log.info(f'{self._table.spec} lookup: "{key}" = "error"')
            raise
        log.info(f'{self._table.spec} lookup: "{key}" = "{"not_found" if value is None else value}"')
        return value

    def entries(self) -> Iterator[tuple[str, str]]:
        for key, value in self._table.entries():
            log.info(f'{self._table.spec} sequence: "{key}" = "{value}"')
            yield key, value

    def changed(self) -> bool:
        return self._table.changed()
