"""A table of figures, by row and mail system, with ratios."""

from __future__ import annotations

import sys

from mta import Mta


class Results:
    """What was measured, by row and mail system; printed as a table with ratios."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._rows: dict[str, dict[str, float]] = {}
        self._more: set[str] = set()

    def add(self, mta: Mta, row: str, figure: float, *, more_is_better: bool = False) -> None:
        self._rows.setdefault(row, {})[mta.name] = figure
        if more_is_better:
            self._more.add(row)

    def show(self) -> None:
        print(f"{self.title}\n  {'':44}{'Postfix':>12}{'Estafeta':>12}{'ratio':>8}")
        for row, figures in self._rows.items():
            theirs, ours = figures.get("Postfix"), figures.get("Estafeta")
            ratio = ""
            if theirs and ours:
                ratio = f"{ours / theirs if row in self._more else theirs / ours:.2f}"
            print(f"  {row:44}{_figure(theirs):>12}{_figure(ours):>12}{ratio:>8}")
        sys.stdout.flush()


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
