"""The tables that one parameter names, asked in order.

Every daemon asks through here, so here is also where a changed table is noticed: at most once a second a table's
file is looked at, and when it was replaced it is opened aside; the old one stays in force if the new one is bad.
A table that cannot be opened at all does not stop the process: asking it raises TableDown until it is repaired,
so mail that needs it waits, and other mail flows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from estafeta.base import log
from estafeta.tables import settings
from estafeta.tables.index import open_table
from estafeta.tables.table import Flags, LoadedTable, Misconfigured, Table, TableDown, TableError

LOOK_AGAIN = 1.0
"""Seconds between looks at a table's file."""

Clock = Callable[[], float]

_when_stale: Callable[[str], None] | None = None


def when_stale(act: Callable[[str], None] | None) -> None:
    """For a process in a chroot, which sees that a table was replaced but cannot open it: call `act(spec)` then, once
    for each table, so that the process can ask to be replaced by a fresh one."""
    global _when_stale
    _when_stale = act


def report_stale(what: str) -> bool:
    """Tell the process that it cannot open what has changed. False where nobody wants to know: it is in no chroot."""
    if _when_stale is None:
        return False
    _when_stale(what)
    return True


class Broken(Table):
    """Stands in for a table that could not be opened. `changed` stays true, so that opening is tried again."""

    def __init__(self, spec: str, reason: str) -> None:
        self.spec = spec
        self.reason = reason

    async def get(self, key: str) -> str | None:
        raise TableDown(f"table {self.spec} is unavailable: {self.reason}")

    def changed(self) -> bool:
        return True


class Held:
    """One table in use, opened anew when it changes."""

    __slots__ = ("_clock", "_flags", "_looked", "_refused", "name", "spec", "table")

    def __init__(self, spec: str, flags: Flags, *, name: str = "", strict: bool = False, clock: Clock = time.monotonic):
        self.spec = spec
        self.name = name
        self._flags = flags
        self._clock = clock
        self._looked = clock()
        self._refused = ""
        self.table: Table
        try:
            self.table = open_table(spec, flags)
        except TableError as error:
            if strict or settings.in_force.open_error_is_fatal:
                raise
            log.error(str(error))
            self.table = Broken(spec, str(error))
            self._refused = str(error)

    def current(self) -> Table:
        """The table to ask now."""
        table = self.table
        if table.constant:
            return table
        now = self._clock()
        if now - self._looked >= LOOK_AGAIN:
            self._looked = now
            if table.changed():
                self._open_anew(table)
        return self.table

    def _open_anew(self, old: Table) -> None:
        try:
            shared = open_table(self.spec, self._flags)
            self.table = open_table(self.spec, self._flags, anew=True) if shared.changed() else shared
        except TableError as error:
            if str(error) == self._refused:
                return
            self._refused = str(error)
            if isinstance(old, Broken) or not report_stale(self.spec):
                log.warning(f"table {self.spec} has changed but cannot be opened, the old one stays in use: {error}")
            return
        self._refused = ""
        if isinstance(old, Broken):
            log.info(f"table {self.spec} is available again")


class Maps:
    """`Maps.open(conf.virtual_alias_maps, name="virtual_alias_maps")`; true if it names any table."""

    __slots__ = ("_held", "_only", "name")

    def __init__(self, held: Sequence[Held], name: str) -> None:
        self.name = name
        self._held = tuple(held)
        self._only = self._held[0] if len(self._held) == 1 else None

    @classmethod
    def open(
        cls,
        specs: Sequence[str],
        *,
        name: str,
        flags: Flags = Flags(),  # noqa: B008 - frozen
        strict: bool = False,
        clock: Clock = time.monotonic,
    ) -> Maps:
        """Open `specs` in order. `name` is the parameter's, for messages.

        A table that cannot be opened is logged as an error and answers TableDown from then on; with `strict`
        (a reload that must not replace what works) TableError is raised instead.
        """
        return cls([Held(spec, flags, name=name, strict=strict, clock=clock) for spec in specs], name)

    def __bool__(self) -> bool:
        return bool(self._held)

    @property
    def specs(self) -> tuple[str, ...]:
        return tuple(held.spec for held in self._held)

    async def get(self, key: str) -> str | None:
        """The first value found. Raises TableDown when a table that comes before a hit cannot answer."""
        return await self.find(key)

    async def find(self, key: str, *, partial: bool = False, empty: bool = False) -> str | None:
        """As `get`; a `partial` key (a parent domain, a bare local part) is put to indexed tables only.

        With `empty`, an empty key is put to pattern tables (indexed ones cannot hold one, and are never asked), and an
        empty value is a value as any other.
        """
        if not key and not empty:
            return None
        for held in self._held:
            table = held.current()
            if not key and table.indexed:
                continue
            if partial and not table.indexed:
                continue
            if isinstance(table, LoadedTable):
                value = table.lookup(key)
            else:
                value = await table.get(key)
            if value is None:
                continue
            if not value and not empty:
                # An empty value is a slip in the source: Postfix treats it as an error of configuration too.
                log.warning(f"{self.name} lookup of {key} returns an empty string result")
                log.warning(f"{self.name} should return NO RESULT in case of NOT FOUND")
                raise Misconfigured(f"{self.name}: {held.spec} has no value for {key!r}: write one, or remove the key")
            return value
        return None

    def find_now(self, key: str) -> str | None:
        """As `get`, for a place that cannot wait: files are asked, and TableDown is raised for a table that would have
        to be waited for (a server on the network)."""
        asking = self.find(key)
        try:
            asking.send(None)
        except StopIteration as done:
            found: str | None = done.value
            return found
        asking.close()
        raise TableDown(f"{self.name} names a table that must be waited for: use one that is a file, such as regexp:")

    def changed(self) -> bool:
        """Whether any table was replaced on disk; for a process in a chroot, which cannot open it anew itself."""
        return any(held.table.changed() for held in self._held if not isinstance(held.table, Broken))
