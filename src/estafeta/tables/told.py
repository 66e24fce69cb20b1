"""A table whose questions and answers are told: `-v`, and debug_peer_list from debug_peer_level 2 on.

    hash:/etc/postfix/access: lookup "a@b.example" = "REJECT"

What a table says that has passwords, by its name, is not shown.

`open_table` puts it around every table of a process in which somebody may want to know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from estafeta.base import log, verbose
from estafeta.tables.table import Table, TableDown

SECRET = re.compile(r"passw(?!d\.byname)|sasl|secret|cred", re.IGNORECASE)
"""Names of tables whose answers are, or contain, passwords: `hash:/etc/postfix/sasl_passwd`."""


class ToldTable(Table):
    def __init__(self, table: Table) -> None:
        self.spec = table.spec
        self.indexed = table.indexed
        self._table = table
        self._secret = SECRET.search(self.spec) is not None

    async def get(self, key: str) -> str | None:
        if not verbose.now():
            return await self._table.get(key)
        try:
            value = await self._table.get(key)
        except TableDown as error:
            log.info(f'{self.spec}: lookup "{key}": error: {error}')
            raise
        if value is None:
            answer = "(notfound)"
        else:
            answer = "(not shown)" if self._secret else f'"{value}"'
        log.info(f'{self.spec}: lookup "{key}" = {answer}')
        return value

    def entries(self) -> Iterator[tuple[str, str]]:
        return self._table.entries()

    def changed(self) -> bool:
        return self._table.changed()

    def close(self) -> None:
        self._table.close()
