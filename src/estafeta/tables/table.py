"""What a lookup table is to those who ask it.

None means "not there"; `TableDown` means "ask later" and leads to a 4xx reply or a deferral, never to a
rejection. A table whose keys are patterns (regexp, pcre, cidr) sees only the whole address: the partial keys of
access(5) and transport(5) are tried only where `indexed` is true.
"""

from __future__ import annotations

import string
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn


class TableDown(Exception):
    """The table cannot answer now. The text names the table and the reason."""

    key: str = ""
    """What it was asked for, where that is not plain."""


class Misconfigured(TableDown):
    """As TableDown: what the table says makes no sense, and it has said so in the log."""


class TableError(Exception):
    """The table's name or content is wrong: names file, line and remedy.

    `problem` is what commands print, in Postfix's words; `remedy` says what to do about it.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}: {remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Flags:
    """How to open a table.

    fold: lower-case keys of indexed types. aliases: the source is in aliases(5) form, which matters when an
    index must be built from it. substitute: pattern tables may put parts of the key into the result (`$1`);
    off where the result decides about privileges (aliases, virtual mailbox owners).
    utf8: keys and values must be UTF-8. build: an index that is missing or out of date may be built here.
    trusted: the result decides about privileges, so a server that nobody vouches for (tcp, socketmap) is refused, and
    `proxy:` is passed over: the table is opened here in any case.
    base64_files: values are lists of files, kept as base64 (`postmap -F`).
    """

    fold: bool = True
    aliases: bool = False
    substitute: bool = True
    utf8: bool = True
    build: bool = True
    base64_files: bool = False
    trusted: bool = False

    def key(self, key: str) -> str:
        """The key as an indexed table with these flags keeps it."""
        if not self.fold:
            return key
        return fold(key) if self.utf8 or key.isascii() else key.translate(_ASCII_LOWER)


class Table(ABC):
    """One opened table; `spec` is its name as written, `type:name`."""

    spec: str = ""
    indexed: bool = True
    """False where keys are patterns, so that partial keys make no sense."""

    constant: bool = False
    """True where `get` never waits and the answers cannot change (static, inline)."""

    @abstractmethod
    async def get(self, key: str) -> str | None:
        """The value for `key`, None if there is none. Case folding is the table's: indexed types fold to lower case.

        Raises TableDown when the answer cannot be had now.
        """

    def entries(self) -> Iterator[tuple[str, str]]:
        """Every key with its value, in the table's own order. Raises TableError where the type cannot tell."""
        self._unsupported("sequence")

    def changed(self) -> bool:
        """Whether the source was replaced since it was opened, so that the holder should open it anew."""
        return False

    def close(self) -> None:  # noqa: B027 - most tables hold nothing to give back
        """Give back files and connections."""

    def _unsupported(self, operation: str) -> NoReturn:
        raise TableError(f"table {self.spec}: {operation} operation is not supported")


class LoadedTable(Table):
    """A table whose answers are in memory (or mapped into it): `lookup` never waits."""

    @abstractmethod
    def lookup(self, key: str) -> str | None:
        """As `get`, at once."""

    async def get(self, key: str) -> str | None:
        return self.lookup(key)


_ASCII_LOWER = {ord(upper): upper.lower() for upper in string.ascii_uppercase}


def fold(key: str) -> str:
    """The key as indexed tables keep it: case folded (RFC 6531 addresses fold as Unicode)."""
    return key.lower() if key.isascii() else key.casefold()
