"""What postconf(1) changes: -e, -X and -# for main.cf, and with -M, -F or -P for master.cf."""

from __future__ import annotations

import os
from collections.abc import Callable

from ...config.edit import (
    comment_out_parameters,
    commented,
    edited,
    remove_parameters,
    repeated_parameters,
    rewrite,
    set_parameters,
)
from ...config.main_cf import ConfigError, LogicalLine, split_assignment
from ...config.master_cf import COLUMNS, Row, parse_row
from .options import Request, UsageError
from .services import service_lines

Warn = Callable[[str], None]

SHAPES = {
    "M": "-Me, -MX or -M# requires service_name/type",
    "F": "-Fe or -FX requires service_name/type/field_name",
    "P": "-Pe or -PX requires service_name/type/parameter",
}


def carry_out(request: Request, directory: str, warn: Warn) -> None:
    """Edit one of the files. Raises UsageError and ConfigError."""
    for text in request.names:
        if "\n" in text:
            raise UsageError("-e, -X, or -# accepts no multi-line input")
        if text.startswith("#"):
            raise UsageError("-e, -X, or -# accepts no comment input")
    if request.subject == "p":
        _main_cf(request, os.path.join(directory, "main.cf"), warn)
    else:
        _master_cf(request, os.path.join(directory, "master.cf"), warn)


def _main_cf(request: Request, path: str, warn: Warn) -> None:
    values = dict(_assignment(text) for text in request.names) if request.change == "e" else {}
    names = set(values or request.names)

    def change(text: str) -> str:
        for name in repeated_parameters(text, names):
            warn(f'{path}: multiple entries for "{name}"')
        if request.change == "X":
            return remove_parameters(text, names)
        if request.change == "#":
            return comment_out_parameters(text, names)
        return set_parameters(text, values)

    rewrite(path, change)


def _assignment(text: str) -> tuple[str, str]:
    try:
        return split_assignment(text, "")
    except ConfigError as reason:
        raise UsageError(str(reason)) from reason


def _master_cf(request: Request, path: str, warn: Warn) -> None:
    """One pass for each argument, so that later arguments see what earlier ones did; one file replacement for all."""
    edits = [_edit(request, text, warn) for text in request.names]

    def change(text: str) -> str:
        for edit in edits:
            text = edit(text, path)
        return text

    rewrite(path, change)


Edit = Callable[[str, str], str]


def _edit(request: Request, argument: str, warn: Warn) -> Edit:
    target, value = _assignment(argument) if request.change == "e" else (argument, "")
    parts = target.split("/")
    if len(parts) != (2 if request.subject == "M" else 3):
        raise UsageError(SHAPES[request.subject])
    chosen = _Chosen(parts[0], parts[1])
    if request.subject == "M":
        if request.change == "#":
            return lambda text, path: commented(text, lambda logical: chosen(logical, path) is not None)
        return lambda text, path: _replace_service(text, path, chosen, value, remove=request.change == "X")
    if request.subject == "F":
        if parts[2] not in COLUMNS:
            raise UsageError(f'invalid service attribute name: "{parts[2]}"')
        return lambda text, path: _each(
            text, path, chosen, lambda row: _with_field(row, parts[2], value), argument, warn
        )
    if any(char.isspace() for char in value):
        raise UsageError("-Pe does not accept whitespace in parameter value")
    setting = None if request.change == "X" else f"{parts[2]}={value}"
    return lambda text, path: _each(
        text, path, chosen, lambda row: _with_setting(row, parts[2], setting), argument, warn
    )


class _Chosen:
    """Picks the services that `name/type` names; `*` for any."""

    def __init__(self, name: str, kind: str) -> None:
        self.name, self.kind = name, kind

    def __call__(self, logical: str, path: str) -> Row | None:
        row = parse_row(LogicalLine(logical, 0), path)
        fits = self.name in ("*", row.columns[0]) and self.kind in ("*", row.columns[1])
        return row if fits else None


def _replace_service(text: str, path: str, chosen: _Chosen, value: str, *, remove: bool) -> str:
    """The first service that matches becomes `value`, others that match go; without a match it goes to the end."""
    new = [] if remove else _lines(parse_row(LogicalLine(value, 0), "the new entry"))
    done = remove

    def change(logical: str) -> list[str] | None:
        nonlocal done
        if chosen(logical, path) is None:
            return None
        if done:
            return []
        done = True
        return new

    result = edited(text, change)
    return result if done else result + "".join(line + "\n" for line in new)


def _each(text: str, path: str, chosen: _Chosen, change_row: Callable[[Row], Row], argument: str, warn: Warn) -> str:
    matched = False

    def change(logical: str) -> list[str] | None:
        nonlocal matched
        row = chosen(logical, path)
        if row is None:
            return None
        matched = True
        return _lines(change_row(row))

    result = edited(text, change)
    if not matched:
        warn(f'unmatched service_name/type: "{argument}"')
    return result


def _with_field(row: Row, column: str, value: str) -> Row:
    """Checked by writing the line and reading it again. Raises ConfigError."""
    fields = list(row.columns)
    command = row.command
    if column == "command":
        return parse_row(LogicalLine(" ".join([*fields, value]), 0), f"{row.key}/{column}")
    fields[COLUMNS.index(column)] = value
    changed = Row(tuple(fields), command, row.path, row.line)
    parse_row(LogicalLine(" ".join([*fields, command[0]]), 0), f"{row.key}/{column}")
    return changed


def _with_setting(row: Row, name: str, setting: str | None) -> Row:
    """The service with `-o setting` in place of its settings of `name`, or without them when None."""
    words: list[str] = [row.command[0]]
    waiting = list(row.command[1:])
    placed = setting is None
    while waiting and waiting[0].startswith("-"):
        word = waiting.pop(0)
        text = waiting.pop(0) if word == "-o" and waiting else word[2:] if word.startswith("-o") else ""
        if not text or text.partition("=")[0].strip() != name:
            words += [word] if word != "-o" else [word, text]
        elif not placed and setting is not None:
            words += ["-o", setting]
            placed = True
    if not placed and setting is not None:
        words += ["-o", setting]
    return Row(row.columns, tuple(words + waiting), row.path, row.line)


def _lines(row: Row) -> list[str]:
    return service_lines(row.columns, list(row.command), fold=True).split("\n")
