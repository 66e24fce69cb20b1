"""The files that one run of postconf(1) reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from ...config.main_cf import MainCf, load_settings
from ...config.master_cf import MasterCf, Row, load_rows
from ...config.texts import Texts


@dataclass(slots=True)
class Sources:
    """Both files, as text."""

    directory: str
    texts: Texts
    master: MasterCf
    warn: Callable[[str], None]

    @property
    def rows(self) -> list[Row]:
        return self.master.rows


def read(
    directory: str, overrides: dict[str, str], warn: Callable[[str], None], *, defaults: bool, services: bool
) -> Sources:
    """`defaults`: main.cf is not looked at. `services`: master.cf has to be there. Raises ConfigError."""
    settings = MainCf(directory, os.path.join(directory, "main.cf")) if defaults else load_settings(directory)
    settings.values |= overrides
    for text in settings.warnings:
        warn(text)
    master = MasterCf(os.path.join(directory, "master.cf"))
    if services or os.path.exists(master.path):
        master = load_rows(directory)
    else:
        warn(f"open {master.path}: No such file or directory")
    for text in master.warnings:
        warn(text)
    return Sources(directory, Texts(settings), master, warn)
