"""The file of a source with several settings (`sql:FILE`, `oauth2:FILE`): `name = value` lines, as in main.cf.

Read once, before privileges are dropped, so it may hold a password and be readable to root alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from estafeta.base import log
from estafeta.tables.source import logical_lines

LARGEST = 1 << 20


def read(path: str, defaults: Mapping[str, str]) -> dict[str, str]:
    """Every name of `defaults` with its value. A name that is not among them is a warning. Raises ValueError, with the
    remedy, where the file cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(LARGEST)
    except OSError as error:
        raise ValueError(
            f"open {path}: {error.strerror}: write the settings of this source there, lines name = value "
            f"({', '.join(list(defaults)[:4])} ...; docs/accounts.md)"
        ) from None
    values = dict(defaults)
    for number, line in logical_lines(text.split("\n"), path):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not name:
            log.warning(f"{path}, line {number}: expected name = value -- ignoring this line")
        elif name not in defaults:
            log.warning(f"{path}, line {number}: unknown setting {name}: write one of {', '.join(defaults)}")
        else:
            values[name] = value
    return values


def duration(text: str, name: str, path: str) -> float:
    """Seconds: a number, with s, m, h or d perhaps. Raises ValueError with the remedy."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        value = float(number) * units[unit]
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise ValueError(f"{path}: {name} = {text}: write a time such as 10s")
    return value
