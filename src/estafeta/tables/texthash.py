"""texthash: a plain text file in postmap(1) form, read into memory. No index, no postmap run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from estafeta.base import log
from estafeta.tables.file_values import Unreadable, stored
from estafeta.tables.source import alias_entries, looks_like_aliases, map_entries, read_file
from estafeta.tables.table import Flags, LoadedTable, TableError


class TextHashTable(LoadedTable):
    """The whole table is a dict; the first of equal keys counts, as with an index."""

    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        self._path = name
        self._flags = flags
        try:
            lines, self._watch = read_file(name)
        except TableError as error:
            raise TableError(error.problem.replace("open ", "open database ", 1), error.remedy) from None
        # Postfix reads `key value` lines here whatever they are for; what is plainly an aliases file is taken as that.
        aliases = flags.aliases and looks_like_aliases(lines)
        self._entries = load(lines, name, replace(flags, aliases=aliases))

    def lookup(self, key: str) -> str | None:
        return self._entries.get(self._flags.key(key))

    def entries(self) -> Iterator[tuple[str, str]]:
        return iter(self._entries.items())

    def changed(self) -> bool:
        return self._watch.changed()


def load(lines: list[str], file: str, flags: Flags) -> dict[str, str]:
    """The entries of a source as a dict, with warnings for what is wrong or said twice."""
    entries: dict[str, str] = {}
    if flags.aliases:
        parsed = alias_entries(lines, file, utf8=flags.utf8)
    else:
        parsed = map_entries(lines, file, utf8=flags.utf8, note=" -- ignoring this line")
    for number, raw_key, value in parsed:
        key = flags.key(raw_key)
        if key in entries:
            log.warning(f'{file}, line {number}: duplicate entry: "{key}"')
            continue
        try:
            entries[key] = stored(value, flags)
        except Unreadable as problem:
            log.warning(f"{file}, line {number}: {problem}: skipping this entry")
    return entries
