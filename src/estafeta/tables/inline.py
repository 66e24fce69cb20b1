"""inline: the entries stand in the configuration: `inline:{ key=value, { key = text with spaces }}`."""

from __future__ import annotations

from collections.abc import Iterator

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
        members = braced_members(name)
        if not members:
            raise TableError(f'bad syntax: "{self.spec}"; {need}')
        for member in members:
            text = member[1:-1].strip() if member.startswith("{") and member.endswith("}") else member
            key, equals, value = text.partition("=")
            if not equals:
                raise TableError(f"missing '=' after attribute name: \"{self.spec}\"; {need}")
            yield key.strip(), value.strip()


def braced_members(name: str) -> list[str] | None:
    """`{ a, {b c} d }` -> ["a", "{b c}", "d"]; None if it is no braced list. Raises TableError on unmatched braces."""
    if not (name.startswith("{") and name.endswith("}") and len(name) > 1):
        return None
    members: list[str] = []
    word, depth = "", 0
    for char in name[1:-1]:
        if depth == 0 and (char.isspace() or char == ","):
            if word:
                members.append(word)
            word = ""
            continue
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth < 0:
            break
        word += char
    if depth:
        raise TableError(f'unbalanced braces in "{name}"', "close every brace")
    if word:
        members.append(word)
    return members
