"""inline: the entries stand in the configuration: `inline:{ key=value, { key = text with spaces }}`."""

from __future__ import annotations

from collections.abc import Iterator

from estafeta.tables.braces import BraceError, inside, members_of
from estafeta.tables.file_values import Unreadable, stored
from estafeta.tables.table import Flags, LoadedTable, TableError


class InlineTable(LoadedTable):
    constant = True

    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        self._flags = flags
        self._entries: dict[str, str] = {}
        for key, value in self._pairs(name):
            self._entries[flags.key(key)] = value  # the last of equal keys counts, as in Postfix
        if not self._entries:
            raise self._wrong("empty table")

    def lookup(self, key: str) -> str | None:
        return self._entries.get(self._flags.key(key))

    def entries(self) -> Iterator[tuple[str, str]]:
        return iter(self._entries.items())

    def _pairs(self, name: str) -> Iterator[tuple[str, str]]:
        members = members_of(name)
        if members is None or name == "{}":
            raise self._wrong("bad syntax")
        for member in members:
            text = member
            if member.startswith("{"):
                try:
                    text = inside(member)
                except BraceError as problem:
                    raise self._wrong(str(problem)) from None
                if not text:
                    raise self._wrong("no key found; expected format: key = value")
            key, equals, value = text.partition("=")
            if not equals:
                raise self._wrong("missing '=' after attribute name")
            try:
                yield key.strip(), stored(value.strip(), self._flags)
            except Unreadable as problem:
                raise self._wrong(str(problem)) from None

    def _wrong(self, problem: str) -> TableError:
        form = "filename" if self._flags.base64_files else "value"
        return TableError(f'{problem}: "{self.spec}"; need "inline:{{name={form}...}}"')
