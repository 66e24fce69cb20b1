"""What regexp and pcre tables share: the rules of the file, `if` and `endif`, and `$1` in results.

    /pattern/flags result        !/pattern/flags result        if /pattern/flags ... endif

The first rule that matches answers. A rule that makes no sense is left out with a warning that names its line.
A stranger chooses the text that is matched, so every match has a limit; running into it is "ask later".
Patterns see bytes, as in Postfix: `.` is one byte of a UTF-8 letter, and only ASCII letters have two cases.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from estafeta.base import log
from estafeta.tables.file_values import Unreadable, stored
from estafeta.tables.source import SPACE, Watch, inline_rules, is_utf8, logical_lines, read_file
from estafeta.tables.table import Flags, LoadedTable, TableDown

Groups = Sequence[bytes | None]
Search = Callable[[bytes], Groups | None]
"""What the groups match where the pattern matches, else None. Raises TooLong."""

Template = tuple[str | int, ...]
"""A result: texts, and numbers of groups."""


class TooLong(Exception):
    """A match ran into its limit."""


class PatternError(Exception):
    """The pattern cannot be compiled; the text is the library's reason."""


class SkipRule(Exception):
    """The rule is left out; the text is the warning."""


@dataclass(slots=True)
class Rule:
    """`template` None: an `if`, with the place to go on at when it does not hold."""

    number: int
    search: Search
    negated: bool
    template: Template | None
    skip_to: int = 0


class PatternTable(LoadedTable):
    """`kind` is `regexp` or `pcre`; the subclass compiles."""

    indexed = False
    kind = ""
    flag_letters = ""
    obsolete_letters = ""
    """Of these: they have no effect, and a warning says so."""
    unclosed = "skipping"
    out_of_range = "out-of-range"

    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        self._name = name
        self._flags = flags
        lines = inline_rules(kind, name)
        self._watch: Watch | None = None
        if lines is None:
            lines, self._watch = read_file(name)
        self._rules = self._parse(lines)

    @abstractmethod
    def compile(self, pattern: str, letters: str, *, groups_wanted: bool) -> tuple[Search, int]:
        """A search and the number of groups. `groups_wanted`: their text will be asked for. Raises PatternError."""

    def lookup(self, key: str) -> str | None:
        if self._flags.utf8 and not is_utf8(key):
            return None
        rules, at = self._rules, 0
        raw = key.encode("utf-8", "surrogateescape")
        try:
            while at < len(rules):
                rule = rules[at]
                groups = rule.search(raw)
                holds = (groups is not None) != rule.negated
                if rule.template is None:
                    at = at + 1 if holds else rule.skip_to
                    continue
                if holds:
                    return _fill(rule.template, groups)
                at += 1
        except TooLong:
            where = f"{self.kind} map {self._name}, line {rules[at].number}"
            log.warning(f"{where}: backtracking limit exceeded: write a pattern that needs less trying")
            raise TableDown(f"{where}: backtracking limit exceeded") from None
        return None

    def changed(self) -> bool:
        return self._watch is not None and self._watch.changed()

    def _parse(self, lines: list[str]) -> list[Rule]:
        rules: list[Rule] = []
        open_ifs: list[int] = []
        for number, text in logical_lines(lines, self._name):
            try:
                self._parse_line(rules, open_ifs, number, text)
            except SkipRule as skip:
                self._warn(number, str(skip))
        for place in reversed(open_ifs):
            self._warn(rules[place].number, "IF has no matching ENDIF")
            rules[place].skip_to = len(rules)
        return rules

    def _parse_line(self, rules: list[Rule], open_ifs: list[int], number: int, text: str) -> None:
        word = _LEADING_WORD.match(text)
        if word is None:
            rules.append(self._rule(number, text))
            return
        keyword, rest = word[0].lower(), text[word.end() :].strip(SPACE)
        if keyword == "endif":
            if not open_ifs:
                raise SkipRule("ignoring ENDIF without matching IF")
            if rest:
                self._warn(number, "ignoring extra text after ENDIF")
            rules[open_ifs.pop()].skip_to = len(rules)
        elif keyword == "if":
            rules.append(self._condition(number, rest))
            open_ifs.append(len(rules) - 1)
        else:
            raise SkipRule("ignoring unrecognized request")

    def _rule(self, number: int, text: str) -> Rule:
        pattern, letters, negated, result = self._split(number, text)
        if not result:
            self._warn(number, "no replacement text: using empty string")
        template = self._template_or_files(result)
        wanted = any(isinstance(part, int) for part in template)
        if wanted and negated:
            raise SkipRule("$number found in negative match replacement text: skipping this rule")
        if wanted and not self._flags.substitute:
            raise SkipRule("regular expression substitution is not allowed: skipping this rule")
        search, groups = self._compiled(pattern, letters, wanted)
        highest = max((part for part in template if isinstance(part, int)), default=0)
        if highest > groups:
            raise SkipRule(f'out of range replacement index "{highest}": skipping this rule')
        return Rule(number, search, negated, template)

    def _condition(self, number: int, text: str) -> Rule:
        pattern, letters, negated, extra = self._split(number, text)
        if extra:
            self._warn(number, f'ignoring extra text after IF statement: "{extra}"')
            self._warn(number, "do not prepend whitespace to statements between IF and ENDIF")
        search, _ = self._compiled(pattern, letters, False)
        return Rule(number, search, negated, None)

    def _compiled(self, pattern: str, letters: str, groups_wanted: bool) -> tuple[Search, int]:
        try:
            return self.compile(pattern, letters, groups_wanted=groups_wanted)
        except PatternError as error:
            raise SkipRule(str(error)) from None

    def _split(self, number: int, text: str) -> tuple[str, str, bool, str]:
        """`!/pattern/flags rest` -> (pattern, flags, negated, rest)."""
        stripped = text.lstrip("!" + SPACE)
        negated = text[: len(text) - len(stripped)].count("!") % 2 == 1
        if not stripped:
            raise SkipRule("no regexp: skipping this rule")
        delimiter, at = stripped[0], 1
        while at < len(stripped) and stripped[at] != delimiter:
            at += 2 if stripped[at] == "\\" else 1
        if at >= len(stripped):
            raise SkipRule(f'no closing regexp delimiter "{delimiter}": {self.unclosed} this rule')
        letters, _, rest = stripped[at + 1 :].replace("\t", " ").partition(" ")
        rest = stripped[at + 1 + len(letters) :].strip(SPACE)
        for letter in letters:
            if letter not in self.flag_letters:
                raise SkipRule(f'unknown regexp option "{letter if letter.isascii() else "?"}": skipping this rule')
            if letter in self.obsolete_letters:
                self._warn(number, f'ignoring obsolete regexp option "{letter}"')
        return stripped[1:at], letters, negated, rest

    def _template_or_files(self, text: str) -> Template:
        if not self._flags.base64_files:
            return self._template(text)
        try:
            return (stored(text, self._flags),)
        except Unreadable as problem:
            raise SkipRule(f"{problem}: skipping this rule") from None

    def _template(self, text: str) -> Template:
        if "$" not in text:
            return (text,)
        parts: list[str | int] = []
        at = 0
        while at < len(text):
            found = _MACRO.search(text, at)
            if found is None:
                parts.append(text[at:])
                break
            parts.append(text[at : found.start()])
            parts.append(self._macro(text, found))
            at = found.end()
        return tuple(part for part in parts if part != "")

    def _macro(self, text: str, found: re.Match[str]) -> str | int:
        if found[0] == "$$":
            return "$"
        name = found["braced"] if found["braced"] is not None else found["inparens"]
        if name is None:
            name = found["bare"]
            if name is None:
                truncated = text[found.end() : found.end() + 1] in ("{", "(")
                log.warning(f'truncated macro reference: "{text}"' if truncated else f'empty macro name: "{text}"')
                raise SkipRule("bad replacement syntax: skipping this rule")
        if not name:
            log.warning(f'empty macro name: "{text}"')
            raise SkipRule("bad replacement syntax: skipping this rule")
        if not (name.isascii() and name.isdigit()):
            raise SkipRule(f'non-numeric replacement index "{name}"')
        if int(name[:6]) < 1:
            raise SkipRule(f'{self.out_of_range} replacement index "{name}"')
        return int(name[:6])

    def _warn(self, number: int, problem: str) -> None:
        log.warning(f"{self.kind} map {self._name}, line {number}: {problem}")
        if problem.endswith('"') and "replacement index" in problem:
            log.warning(f"{self.kind} map {self._name}, line {number}: bad replacement syntax: skipping this rule")


_LEADING_WORD = re.compile(r"[A-Za-z0-9]+")
_MACRO = re.compile(r"\$(?:\$|\{(?P<braced>[^{}]*)\}|\((?P<inparens>[^()]*)\)|(?P<bare>\w+)|)", re.ASCII)


def _fill(template: Template, groups: Groups | None) -> str:
    if len(template) == 1 and isinstance(template[0], str):
        return template[0]
    known = groups or ()
    parts = (
        part if isinstance(part, str) else (known[part - 1] or b"").decode("utf-8", "surrogateescape")
        for part in template
    )
    return "".join(parts)
