"""inline: the entries stand in the configuration: `inline:{ key=value, { key = text with spaces }}`."""

from __future__ import annotations

from collections.abc import Iterator

from estafeta.tables.braces import inside, members_of
from estafeta.tables.table import Flags, LoadedTable, TableError


class InlineTable(LoadedTable):
    constant = True

    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        self._flags = flags
        self._entries: dict[str, str] = {}
        for key, value in self._pairs(name):
            self._entries[flags.key(key)] = value  # the last of equal keys counts, as in Postfix

    def lookup(self, key: str) -> str | None:
        return self._entries.get(self._flags.key(key))

    def entries(self) -> Iterator[tuple[str, str]]:
        return iter(self._entries.items())

    def _pairs(self, name: str) -> Iterator[tuple[str, str]]:
        need = 'need "inline:{name=value...}"'
        members = members_of(name)
        if not members:
            raise TableError(f'bad syntax: "{self.spec}"; {need}')
        for member in members:
            text = member
            if member.startswith("{"):
                entry = inside(member)
                if entry is None:
                    raise TableError(f'syntax error after \'}}\' in "{member}": "{self.spec}"; {need}')
                text = entry
            key, equals, value = text.partition("=")
            if not equals:
                raise TableError(f"missing '=' after attribute name: \"{self.spec}\"; {need}")
            yield key.strip(), value.strip()
