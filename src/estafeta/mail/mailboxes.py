"""Address lists as they stand in headers, tables and command lines: `Ann <ann@a.example>, bob (at home), team: c, d;`.

`scan` finds each address with the place where it stands, so that whoever rewrites one replaces just that span: names,
comments and line folding around it stay as the author wrote them. It never fails: what is not well-formed is read
as best it can be, since a header with a slip in it must still pass. RFC 5322 3.4, with the obsolete forms of 4.4.

Time is linear in the length of the text; nesting of comments is counted, not recursed into.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from estafeta.mail.address import quote

TOKEN_LIMIT = 10240
"""header_address_token_limit: what comes after so many tokens is left alone."""

_TOKEN = re.compile(
    r"(?P<blank>[ \t\r\n\0]+)"
    r"|(?P<atom>(?:[^\x00-\x20()<>@,:;\\\".\[\]]|\\.)+)"
    r"|(?P<quoted>\"(?:[^\"\\]|\\.)*(?:\"|\\?\Z))"
    r"|(?P<literal>\[(?:[^\]\\]|\\.)*(?:\]|\\?\Z))"
    r"|(?P<special>[\s\S])",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PLAIN_LIST = re.compile(
    r"[^\x00-\x20()<>@,:;\\\".\[\]]+(?:\.[^\x00-\x20()<>@,:;\\\".\[\]]+)*"
    r"(?:@[^\x00-\x20()<>@,:;\\\"\[\]]+)?"
)

BLANK, ATOM, QUOTED, LITERAL, SPECIAL, COMMENT = "blank", "atom", "quoted", "literal", "special", "comment"


class Token(NamedTuple):
    kind: str
    start: int
    end: int


class Mailbox(NamedTuple):
    """One address: its internal form, where it stands (`text[start:end]`), whether any of it was quoted."""

    address: str
    start: int
    end: int
    quoted: bool = False
    bracketed: bool = False
    """It stood in angle brackets."""
    entry: int = 0
    """Where its entry begins, with the names of person and group before it: behind the comma."""
    separated: bool = True
    """False where the comma before it is missing."""


def scan(text: str, limit: int = TOKEN_LIMIT) -> list[Mailbox]:
    """The addresses in `text`, in order. `<>` is an address too, the empty one."""
    if _PLAIN_LIST.fullmatch(text):
        return [Mailbox(text, 0, len(text))]
    found: list[Mailbox] = []
    pending: list[Token] = []  # the tokens since the last separator
    entry, separated = 0, True
    tokens = _tokens(text, limit)
    last_semicolon = max((at for at, token in enumerate(tokens) if text[token.start] == ";"), default=-1)
    at = 0
    while at < len(tokens):
        token = tokens[at]
        char = text[token.start] if token.kind == SPECIAL else ""
        at += 1
        if char == "<":
            end = _closing(text, tokens, at)
            found.append(_bracketed(text, tokens[at:end], token.end, entry, separated))
            at = end + 1
            pending, entry, separated = [], tokens[min(end, len(tokens) - 1)].end, False
        elif char in (",", ";") or (char == ":" and at <= last_semicolon and not _is_double_colon(text, token)):
            if char != ":":  # what stands before a colon is the name of a group, part of its first entry
                _add_bare(text, pending, found, entry, separated)
                entry = token.end
            pending, separated = [], True
        else:
            pending.append(token)
    _add_bare(text, pending, found, entry, separated)
    return found


def cut(text: str, limit: int = TOKEN_LIMIT) -> str:
    """The text as far as `limit` tokens reach, blanks not counted; all of it as a rule."""
    if len(text) <= limit:
        return text
    tokens = _tokens(text, limit)
    return text[: tokens[-1].end] if tokens and tokens[-1].end < len(text.rstrip()) else text


def addresses(text: str) -> list[str]:
    """The addresses alone, in internal form."""
    return [mailbox.address for mailbox in scan(text)]


def replace(text: str, change: Callable[[Mailbox], str | None], limit: int = TOKEN_LIMIT) -> str:
    """The text with each address for which `change` gives another one (internal form) replaced where it stands."""
    pieces: list[str] = []
    done = 0
    for mailbox in scan(text, limit):
        new = change(mailbox)
        if new is None or (new == mailbox.address and not has_route(text, mailbox)):
            continue
        pieces += (text[done : mailbox.start], quote(new))
        done = mailbox.end
    return "".join((*pieces, text[done:])) if pieces else text


def has_route(text: str, mailbox: Mailbox) -> bool:
    """Whether the address stands behind a route, `<@a,@b:user@c>`."""
    return text.startswith("@", mailbox.start) and not mailbox.address.startswith("@")


def _tokens(text: str, limit: int) -> list[Token]:
    tokens: list[Token] = []
    at, length = 0, len(text)
    counted = 0
    while at < length and counted < limit:
        if text[at] == "(":
            end = _comment_end(text, at)
            tokens.append(Token(COMMENT, at, end))
            counted += 1
            at = end
            continue
        match = _TOKEN.match(text, at)
        assert match is not None and match.lastgroup is not None  # `special` takes any character
        tokens.append(Token(match.lastgroup, at, match.end()))
        counted += match.lastgroup != BLANK
        at = match.end()
    return tokens


_COMMENT_MARK = re.compile(r"[()]|\\.", re.DOTALL)


def _comment_end(text: str, start: int) -> int:
    """Behind the `)` that closes the comment; the end of the text if none does."""
    depth = 0
    for mark in _COMMENT_MARK.finditer(text, start):
        if mark[0] == "(":
            depth += 1
        elif mark[0] == ")":
            depth -= 1
            if depth == 0:
                return mark.end()
    return len(text)


def _closing(text: str, tokens: list[Token], opened: int) -> int:
    """Index of the `>` token, or of the end."""
    for at in range(opened, len(tokens)):
        if tokens[at].kind == SPECIAL and text[tokens[at].start] == ">":
            return at
    return len(tokens)


def _bracketed(text: str, tokens: list[Token], start: int, entry: int, separated: bool) -> Mailbox:
    words = [token for token in tokens if token.kind not in (BLANK, COMMENT)]
    if not words:
        return Mailbox("", start, start, False, True, entry, separated)
    # The span takes the route in, so that whoever replaces the address also removes the route.
    address = _joined(text, _without_route(text, words))
    return Mailbox(address, words[0].start, words[-1].end, _any_quoted(words), True, entry, separated)


def _without_route(text: str, tokens: list[Token]) -> list[Token]:
    """`@a,@b:user@c` -> `user@c`. RFC 5321 Appendix C: the route is to be ignored."""
    first = next((token for token in tokens if token.kind not in (BLANK, COMMENT)), None)
    if first is None or text[first.start] != "@":
        return tokens
    for at, token in enumerate(tokens):
        if token.kind == SPECIAL and text[token.start] == ":":
            return tokens[at + 1 :]
    return tokens


def _add_bare(text: str, tokens: list[Token], found: list[Mailbox], entry: int, separated: bool) -> None:
    for part in _apart(tokens):
        words = [token for token in part if token.kind not in (BLANK, COMMENT)]
        if words:
            start, end = words[0].start, words[-1].end
            found.append(Mailbox(_joined(text, part), start, end, _any_quoted(words), False, entry, separated))
            entry, separated = end, False


def _apart(tokens: list[Token]) -> list[list[Token]]:
    """Two words with a blank between them are two addresses: some programs leave the comma out."""
    parts: list[list[Token]] = [[]]
    blank = word_before = False
    for token in tokens:
        if token.kind in (BLANK, COMMENT):
            blank = True
        else:
            is_word = token.kind in (ATOM, QUOTED)
            if blank and word_before and is_word:
                parts.append([])
            blank, word_before = False, is_word
        parts[-1].append(token)
    return parts


def _any_quoted(words: list[Token]) -> bool:
    return any(token.kind == QUOTED for token in words)


def _joined(text: str, tokens: list[Token]) -> str:
    """The tokens as internal form: quotes off, comments out, one blank where two words were kept apart."""
    pieces: list[str] = []
    apart = word_before = False
    for kind, start, end in tokens:
        if kind in (BLANK, COMMENT):
            apart = True
            continue
        is_word = kind in (ATOM, QUOTED)
        if apart and word_before and is_word:
            pieces.append(" ")
        apart, word_before = False, is_word
        piece = text[start:end]
        if kind == QUOTED:
            piece = piece[1:-1] if len(piece) > 1 and piece.endswith('"') else piece[1:]
            piece = piece.replace("\r\n", "") if "\n" in piece else piece
        elif kind == LITERAL and not piece.endswith("]"):
            piece += "]"
        pieces.append(_ESCAPED.sub(r"\1", piece) if "\\" in piece else piece)
    return "".join(pieces)


def _is_double_colon(text: str, token: Token) -> bool:
    """`list::include:` and DECnet's host::user are one word."""
    return text[token.end : token.end + 1] == ":" or text[token.start - 1 : token.start] == ":"
