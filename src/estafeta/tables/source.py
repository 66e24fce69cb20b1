"""The text that tables are made from: logical lines, and the `key value` and `name: value` forms of a line.

A logical line starts with text and goes on over lines that start with white space; comments and empty lines are
passed over even inside it. Problems are warnings that name file and line, and the line is left out: one bad
line must not take the whole table away.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from estafeta.base import log
from estafeta.tables.braces import BraceError, inside, members_of
from estafeta.tables.table import TableError


class Line(NamedTuple):
    number: int
    """Where the logical line begins, from 1."""
    text: str


class Entry(NamedTuple):
    number: int
    key: str
    value: str


class Stamp(NamedTuple):
    """Which version of a file was read."""

    inode: int
    modified: int
    size: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_ino, status.st_mtime_ns, status.st_size)

    @classmethod
    def of_path(cls, path: str) -> Stamp | None:
        """None if the file cannot be seen."""
        try:
            return cls.of(os.stat(path))
        except OSError:
            return None


class Watch:
    """A file that was read, held open, so that its replacement shows even to a process in a chroot."""

    __slots__ = ("_fd", "path", "stamp")

    def __init__(self, path: str, fd: int) -> None:
        """`fd` is taken over."""
        self.path = path
        self._fd = fd
        self.stamp = Stamp.of(os.fstat(fd))

    @classmethod
    def of_path(cls, path: str) -> Watch | None:
        """None if the file cannot be opened."""
        try:
            return cls(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return None

    def changed(self) -> bool:
        """Whether the file was written to, or another has taken its place. A file that is gone has not changed."""
        held = os.fstat(self._fd)
        if held.st_nlink and Stamp.of(held) != self.stamp:
            return True
        seen = Stamp.of_path(self.path)
        if seen is None:
            return is_hidden(self.path) and not held.st_nlink
        return seen != self.stamp

    def __del__(self) -> None:
        os.close(self._fd)


def is_hidden(path: str) -> bool:
    """Whether not even the file's folder can be seen from here: a chroot."""
    return not os.path.isdir(os.path.dirname(path) or ".")


SPACE = " \t\r\n\f\v"


def logical_lines(lines: Iterable[str], file: str) -> Iterator[Line]:
    """Put continuation lines together. Trailing white space is stripped."""
    begun = 0
    parts: list[str] = []
    for number, raw in enumerate(lines, 1):
        stripped = raw.strip(SPACE)
        if not stripped or stripped.startswith("#"):
            continue
        if parts and raw[0] in SPACE:
            parts.append(raw.rstrip("\n"))
            continue
        if parts:
            yield from _joined(begun, parts, file)
        begun, parts = number, [raw.rstrip("\n")]
    if parts:
        yield from _joined(begun, parts, file)


def _joined(number: int, parts: list[str], file: str) -> Iterator[Line]:
    if parts[0][0] in SPACE:  # the first line of the file
        text = "".join(parts)
        log.warning(
            f'{file}: logical line must not start with whitespace: "{text[:30]}{"..." if len(text) > 30 else ""}"'
        )
        return
    yield Line(number, "".join(parts).rstrip(SPACE))


def read_file(path: str) -> tuple[list[str], Watch]:
    """A file's lines, and the watch over it. Raises TableError."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            watch = Watch(path, os.dup(file.fileno()))
            return file.read().split("\n"), watch
    except OSError as error:
        raise TableError(
            f"open {path}: {error.strerror}", "create the file, or take the table out of the configuration"
        ) from None


def inline_rules(kind: str, name: str) -> list[str] | None:
    """`{ {rule}, {rule} }` in place of a file name -> one line a rule; None if `name` is a file name.

    Raises TableError where the braces do not match.
    """
    if not name.startswith("{"):
        return None
    try:
        inside(name)
        return [inside(member) for member in members_of(name) or ()]
    except BraceError as problem:
        raise TableError(
            f"{kind} map: {problem}", "put every rule into braces, and all of them: { {rule}, {rule} }"
        ) from None


def is_utf8(text: str) -> bool:
    """Whether the bytes were UTF-8: surrogates stand for those that were not."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(text: str) -> str:
    """For a message: what cannot be printed as question marks."""
    return "".join(char if char.isprintable() else "?" for char in text)


ALIAS_LIKE = 'record is in "key: value" format; is this an alias file?'

_KEY_END = re.compile(r'(?:[^\s"\\]|\\.|"(?:[^"\\]|\\.)*"|\\$)*', re.S)


def map_entries(lines: Iterable[str], file: str, *, utf8: bool = True, note: str = "") -> Iterator[Entry]:
    """Lines in postmap(1) form: `key value`; a key with white space stands in double quotes, which stay part of it.

    `note` is what Postfix's texthash says in addition where postmap does not.
    """
    for number, text in logical_lines(lines, file):
        if utf8 and not is_utf8(text):
            log.warning(f'{file}, line {number}: non-UTF-8 input "{shown(text)}" -- ignoring this line')
            continue
        found = _KEY_END.match(text)
        end = found.end() if found else 0
        key, value = text[:end], text[end:].strip(SPACE)
        if text[end : end + 1] == '"':
            log.warning(f"{file}, line {number}: unbalanced '\"' in '{text}' -- ignoring this line")
            continue
        if not key or not value:
            log.warning(f"{file}, line {number}: expected format: key whitespace value{note}")
            continue
        if key.endswith(":"):
            log.warning(f"{file}, line {number}: {ALIAS_LIKE}")
        yield Entry(number, key, value)


def alias_entries(lines: Iterable[str], file: str, *, utf8: bool = True) -> Iterator[Entry]:
    """Lines in aliases(5) form: `name: value, value`. The name is a local part, in double quotes where it must be."""
    for number, text in logical_lines(lines, file):
        if utf8 and not is_utf8(text):
            log.warning(f'{file}, line {number}: non-UTF-8 input "{shown(text)}" -- ignoring this line')
            continue
        name, value = _split_alias(text)
        if not name or not value:
            log.warning(f"{file}, line {number}: need name:value pair")
            continue
        key = _alias_name(name)
        if key is None:
            log.warning(f"{file}, line {number}: name must be local")
            continue
        yield Entry(number, key, _alias_value(value))


_ALIAS_START = re.compile(r'("(?:[^"\\]|\\.)*"|[^\s:"]+)\s*:(?:[\s"|]|$)')
SAMPLE = 50


def looks_like_aliases(lines: Iterable[str]) -> bool:
    """Whether a source is in aliases(5) form, judged by its first lines: each begins with `name:`."""
    seen = 0
    for raw in lines:
        stripped = raw.strip(SPACE)
        if not stripped or stripped.startswith("#") or raw[0] in SPACE:
            continue
        if not _ALIAS_START.match(stripped):
            return False
        seen += 1
        if seen >= SAMPLE:
            break
    return seen > 0


_ALIAS_COLON = re.compile(r'((?:[^":\\]|\\.|"(?:[^"\\]|\\.)*")*):(.*)', re.S)
_ALIAS_TOKEN = re.compile(
    r"""(?P<quoted>"(?:[^"\\]|\\.)*"?)|(?P<comment>\([^()]*\))|(?P<literal>\[[^\]]*\]?)|(?P<comma>,)"""
    r"""|(?P<special>[<>@;:.!%])|(?P<space>\s+)|(?P<atom>(?:[^\s"(),<>@;:.\[!%\\]|\\.)+)|(?P<odd>.)""",
    re.S,
)
_WORDS = ("quoted", "comment", "literal", "atom", "odd")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.S)


def _split_alias(text: str) -> tuple[str, str]:
    found = _ALIAS_COLON.match(text)
    return (found[1].strip(SPACE), found[2].strip(SPACE)) if found else ("", "")


def _alias_name(text: str) -> str | None:
    """The name without its quotes; None if it has a domain."""
    if "@" in _QUOTED.sub("", text):
        return None
    plain = _QUOTED.sub(lambda quoted: re.sub(r"\\(.)", r"\1", quoted[1], flags=re.S), text)
    return " ".join(plain.split()) if '"' not in text else plain


def _alias_value(text: str) -> str:
    """The members as Postfix writes them: a space after each comma and between words, none around `@ . : ; !`."""
    out = ""
    before, apart = "", False
    for found in _ALIAS_TOKEN.finditer(text):
        kind, piece = found.lastgroup or "", found[0]
        if kind == "space":
            apart = True
            continue
        if kind == "comma":
            out, before, apart = out + ", ", "", False
            continue
        if before in _WORDS and (kind in _WORDS or piece == "<") and (apart or "comment" in (before, kind)):
            out += " "
        if kind == "quoted" and (len(piece) == 1 or not piece.endswith('"')):
            piece += '"'
        elif kind == "atom" and "\\" in piece:
            piece = _unescaped(piece)
        out += piece
        before, apart = kind, False
    return out


def _unescaped(atom: str) -> str:
    """`\\root` is root, `a\\,b` is "a,b"."""
    plain = re.sub(r"\\(.)", r"\1", atom, flags=re.S)
    return plain if re.fullmatch(r'[^\s"(),<>@;:.\[\]!%\\]*', plain) else '"' + re.sub(r'(["\\])', r"\\\1", plain) + '"'
