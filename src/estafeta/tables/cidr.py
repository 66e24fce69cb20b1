"""cidr: network blocks and what to answer for the addresses in them; cidr_table(5). The first match counts.

A table without `if` and `!` is searched by prefix length, so that ten thousand blocks cost what ten do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from estafeta.base import log
from estafeta.base.networks import Network, NetworkError, number_of, parse_network
from estafeta.tables.file_values import Unreadable, stored
from estafeta.tables.source import SPACE, Watch, inline_rules, logical_lines, read_file
from estafeta.tables.table import Flags, LoadedTable


@dataclass(slots=True)
class Rule:
    """`skip_to`: for an `if`, where to go on when it does not hold."""

    network: Network
    negated: bool
    value: str | None
    skip_to: int = 0


class CidrTable(LoadedTable):
    indexed = False

    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        self._path = name
        lines = inline_rules(kind, name)
        self._watch: Watch | None = None
        if lines is None:
            lines, self._watch = read_file(name)
        self._rules = _parse(lines, name, flags)
        self._fast = _Fast(self._rules) if all(r.value is not None and not r.negated for r in self._rules) else None

    def lookup(self, key: str) -> str | None:
        address = number_of(key)
        if address is None:
            return None
        if self._fast is not None:
            return self._fast.lookup(address)
        rules, at = self._rules, 0
        while at < len(rules):
            rule = rules[at]
            # "not in 192.0.2.0/24" says nothing about an address of the other family
            holds = address[0] == rule.network.family and rule.network.covers(address) != rule.negated
            if holds and rule.value is not None:
                return rule.value
            at = at + 1 if holds or rule.value is not None else rule.skip_to
        return None

    def changed(self) -> bool:
        return self._watch is not None and self._watch.changed()


class _Fast:
    """Plain rules by family and prefix length; the lowest place in the table wins."""

    __slots__ = ("_by_family",)

    def __init__(self, rules: list[Rule]) -> None:
        self._by_family: dict[int, dict[int, dict[int, tuple[int, str]]]] = {4: {}, 6: {}}
        for place, rule in enumerate(rules):
            shift = (32 if rule.network.family == 4 else 128) - rule.network.length
            blocks = self._by_family[rule.network.family].setdefault(shift, {})
            blocks.setdefault(rule.network.prefix, (place, rule.value or ""))

    def lookup(self, address: tuple[int, int]) -> str | None:
        family, number = address
        best: tuple[int, str] | None = None
        for shift, blocks in self._by_family[family].items():
            found = blocks.get(number >> shift)
            if found is not None and (best is None or found < best):
                best = found
        return None if best is None else best[1]


class _SkipRule(Exception):
    """The rule is left out; the text is the warning, without its last words."""


def _parse(lines: list[str], name: str, flags: Flags) -> list[Rule]:
    rules: list[Rule] = []
    open_ifs: list[tuple[int, int]] = []  # (place in rules, line)
    for number, text in logical_lines(lines, name):
        try:
            _parse_line(rules, open_ifs, number, text, flags)
        except _SkipRule as problem:
            log.warning(f"cidr map {name}, line {number}: {problem}: skipping this rule")
    for place, number in reversed(open_ifs):
        log.warning(f"cidr map {name}, line {number}: IF has no matching ENDIF")
        rules[place].skip_to = len(rules)
    return rules


def _parse_line(rules: list[Rule], open_ifs: list[tuple[int, int]], number: int, text: str, flags: Flags) -> None:
    """Raises _SkipRule."""
    word = _KEYWORD.match(text)
    if word is None:
        negated, pattern_text = _negation(text)
        pattern, value = _first_word(pattern_text)
        network = _network(pattern)
        if not value:
            raise _SkipRule("no lookup result")
        try:
            rules.append(Rule(network, negated, stored(value, flags)))
        except Unreadable as problem:
            raise _SkipRule(str(problem)) from None
        return
    rest = text[word.end() :].strip(SPACE)
    if word[0].lower() == "if":
        negated, pattern = _negation(rest)
        rules.append(Rule(_network(pattern), negated, None))
        open_ifs.append((len(rules) - 1, number))
        return
    if rest:
        raise _SkipRule("garbage after ENDIF")
    if not open_ifs:
        raise _SkipRule("ENDIF without IF")
    place, _ = open_ifs.pop()
    rules[place].skip_to = len(rules)


_KEYWORD = re.compile(r"(?:if|endif)(?![A-Za-z0-9])", re.I)


def _negation(text: str) -> tuple[bool, str]:
    """`! !1.2.3.4` -> (False, "1.2.3.4")"""
    stripped = text.lstrip("!" + SPACE)
    return text[: len(text) - len(stripped)].count("!") % 2 == 1, stripped


def _network(pattern: str) -> Network:
    if not pattern:
        raise _SkipRule("no address pattern")
    try:
        return parse_network(pattern)
    except NetworkError as error:
        raise _SkipRule(str(error)) from None


def _first_word(text: str) -> tuple[str, str]:
    parts = text.split(None, 1)
    return (parts[0], parts[1].strip(SPACE) if len(parts) > 1 else "") if parts else ("", "")
