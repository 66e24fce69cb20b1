"""master.cf: the services that master runs, one logical line each.

    service  type  private  unprivileged  chroot  wakeup  maxproc  command + arguments

`-` takes the default of a column. Arguments are separated by white space; `{ }` keeps one together that contains
some, and loses its braces. The options that every program knows (`-o`, `-v`, `-D`) are taken out of the
arguments here. master(5).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from .compatibility import chroot_default
from .instance import Config
from .main_cf import ConfigError, LogicalLine, logical_lines, read_text, split_assignment

TYPES = ("inet", "unix", "fifo", "pass", "unix-dgram")
COLUMNS = ("service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command")


@dataclass(slots=True)
class ServiceEntry:
    """One service. Booleans and numbers have their defaults filled in."""

    name: str
    type: str
    private: bool
    unprivileged: bool
    chroot: bool
    wakeup: int
    """Seconds between wake-up calls; 0 for none."""
    wakeup_always: bool
    """False when the time was written with `?`: no wake-up calls before the service was first used."""
    maxproc: int
    """The most clients served at the same time; 0 for no limit."""
    program: str
    args: list[str] = field(default_factory=list)
    """What is left of the arguments without the options -o, -v and -D."""
    overrides: dict[str, str] = field(default_factory=dict)
    verbose: int = 0
    debug: bool = False
    file: str = ""
    line: int = 0

    @property
    def where(self) -> str:
        return f"{self.file}, line {self.line}"

    @property
    def host(self) -> str:
        """Of an inet service: the address or name to listen on, without brackets; '' for inet_interfaces."""
        return split_host_port(self.name)[0]

    @property
    def port(self) -> str:
        """Of an inet service: a number or a service name."""
        return split_host_port(self.name)[1]


def load_services(directory: str, conf: Config | None = None) -> list[ServiceEntry]:
    """The services of `master.cf` in `directory`, the last of those with the same name and type.

    `conf` gives the defaults (read from the same directory when None). Raises ConfigError.
    """
    return [service_entry(row, conf or Config.load(directory)) for row in _last_of_each(load_rows(directory).rows)]


@dataclass(frozen=True, slots=True)
class Row:
    """One service as written: the seven columns and the words of the command."""

    columns: tuple[str, ...]
    command: tuple[str, ...]
    path: str
    line: int

    @property
    def key(self) -> str:
        """`smtp/inet`."""
        return f"{self.columns[0]}/{self.columns[1]}"

    @property
    def where(self) -> str:
        return f"{self.path}, line {self.line}"


@dataclass(slots=True)
class MasterCf:
    """All rows of one file, in order, repeated ones too."""

    path: str
    rows: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def load_rows(directory: str) -> MasterCf:
    """master.cf as written. Raises ConfigError."""
    path = os.path.join(directory, "master.cf")
    return parse_rows(read_text(path), path)


def parse_rows(text: str, path: str) -> MasterCf:
    """`text` as if it were the file `path`. Raises ConfigError."""
    found = MasterCf(path)
    seen: dict[str, Row] = {}
    for logical in logical_lines(text, path, found.warnings):
        row = parse_row(logical, path)
        if row.key in seen:
            found.warnings.append(
                f'{row.where}: duplicate entry for "{row.key}", which replaces the one in line {seen[row.key].line}; '
                "remove one of them"
            )
        seen[row.key] = row
        found.rows.append(row)
    return found


def parse_row(logical: LogicalLine, path: str) -> Row:
    """Check the columns of one logical line; line 0 is text that is in no file. Raises ConfigError."""
    where = f"{path}, line {logical.line}" if logical.line else path
    try:
        words = split_words(logical.text)
    except ValueError as reason:
        raise ConfigError(f"{where}: {reason}") from reason
    for place, column in enumerate(COLUMNS):
        if place >= len(words):
            raise ConfigError(f'{where}: bad field count: "{column}" is missing; a service has {len(COLUMNS)} columns')
    _check_columns(words, where)
    return Row(tuple(words[:7]), tuple(words[7:]), path, logical.line)


def _check_columns(words: list[str], where: str) -> None:
    kind = words[1]
    if kind not in TYPES:
        raise ConfigError(f'{where}: bad transport type: "{kind}": write one of {", ".join(TYPES)}')
    for column, value in zip(COLUMNS[2:5], words[2:5], strict=True):
        if value not in ("y", "n", "-"):
            raise ConfigError(f'{where}: field "{column}": bad value: "{value}": write y, n or -')
    wakeup = words[5].removesuffix("?")
    if wakeup != "-" and not (wakeup.isascii() and wakeup.isdigit()):
        raise ConfigError(f'{where}: field "wakeup": bad value: "{words[5]}": write seconds, or seconds with ?, or -')
    if words[6] != "-" and not (words[6].isascii() and words[6].isdigit()):
        raise ConfigError(f'{where}: field "process_limit": bad value: "{words[6]}": write a number or -')


def split_words(text: str) -> list[str]:
    """Split at white space, except inside braces. A word in braces loses them and the space beside them.

    Raises ValueError for a word that begins with a brace and does not end with its partner.
    """
    words: list[str] = []
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        end = _word_end(text, place)
        words.append(_unbraced(text[place:end]))
        place = end
    return words


def _word_end(text: str, place: int) -> int:
    depth = 0
    while place < len(text) and (depth or not text[place].isspace()):
        if text[place] == "{":
            depth += 1
        elif text[place] == "}" and depth:
            depth -= 1
        place += 1
    return place


def _unbraced(word: str) -> str:
    if not word.startswith("{"):
        return word
    depth = 0
    for place, char in enumerate(word):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth == 0:
            if place + 1 < len(word):
                raise ValueError(f"syntax error after '}}' in \"{word}\": put a space behind the brace")
            return word[1:-1].strip()
    raise ValueError(f"missing '}}' in \"{word}\"")


def service_entry(row: Row, conf: Config) -> ServiceEntry:
    """Fill in the defaults and take the common options out of the arguments. Raises ConfigError."""
    name, kind, private, unprivileged, chroot, wakeup, maxproc = row.columns
    if kind == "inet" and private != "n":
        raise ConfigError(f'{row.where}: inet service cannot be private: write n in the column "private" of {name}')
    if kind == "inet" and not split_host_port(name)[1]:
        raise ConfigError(f'{row.where}: missing service information in "{name}": write host:port or port')
    entry = ServiceEntry(
        name=name,
        type=kind,
        private=private != "n",
        unprivileged=unprivileged != "n",
        chroot=chroot == "y" or (chroot == "-" and chroot_default(conf)),
        wakeup=0 if wakeup == "-" else int(wakeup.removesuffix("?")),
        wakeup_always=not wakeup.endswith("?"),
        maxproc=conf.default_process_limit if maxproc == "-" else int(maxproc),
        program=row.command[0],
        file=row.path,
        line=row.line,
    )
    options = Options.taken_from(list(row.command[1:]), row.where)
    entry.args, entry.overrides = options.rest, options.overrides
    entry.verbose, entry.debug = options.verbose, options.debug
    return entry


@dataclass(slots=True)
class Options:
    """The options that mean the same to every program, and what is left."""

    overrides: dict[str, str] = field(default_factory=dict)
    verbose: int = 0
    debug: bool = False
    rest: list[str] = field(default_factory=list)

    @classmethod
    def taken_from(cls, words: list[str], where: str) -> Options:
        """Options stand before the first word that is none. Raises ConfigError."""
        found = cls()
        waiting = list(words)
        while waiting and waiting[0].startswith("-") and waiting[0] not in ("-", "--"):
            word = waiting.pop(0)
            found._take(word, waiting, where)
        found.rest += waiting
        return found

    def _take(self, word: str, waiting: list[str], where: str) -> None:
        if word.startswith("-o"):
            if word == "-o" and not waiting:
                raise ConfigError(f"{where}: no name=value behind -o")
            setting = word[2:].strip() if word != "-o" else waiting.pop(0)
            name, value = split_assignment(setting, where)
            self.overrides[name] = value
        elif word.strip("-vD") == "":
            self.verbose += word.count("v")
            self.debug = self.debug or "D" in word
        else:
            self.rest.append(word)


def split_host_port(name: str) -> tuple[str, str]:
    """`[::1]:25`, `::1:25`, `host:smtp`, `25` -> host ('' when not named) and port."""
    host, colon, port = name.rpartition(":")
    if not colon:
        return "", name
    return host.removeprefix("[").removesuffix("]"), port


def repeated(directory: str) -> list[Row]:
    """The rows that a later one for the same service replaces. Raises ConfigError."""
    rows = load_rows(directory).rows
    kept = _last_of_each(rows)
    return [row for row in rows if not any(row is each for each in kept)]


def _last_of_each(rows: list[Row]) -> list[Row]:
    last: Mapping[str, Row] = {row.key: row for row in rows}
    return [row for row in rows if last[row.key] is row]
