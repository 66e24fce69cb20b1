"""POSIX regular expressions (regex(7)) in the words of the `regex` package.

The package knows leftmost-longest matching, but not POSIX syntax: bracket expressions, literal backslash
escapes, basic expressions, anchors that know no line ends. This module translates, and refuses what the C library
refuses, in its words, as an admin who moves here knows them. GNU's additions (`\\w \\b \\< \\1`) work as there.
"""

from __future__ import annotations

import string

MOST_REPEATS = 32767
DEEPEST = 50
"""Groups within groups."""

BAD_REPEAT = "Invalid preceding regular expression"
UNCLOSED_BRACKET = "Unmatched [, [^, [:, [., or [="
UNCLOSED_GROUP = "Unmatched ( or \\("
UNCLOSED_BRACE = "Unmatched \\{"
BAD_BRACE = "Invalid content of \\{\\}"
TOO_BIG = "Regular expression too big"

CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r"\t\x20",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "space": r"\t-\r\x20",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}

ESCAPES = {
    "w": r"\w",
    "W": r"\W",
    "s": r"\s",
    "S": r"\S",
    "b": r"\b",
    "B": r"\B",
    "<": r"\b(?=\w)",
    ">": r"\b(?<=\w)",
    "`": r"\A",
    "'": r"\Z",
}


class PosixError(ValueError):
    """The expression is wrong; the text is the C library's."""


def translate(pattern: str, *, extended: bool, newline: bool) -> str:
    """The same expression for `regex.compile`. `newline`: `^`, `$` and `.` know line ends (REG_NEWLINE).

    Raises PosixError.
    """
    return _Translator(pattern, extended, newline).whole()


class _Translator:
    """A walk over the pattern, one method per level of the grammar."""

    def __init__(self, pattern: str, extended: bool, newline: bool) -> None:
        self.text = pattern
        self.at = 0
        self.extended = extended
        self.newline = newline
        self.opened = 0
        self.closed: set[int] = set()

    def whole(self) -> str:
        return self._alternatives(0)

    def _sees(self, operator: str) -> bool:
        """Whether `operator` stands here, with the backslash that basic expressions want before it."""
        return self.text.startswith(operator if self.extended else "\\" + operator, self.at)

    def _take(self, operator: str) -> bool:
        if not self._sees(operator):
            return False
        self.at += len(operator) + (0 if self.extended else 1)
        return True

    def _alternatives(self, depth: int) -> str:
        branches = [self._branch(depth)]
        while self._take("|"):
            branches.append(self._branch(depth))
        return "|".join(branches)

    def _branch(self, depth: int) -> str:
        pieces: list[str] = []
        while self.at < len(self.text) and not self._sees("|") and not (depth and self._sees(")")):
            pieces.append(self._piece(depth, first=not pieces))
        return "".join(pieces)

    def _piece(self, depth: int, *, first: bool) -> str:
        anchor = self._anchor(depth, first)
        if anchor is not None:
            if self.extended and self._quantifier_here():
                raise PosixError(BAD_REPEAT)
            if not self.extended and self.text.startswith("*", self.at):
                self.at += 1
                return anchor + r"\*"
            return anchor
        if self._quantifier_here():
            if self.extended:
                raise PosixError(BAD_REPEAT)
            if first and self.text[self.at] == "*":
                self.at += 1
                return self._quantified(r"\*")
            if first:
                raise PosixError(BAD_REPEAT)
        return self._quantified(self._atom(depth))

    def _anchor(self, depth: int, first: bool) -> str | None:
        char = self.text[self.at]
        if char == "^" and (self.extended or first):
            self.at += 1
            return "(?m:^)" if self.newline else r"\A"
        if char == "$" and (self.extended or self._ends_branch(depth)):
            self.at += 1
            return "(?m:$)" if self.newline else r"\Z"
        return None

    def _ends_branch(self, depth: int) -> bool:
        rest = self.text[self.at + 1 :]
        return not rest or rest.startswith("\\|") or (depth > 0 and rest.startswith("\\)"))

    def _atom(self, depth: int) -> str:
        if self._take("("):
            return self._group(depth)
        char = self.text[self.at]
        self.at += 1
        if char == "[":
            return self._bracket()
        if char == ".":
            return r"[^\n]" if self.newline else "(?s:.)"
        if char == "\\":
            return self._escape()
        return _literal(char)

    def _group(self, depth: int) -> str:
        if depth >= DEEPEST:
            raise PosixError(TOO_BIG)
        self.opened += 1
        number = self.opened
        inside = self._alternatives(depth + 1)
        if not self._take(")"):
            raise PosixError(UNCLOSED_GROUP)
        self.closed.add(number)
        return f"({inside})"

    def _escape(self) -> str:
        if self.at >= len(self.text):
            raise PosixError("Trailing backslash")
        char = self.text[self.at]
        self.at += 1
        if char in "123456789":
            if int(char) not in self.closed:
                raise PosixError("Invalid back reference")
            return f"(?:\\{char})"
        return ESCAPES.get(char) or _literal(char)

    def _quantifier_here(self) -> bool:
        if self.text.startswith("*", self.at):
            return True
        return self._sees("+") or self._sees("?") or self._sees("{")

    def _quantified(self, atom: str) -> str:
        times = 0
        while self.at < len(self.text) and self._quantifier_here():
            if times:
                atom = f"(?:{atom})"
            atom += self._quantifier()
            times += 1
        return atom

    def _quantifier(self) -> str:
        if self.text.startswith("*", self.at):
            self.at += 1
            return "*"
        for operator in "+?":
            if self._take(operator):
                return operator
        self._take("{")
        end = self.text.find("}" if self.extended else "\\}", self.at)
        if end < 0:
            raise PosixError(UNCLOSED_BRACE)
        least, comma, most = self.text[self.at : end].partition(",")
        self.at = end + (1 if self.extended else 2)
        if not all(part.isascii() and part.isdigit() for part in (least, most) if part) or not (least or comma):
            raise PosixError(BAD_BRACE)
        low = int(least or "0")
        high = int(most) if most else None
        if max(low, high or 0) > MOST_REPEATS:
            raise PosixError(TOO_BIG)
        if high is not None and low > high:
            raise PosixError(BAD_BRACE)
        if not comma:
            return f"{{{low}}}"
        return f"{{{low},{'' if high is None else high}}}"

    def _bracket(self) -> str:
        negated = self.text.startswith("^", self.at)
        self.at += negated
        members: list[str] = []
        begin = self.at
        while True:
            if self.at >= len(self.text):
                raise PosixError(UNCLOSED_BRACKET)
            if self.text[self.at] == "]" and self.at > begin:
                self.at += 1
                break
            members.append(self._member())
        if negated and self.newline:
            members.append(r"\n")
        return f"[{'^' if negated else ''}{''.join(members)}]"

    def _member(self) -> str:
        if self.text.startswith("[:", self.at):
            name = self._named(":")
            if name not in CLASSES:
                raise PosixError("Invalid character class name")
            return CLASSES[name]
        if self.text.startswith("[=", self.at):
            return _escaped(_one(self._named("=")))
        low = self._endpoint()
        if not (self.text.startswith("-", self.at) and self.text[self.at + 1 : self.at + 2] not in ("]", "")):
            return _escaped(low)
        self.at += 1
        high = self._endpoint()
        # `a-b-c`: what ends one range cannot begin the next
        if ord(low) > ord(high) or (
            self.text.startswith("-", self.at) and self.text[self.at + 1 : self.at + 2] not in ("]", "")
        ):
            raise PosixError("Invalid range end")
        return f"{_escaped(low)}-{_escaped(high)}"

    def _endpoint(self) -> str:
        if self.text.startswith("[.", self.at):
            return _one(self._named("."))
        char = self.text[self.at]
        self.at += 1
        return char

    def _named(self, mark: str) -> str:
        end = self.text.find(mark + "]", self.at + 2)
        if end < 0:
            raise PosixError(UNCLOSED_BRACKET)
        name = self.text[self.at + 2 : end]
        self.at = end + 2
        return name


_PLAIN = frozenset(string.ascii_letters + string.digits)


def _literal(char: str) -> str:
    return char if char in _PLAIN or not char.isascii() else f"\\x{ord(char):02x}"


def _escaped(char: str) -> str:
    """A member of a bracket expression, without any second meaning."""
    return _literal(char)


def _one(name: str) -> str:
    if len(name) != 1:
        raise PosixError("Invalid collation character")
    return name
