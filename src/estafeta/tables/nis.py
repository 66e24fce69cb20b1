"""nis: maps of the Network Information Service, which stand in the default of alias_maps and which nobody has.

Without a NIS domain Postfix looks nothing up in them and says so; we have no NIS client at all, so that is always the
case here. An empty table, rather than one that fails: mail for local users must not wait for a service that is gone.
"""

from __future__ import annotations

from estafeta.base import log
from estafeta.tables.table import Flags, LoadedTable

_said: set[str] = set()


class NisTable(LoadedTable):
    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        if name not in _said:
            _said.add(name)
            log.warning(f"{self.spec}: NIS lookups are disabled: nothing is found there; take it out of main.cf")

    def lookup(self, key: str) -> str | None:
        return None
