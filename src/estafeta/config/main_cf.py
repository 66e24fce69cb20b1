"""main.cf as written: which parameter is set to what, and on which line.

Nothing is expanded or checked here; instance.py does that. Values keep bytes that are not UTF-8 as surrogate
escapes. Both configuration files share the notion of a logical line: a line that begins with white space continues
the one before, and comments and empty lines in between do not interrupt it (postconf(5), master(5)).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..base import verbose


class ConfigError(Exception):
    """A configuration that cannot be used. The text names file, line and remedy."""


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """`text` is joined without its line ends; `line` is the number of its first line, from 1."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """One `name = value`, in the order of the file."""

    name: str
    value: str
    line: int


@dataclass(slots=True)
class MainCf:
    """What one main.cf says. Holds plain data only, so it travels between processes."""

    directory: str
    path: str
    values: dict[str, str] = field(default_factory=dict)
    """Name -> text as written, the last assignment of each."""
    lines: dict[str, int] = field(default_factory=dict)
    assignments: list[Assignment] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """Remarks on the file itself, each with file and line."""

    def origin(self, name: str) -> str:
        """`/etc/postfix/main.cf, line 7`; the empty text when the file does not set it."""
        return f"{self.path}, line {self.lines[name]}" if name in self.lines else ""


def load_settings(directory: str) -> MainCf:
    """Read `main.cf` in `directory`. Raises ConfigError."""
    path = os.path.join(directory, "main.cf")
    verbose.tell(f"configuration directory: {directory}")
    found = parse_settings(read_text(path), directory)
    if verbose.level >= verbose.MORE:
        for each in found.assignments:
            verbose.tell(f"{path}, line {each.line}: {each.name} = {each.value}")
    return found


def parse_settings(text: str, directory: str = "/etc/postfix") -> MainCf:
    """`text` as if it were main.cf in `directory`. Raises ConfigError."""
    found = MainCf(directory, os.path.join(directory, "main.cf"))
    for logical in logical_lines(text, found.path, found.warnings):
        name, value = split_assignment(logical.text, f"{found.path}, line {logical.line}")
        if name in found.values:
            found.warnings.append(
                f"{found.path}, line {logical.line}: overriding earlier entry: {name}={found.values[name]}"
            )
        found.values[name] = value
        found.lines[name] = logical.line
        found.assignments.append(Assignment(name, value, logical.line))
    return found


def read_text(path: str) -> str:
    """A configuration file's text, odd bytes as surrogate escapes. Raises ConfigError."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            verbose.tell(f"open file {path}")
            return file.read()
    except OSError as reason:
        remedy = "make it, or name another directory with -c or MAIL_CONFIG"
        if isinstance(reason, PermissionError):
            remedy = "make it readable for the user that runs this program"
        raise ConfigError(f"open {path}: {reason.strerror}: {remedy}") from reason


def logical_lines(text: str, path: str, warnings: list[str]) -> Iterator[LogicalLine]:
    """The logical lines of `text`. A first line that begins with white space is left out, with a warning."""
    parts: list[str] = []
    first = 0
    for number, physical in enumerate(text.split("\n"), 1):
        stripped = physical.strip(" \t\r\f\v")
        if not stripped or stripped.startswith("#"):
            continue
        if physical[0] in " \t\r\f\v":
            if parts:
                parts.append(physical)
            else:
                warnings.append(
                    f'{path}: logical line must not start with whitespace: "{_short(physical)}": '
                    f"line {number} is ignored; remove the space before it"
                )
            continue
        if parts:
            yield LogicalLine("".join(parts), first)
        parts, first = [physical], number
    if parts:
        yield LogicalLine("".join(parts), first)


def split_assignment(text: str, where: str) -> tuple[str, str]:
    """`name = value` -> both, without the space around. Raises ConfigError, whose text begins with `where`."""
    name, equals, value = text.partition("=")
    name = name.strip()
    prefix = f"{where}: " if where else ""
    if not name:
        raise ConfigError(f'{prefix}missing attribute name: "{_short(text)}": write name = value')
    if not equals or len(name.split()) > 1:
        raise ConfigError(f"{prefix}missing '=' after attribute name: \"{_short(text)}\": write name = value")
    return name, value.strip()


def _short(text: str) -> str:
    return text if len(text) <= 100 else text[:100] + "..."
