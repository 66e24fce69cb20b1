"""fail: a table that always answers "ask later", for testing what happens then."""

from __future__ import annotations

from typing import NoReturn

from estafeta.tables.table import Flags, Table, TableDown, TableError


class FailTable(Table):
    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"

    async def get(self, key: str) -> str | None:
        raise TableDown(f"table {self.spec}: query error: Application error")

    def entries(self) -> NoReturn:
        raise TableError(f"table {self.spec}: sequence error: Application error")
