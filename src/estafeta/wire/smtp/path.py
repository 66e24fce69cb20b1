"""The address in MAIL FROM, RCPT TO and VRFY, as clients really write it.

RFC 5321 4.1.2 wants `<local@domain>`. Postfix also takes it without brackets, with blanks or comments around it, with a
name before it, as a group of one, with doubled brackets or stray commas, unless strict_rfc821_envelopes = yes. The
result is the address in internal form, quotes taken off, or PathError.

This is syntax only: whether mail could go there at all (`a@`, `a%`, `a@1.2.3`) is for routing to say. `plain_path` is the
quick way for the paths of which nobody needs to ask.
"""

from __future__ import annotations

import re

LONGEST_PATH = 1000
"""Characters; RFC 5321 4.5.3.1.3 asks for 256."""

_PLAIN = re.compile(
    r"<([A-Za-z0-9#$&'*+/=?^_`{|}~.][A-Za-z0-9#$&'*+/=?^_`{|}~.-]*)@([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z])?)>"
)
_NO_DOMAIN = re.compile(r"<([A-Za-z0-9#$&'*+/=?^_`{|}~][A-Za-z0-9#$&'*+/=?^_`{|}~-]*)>")
_TOKEN = re.compile(
    r'"(?P<quoted>(?:\\.|[^"\\])*)(?P<quote>"?)|(?P<comment>\()|(?P<literal>\[(?:\\.|[^\[\]\\])*\]?)'
    r'|(?P<blank>\s+)|(?P<special>[<>@,;:.])|(?P<atom>(?:\\.|[^\s(<>@,;:\\".\[])+)|\\',
    re.S,
)
_BALANCE = re.compile(r'(?P<quoted>"(?:\\.|[^"\\])*)(?P<quote>"?)|(?P<bracket>[<>])|\\.|[^"<>\\]+|\\', re.S)
_ESCAPE = re.compile(r"\\(.)", re.S)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
"""What no address has, quoted or not; blanks among them are left to the tokens."""


class PathError(ValueError):
    """The text is no path."""


class Unfinished(PathError):
    """A bracket or a quote in it has no end."""


def plain_path(path: str) -> str | None:
    """`<a@b>` -> `a@b`, `<>` -> ""; None where it takes more than a glance to tell whether the address is good."""
    found = _PLAIN.fullmatch(path)
    if found:
        domain = found[2]
        if ".." in domain or "-" in domain or len(domain) > 63 or domain[-1].isdigit():
            return None
        return path[1:-1]
    if path == "<>" or _NO_DOMAIN.fullmatch(path):
        return path[1:-1]
    return None


def parse_path(path: str, *, strict: bool = False, utf8: bool = False) -> str:
    """`<a@b>` -> `a@b`; `<>` and `<"">` -> "". Raises PathError.

    `strict`: nothing but the address in its brackets. `utf8`: the domain may be one of RFC 6531.
    """
    if len(path) > LONGEST_PATH:
        raise PathError("too long")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise PathError("not UTF-8") from None
    if _unfinished(path):
        raise Unfinished("no end")
    if _CONTROL.search(path):
        raise PathError("control character")
    bracketed = path.startswith("<") and path.endswith(">")
    if strict and not bracketed:
        raise PathError("no angle brackets")
    address = _Reader(path[1:-1] if bracketed and len(path) > 1 else path, strict).address()
    if strict and address.startswith("@"):
        raise PathError("no local part")
    if not utf8 and not address.rpartition("@")[2].isascii() and "@" in address:
        raise PathError("a domain that needs SMTPUTF8")
    return address


def _unfinished(path: str) -> bool:
    """Whether the path lacks the end of its bracket or quote, as a line does that was cut (a zero byte ends it)."""
    depth = 0
    for quoted, quote, bracket in _BALANCE.findall(path.partition("\0")[0]):
        if quoted and not quote:
            return True
        depth = max(0, depth + (bracket == "<") - (bracket == ">"))
    return depth > 0


Token = tuple[str, str]


def _tokens(path: str, strict: bool) -> list[Token]:
    """(kind, text) pairs. Comments and blanks are dropped: they end a word, and mean nothing else."""
    found: list[Token] = []
    at = 0
    while at < len(path):
        match = _TOKEN.match(path, at)
        if match is None:  # a backslash with nothing behind it
            break
        kind = match.lastgroup or ""
        if kind == "comment":
            if strict:
                raise PathError("comment")
            at = _after_comment(path, at)
            continue
        at = match.end()
        if kind == "quote":
            found.append(("word", _ESCAPE.sub(r"\1", match["quoted"])))
        elif kind == "literal":
            text = _ESCAPE.sub(r"\1", match[kind])
            found.append(("word", text if text.endswith("]") else f"{text}]"))
        elif kind == "atom":
            found.append(("word", _ESCAPE.sub(r"\1", match[kind])))
        elif kind == "special":
            found.append((match[kind], match[kind]))
    return found


def _after_comment(path: str, at: int) -> int:
    """Where a comment ends: behind its closing parenthesis, or with the text."""
    depth = 0
    while at < len(path):
        char = path[at]
        if char == "\\":
            at += 1
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    return at


class _Reader:
    """One list of addresses, of which there may be one at most."""

    def __init__(self, path: str, strict: bool) -> None:
        self._tokens = _tokens(path, strict)
        self._strict = strict
        self._at = 0

    def address(self) -> str:
        """The only address, or "". Raises PathError."""
        found: list[str] = []
        since: list[str] = []  # those behind the last separator: they are a name if a bracket follows
        while self._at < len(self._tokens):
            kind = self._tokens[self._at][0]
            if kind == "<":
                self._lenient("text before the address")
                self._at += 1
                since = [self._one()]
                found += since
                since = []
            elif kind == ">":
                self._at += 1
            elif kind in ",;":
                self._lenient("a list")
                self._at += 1
                found += since
                since = []
            elif self._group():
                self._lenient("a group")
            else:
                since.append(self._one())
        found += since
        if len(found) > 1:
            raise PathError("more than one address")
        return found[0] if found else ""

    def _lenient(self, problem: str) -> None:
        if self._strict:
            raise PathError(problem)

    def _group(self) -> bool:
        """Step over the name of a group, `name:` with a `;` further on."""
        at = self._at
        while at < len(self._tokens) and self._tokens[at][0] in ("word", "."):
            at += 1
        if at == self._at or self._tokens[at : at + 1] != [(":", ":")] or (";", ";") not in self._tokens[at:]:
            return False
        self._at = at + 1
        return True

    def _one(self) -> str:
        """The address that begins here: up to a word that nothing joins to the word before it, or to a separator."""
        tokens = self._tokens
        if tokens[self._at : self._at + 1] == [("@", "@")]:
            self._route()
        pieces: list[str] = []
        joined = True
        while self._at < len(tokens):
            kind, text = tokens[self._at]
            if kind in "<>,;" or (kind == "word" and not joined):
                break
            joined = kind != "word"
            pieces.append(text)
            self._at += 1
        return "".join(pieces)

    def _route(self) -> None:
        """Step over a source route, `@x,@y:`. Obsolete, to be accepted and dropped: RFC 5321 4.1.2, appendix F.2."""
        for at in range(self._at, len(self._tokens)):
            kind = self._tokens[at][0]
            if kind in "<>;":
                return
            if kind == ":":
                self._at = at + 1
                return
