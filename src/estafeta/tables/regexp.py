"""regexp: POSIX patterns, by the `regex` package; regexp_table(5)."""

from __future__ import annotations

import regex

from estafeta.tables.patterns import Groups, PatternError, PatternTable, Search, TooLong
from estafeta.tables.posix_regex import PosixError, translate

LONGEST_MATCH = 0.25
"""Seconds for one pattern on one text: far more than any sane pattern needs, short enough for the loop to survive."""


class RegexpTable(PatternTable):
    kind = "regexp"
    flag_letters = "imx"

    def compile(self, pattern: str, letters: str, *, groups_wanted: bool) -> tuple[Search, int]:
        on = {letter for letter in self.flag_letters if (letters.count(letter) % 2 == 1) != (letter in "ix")}
        flags = regex.V0 | regex.ASCII
        if "i" in on:
            flags |= regex.IGNORECASE
        if groups_wanted:
            # Leftmost-longest costs time, and only shows in the text of the groups.
            flags |= regex.POSIX
        try:
            octets = pattern.encode("utf-8", "surrogateescape").decode("latin-1")
            translated = translate(octets, extended="x" in on, newline="m" in on).encode("latin-1")
            compiled = regex.compile(translated, flags)
        except PosixError as error:
            raise PatternError(str(error)) from None
        except regex.error as error:
            raise PatternError(f"error in regex: {error}") from None

        def search(key: bytes) -> Groups | None:
            try:
                match = compiled.search(key, timeout=LONGEST_MATCH)
            except TimeoutError:
                raise TooLong from None
            return None if match is None else match.groups()

        return search, int(compiled.groups)
