"""How far postmap has come with a large source, on a terminal only: a line that is written over, and then removed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO

from estafeta.tables.source import Entry

PATIENCE = 1.0
"""Seconds before anything is shown, and between two looks."""
LOOK_EVERY = 4096
"""Entries between looks at the clock."""


def shown_progress(program: str, source: str, entries: Iterable[Entry], out: TextIO | None = None) -> Iterator[Entry]:
    """The entries, one after the other; what is said about them goes to `out`, standard error if None."""
    out = out or sys.stderr
    if not out.isatty():
        yield from entries
        return
    last, shown = time.monotonic(), ""
    for count, entry in enumerate(entries):
        if count % LOOK_EVERY == 0 and count:
            now = time.monotonic()
            if now - last >= PATIENCE:
                last, shown = now, f"{program}: {source}: {count:,} entries, line {entry.number:,}"
                out.write(f"\r\x1b[2m{shown}\x1b[0m\x1b[K")
                out.flush()
        yield entry
    if shown:
        out.write("\r\x1b[K")
        out.flush()
