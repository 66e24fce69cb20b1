"""A long build says on a terminal how far it is, and nowhere else."""

from __future__ import annotations

import io
import itertools

import pytest

from estafeta.commands import map_progress
from estafeta.tables.source import Entry

ENTRIES = [Entry(number, f"k{number}", "v") for number in range(1, 20_001)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count(step=2)
    monkeypatch.setattr(map_progress.time, "monotonic", lambda: next(ticks))
    terminal = Terminal()
    assert list(map_progress.shown_progress("postmap", "big", ENTRIES, terminal)) == ENTRIES
    assert "postmap: big: 4,096 entries, line 4,097" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_nothing_is_shown_elsewhere_or_for_a_short_source() -> None:
    file, terminal = io.StringIO(), Terminal()
    assert list(map_progress.shown_progress("postmap", "big", ENTRIES, file)) == ENTRIES
    assert list(map_progress.shown_progress("postmap", "small", ENTRIES[:10], terminal)) == ENTRIES[:10]
    assert file.getvalue() == terminal.getvalue() == ""
