"""Changes to main.cf and master.cf that leave everything else in them as it was.

Comments, order and layout are the administrator's: only the lines of the named entry change. Comments inside an
entry of several lines stay where they are. The new text is written beside the file, made durable and renamed into
place with the owner and mode of the old one, so that a reader sees the old file or the new one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ..base.durable import fsync_folder
from .main_cf import ConfigError, split_assignment


@dataclass(slots=True)
class Entry:
    """One logical line with the comments in between: physical lines with their ends."""

    lines: list[str]

    @property
    def text(self) -> str:
        """The logical line, joined."""
        return "".join(line.rstrip("\n") for line in self.lines if not is_filler(line))


Change = Callable[[str], list[str] | None]
"""Takes a logical line and returns the lines that replace it, [] to remove it, None to keep it."""


def is_filler(line: str) -> bool:
    """Whether a physical line is empty or a comment."""
    stripped = line.strip()
    return not stripped or stripped.startswith("#")


def entries(text: str) -> Iterator[str | Entry]:
    """Lines between entries as they are, and entries."""
    open_entry: Entry | None = None
    waiting: list[str] = []
    for line in text.splitlines(keepends=True):
        if is_filler(line):
            waiting.append(line)
        elif line[0].isspace() and open_entry:
            open_entry.lines += [*waiting, line]
            waiting = []
        else:
            if open_entry:
                yield open_entry
            yield from waiting
            waiting = []
            open_entry = None if line[0].isspace() else Entry([line])
            if open_entry is None:
                yield line
    if open_entry:
        yield open_entry
    yield from waiting


def edited(text: str, change: Change) -> str:
    """`text` with `change` applied to each entry. The last line gets its end if it lacks one."""
    result: list[str] = []
    for piece in entries(text):
        if isinstance(piece, str):
            result.append(piece)
            continue
        new = change(piece.text)
        if new is None:
            result += piece.lines
        else:
            result += [line + "\n" for line in new]
            result += [line for line in piece.lines if is_filler(line)]
    if result and not result[-1].endswith("\n"):
        result[-1] += "\n"
    return "".join(result)


def commented(text: str, chosen: Callable[[str], bool]) -> str:
    """`text` with a `#` before each line of the entries that `chosen` picks."""
    result: list[str] = []
    for piece in entries(text):
        if isinstance(piece, Entry) and chosen(piece.text):
            result += [line if is_filler(line) else "#" + line for line in piece.lines]
        else:
            result += [piece] if isinstance(piece, str) else piece.lines
    return "".join(result)


def set_parameters(text: str, values: Mapping[str, str]) -> str:
    """main.cf with each parameter set: in every place where it stands, or else at the end."""
    seen: set[str] = set()

    def change(logical: str) -> list[str] | None:
        name = _name_of(logical)
        if name not in values:
            return None
        seen.add(name)
        return [f"{name} = {values[name]}"]

    result = edited(text, change)
    return result + "".join(f"{name} = {value}\n" for name, value in values.items() if name not in seen)


def repeated_parameters(text: str, names: set[str]) -> list[str]:
    """Those of `names` that main.cf sets more than once."""
    found = [_name_of(piece.text) for piece in entries(text) if isinstance(piece, Entry)]
    return sorted(name for name in names if found.count(name) > 1)


def remove_parameters(text: str, names: set[str]) -> str:
    """main.cf without the entries of `names`."""
    return edited(text, lambda logical: [] if _name_of(logical) in names else None)


def comment_out_parameters(text: str, names: set[str]) -> str:
    """main.cf with the entries of `names` turned into comments."""
    return commented(text, lambda logical: _name_of(logical) in names)


def _name_of(logical: str) -> str:
    try:
        return split_assignment(logical, "")[0]
    except ConfigError:
        return ""  # a line that is no assignment is none of ours; reading the file reports it


def rewrite(path: str, change: Callable[[str], str]) -> None:
    """Replace the file `path` with `change` of its text. Raises ConfigError."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            before = file.read()
            status = os.fstat(file.fileno())
    except OSError as reason:
        raise ConfigError(f"open {path} for reading: {reason.strerror}: check the directory (-c)") from reason
    after = change(before)
    draft = f"{path}.{os.getpid()}.tmp"
    try:
        _write(draft, after, status)
        os.rename(draft, path)
        fsync_folder(os.path.dirname(path))
    except OSError as reason:
        if os.path.exists(draft):
            os.unlink(draft)
        raise ConfigError(f"write {path}: {reason.strerror}: the file is unchanged") from reason


def _write(draft: str, text: str, like: os.stat_result) -> None:
    fd = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with open(fd, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(fd, like.st_uid, like.st_gid)
        os.fchmod(fd, like.st_mode & 0o7777)
        file.write(text)
        file.flush()
        os.fsync(fd)
