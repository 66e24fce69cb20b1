"""internal: a table in the memory of one process, empty when it starts.

It is meant for what a program remembers for itself (`address_verify_map = internal:`, tables/cache_store.py). Asked
as an ordinary lookup table it has nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from estafeta.tables.table import Flags, LoadedTable


class InternalTable(LoadedTable):
    constant = True

    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"

    def lookup(self, key: str) -> str | None:
        return None

    def entries(self) -> Iterator[tuple[str, str]]:
        return iter(())
