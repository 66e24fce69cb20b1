"""What a lookup table is to those who ask it.

None means "not there"; `TableDown` means "ask later" and leads to a 4xx reply or a deferral, never to a
rejection. A table whose keys are patterns (regexp, pcre, cidr) sees only the whole address: the partial keys of
access(5) and transport(5) are tried only where `indexed` is true.
"""

from __future__ import annotations

from abc import ABC, abstractmethod


class TableDown(Exception):
    """The table cannot answer now. The text names the table and the reason."""


class TableError(Exception):
    """The table's name or content is wrong: names file, line and remedy."""


class Table(ABC):
    """One opened table; `spec` is its name as written, `type:name`."""

    spec: str
    indexed: bool = True
    """False where keys are patterns, so that partial keys make no sense."""

    @abstractmethod
    async def get(self, key: str) -> str | None:
        """The value for `key`, None if there is none. Case folding is the table's: indexed types fold to lower case.

        Raises TableDown when the answer cannot be had now.
        """

    def changed(self) -> bool:
        """Whether the source was replaced since it was opened, so that the holder should open it anew."""
        return False

    def close(self) -> None:  # noqa: B027 - most tables hold nothing to give back
        """Give back files and connections."""
