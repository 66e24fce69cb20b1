"""pcre: Perl-compatible patterns, by the PCRE2 library; pcre_table(5).

How much a match may try is limited in the pattern itself, so that it is the library that stops.
"""

from __future__ import annotations

import re
from typing import Any

from estafeta.tables.patterns import Groups, PatternError, PatternTable, Search, TooLong
from estafeta.tables.table import Flags, TableError

try:
    import pcre2
except ImportError:  # an extra: a site without pcre tables does not need it
    pcre2 = None

MATCH_LIMIT = 1_000_000
"""Steps of the matcher: some milliseconds. The library's own default is ten times that."""

LIMIT = f"(*LIMIT_MATCH={MATCH_LIMIT})"

_START_VERBS = re.compile(r"(?:\(\*[A-Z_0-9]+(?:=\d+)?\))*")
_DOLLAR = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\[[:.=].*?[:.=]\]|\\.|[^\]\\])*\]|(\$)", re.S)


class PcreTable(PatternTable):
    kind = "pcre"
    flag_letters = "imsxAEUX"
    obsolete_letters = "X"
    unclosed = "ignoring"
    out_of_range = "out of range"

    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        if pcre2 is None:
            raise TableError(
                f"unsupported dictionary type: {kind}", "install the library it needs: pip install 'estafeta[pcre]'"
            )
        super().__init__(kind, name, flags)

    def compile(self, pattern: str, letters: str, *, groups_wanted: bool) -> tuple[Search, int]:
        on = {letter for letter in self.flag_letters if (letters.count(letter) % 2 == 1) != (letter in "is")}
        flags = 0
        for letter, flag in (("i", pcre2.I), ("m", pcre2.M), ("s", pcre2.S), ("x", pcre2.VERBOSE)):
            flags |= flag if letter in on else 0
        found = _START_VERBS.match(pattern)
        verbs = found[0] if found else ""
        body = pattern[len(verbs) :]
        if "E" in on and "m" not in on:
            body = _DOLLAR.sub(lambda match: r"\z" if match[1] else match[0], body)
        before = LIMIT + verbs + (r"\G" if "A" in on else "") + ("(?U)" if "U" in on else "")
        if "A" in on:
            before, body = before + "(?:", body + ")"
        compiled = self._library(before + body, flags, shift=len(before) - len(verbs))
        return _search(compiled), int(compiled.groups)

    def _library(self, pattern: str, flags: int, shift: int) -> Any:
        try:
            return pcre2.compile(pattern.encode("utf-8", "surrogateescape"), flags)
        except pcre2.PatternError as error:
            reason = str(error.msg).partition("; ")[2] or str(error.msg)
            raise PatternError(f"error in regex at offset {max(0, error.pos - shift)}: {reason}") from None


def _search(compiled: Any) -> Search:
    def search(key: bytes) -> Groups | None:
        try:
            match = compiled.search(key)
        except pcre2.LibraryError as error:
            raise TooLong(str(error)) from None
        return None if match is None else match.groups()

    return search
