"""Tables made of tables: unionmap (all answers), pipemap (the answer is the next question), randmap (any value).

unionmap:{hash:/a, hash:/b}    pipemap:{hash:/a, hash:/b}    randmap:{one, two}
"""

from __future__ import annotations

import random

from estafeta.tables.braces import members_of
from estafeta.tables.file_values import Unreadable, stored
from estafeta.tables.index import open_table
from estafeta.tables.table import Flags, LoadedTable, Table, TableDown, TableError


class _Combined(Table):
    """Opens its members; changes when one of them does."""

    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        members = members_of(name)
        if not members or not all(":" in member for member in members):
            raise TableError(f'bad syntax: "{self.spec}"; need "{kind}:{{type:name...}}"')
        self._tables = [open_table(member, flags) for member in members]
        if any(table.changed() for table in self._tables):
            self._tables = [
                open_table(table.spec, flags, anew=True) if table.changed() else table for table in self._tables
            ]
        self.indexed = any(table.indexed for table in self._tables)

    async def _ask(self, table: Table, key: str) -> str | None:
        try:
            return await table.get(key)
        except TableDown as error:
            raise TableDown(f"table {self.spec}: query error: Application error") from error

    def changed(self) -> bool:
        return any(table.changed() for table in self._tables)


class UnionTable(_Combined):
    """The values of all members that have the key, with a comma between."""

    async def get(self, key: str) -> str | None:
        values = [value for table in self._tables if (value := await self._ask(table, key)) is not None]
        return ",".join(values) if values else None


class PipeTable(_Combined):
    """Each member's value is the key for the next; not there in one is not there."""

    async def get(self, key: str) -> str | None:
        value: str | None = key
        for table in self._tables:
            if value is None:
                return None
            value = await self._ask(table, value)
        return value


class RandomTable(LoadedTable):
    """One of its values, at random."""

    indexed = False

    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        members = members_of(name)
        if not members:
            raise TableError(f'bad syntax: "{self.spec}"; need "{kind}:{{value...}}"')
        try:
            self._values = [stored(member, flags) for member in members]
        except Unreadable as problem:
            raise TableError(f'{problem}: "{self.spec}"; need "{kind}:{{filename...}}"') from None

    def lookup(self, key: str) -> str | None:
        return random.choice(self._values)
