"""The address in MAIL FROM, RCPT TO and VRFY, as clients really write it.

RFC 5321 4.1.2 wants `<local@domain>`. Postfix also takes it without brackets, with blanks or comments around it, with a
source route, doubled brackets or group syntax, unless strict_rfc821_envelopes = yes. The result is the address in
internal form, quotes taken off, or PathError. Domains must be possible host names or address literals.
"""

from __future__ import annotations

import re

from estafeta.mail.address import valid_address_text, valid_domain

LONGEST_PATH = 1000
"""Characters; RFC 5321 4.5.3.1.3 asks for 256."""

_PLAIN = re.compile(r"<([A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+)@([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)>")
_NO_DOMAIN = re.compile(r"<([A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)>")
_TOKEN = re.compile(
    r'"(?P<quoted>(?:\\.|[^"\\])*)"|(?P<comment>\()|(?P<literal>\[(?:\\.|[^\[\]\\])*\])|\\(?P<escaped>.)'
    r'|(?P<blank>\s+)|(?P<special>[<>@,;:.])|(?P<atom>[^\s()<>@,;:\\".\[\]]+)',
    re.S,
)
_ESCAPE = re.compile(r"\\(.)", re.S)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
"""What no address has, quoted or not; blanks among them are left to the tokens."""


class PathError(ValueError):
    """The text is no path."""


def parse_path(path: str, *, strict: bool = False, utf8: bool = False, numeric: bool = False) -> str:
    """`<a@b>` -> `a@b`; `<>` and `<"">` -> "". Raises PathError.

    `utf8`: the domain may be one of RFC 6531. `numeric`: it may be an address without brackets.
    """
    found = _PLAIN.fullmatch(path)
    if found:
        domain = found[2]
        if ".." in domain or "-" in domain or len(domain) > 63 or domain[-1].isdigit():
            _check_domain(domain, utf8, numeric)
        return path[1:-1]
    if path == "<>" or _NO_DOMAIN.fullmatch(path):
        return path[1:-1]
    if len(path) > LONGEST_PATH:
        raise PathError("too long")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise PathError("not UTF-8") from None
    if _CONTROL.search(path):
        raise PathError("control character")
    if strict and not (path.startswith("<") and path.endswith(">")):
        raise PathError("no angle brackets")
    return _address(_inside(_tokens(path, strict), strict), utf8, numeric)


def unfinished(path: str) -> bool:
    """Whether the path lacks the end of its bracket or quote, as a line does that was cut (a zero byte ends it)."""
    path = path.partition("\0")[0]
    return path.startswith("<") and (">" not in path or path.count('"') % 2 == 1)


Token = tuple[str, str]


def _tokens(path: str, strict: bool) -> list[Token]:
    """(kind, text) pairs; comments are dropped and count as blanks."""
    found: list[Token] = []
    at = 0
    while at < len(path):
        match = _TOKEN.match(path, at)
        if match is None:
            raise PathError(f"unexpected {path[at]!r}")
        kind = match.lastgroup or ""
        if kind == "comment":
            if strict:
                raise PathError("comment")
            at = _after_comment(path, at)
            found.append(("blank", " "))
            continue
        at = match.end()
        text = match[kind]
        if kind == "quoted":
            text = _ESCAPE.sub(r"\1", text)
        elif kind == "escaped":
            kind = "quoted"
        found.append((kind, text))
    return found


def _after_comment(path: str, at: int) -> int:
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
    raise PathError("comment without end")


_OPEN: Token = ("special", "<")
_CLOSE: Token = ("special", ">")
_AT: Token = ("special", "@")
_COLON: Token = ("special", ":")
_AFTERWARDS = frozenset({_CLOSE, ("special", ","), ("special", ";"), ("blank", " ")})


def _inside(tokens: list[Token], strict: bool) -> list[Token]:
    """What stands in the innermost brackets, or everything; route and group name taken off."""
    tokens = [("blank", " ") if kind == "blank" else (kind, text) for kind, text in tokens]
    if _OPEN in tokens:
        first = len(tokens) - tokens[::-1].index(_OPEN)
        if _CLOSE not in tokens[first:]:
            raise PathError("no closing bracket")
        last = tokens.index(_CLOSE, first)
        after = tokens[last + 1 :]
        if strict and not {_OPEN}.issuperset(tokens[:first]):
            raise PathError("text before the address")
        if not _AFTERWARDS.issuperset(after) or (strict and not {_CLOSE}.issuperset(after)):
            raise PathError("text after the address")
        tokens = tokens[first:last]
    else:
        while tokens and tokens[-1] in _AFTERWARDS:
            tokens.pop()
        if _COLON in tokens and _AT not in tokens[: tokens.index(_COLON)]:
            tokens = tokens[tokens.index(_COLON) + 1 :]
    while tokens and tokens[0][0] == "blank":
        tokens = tokens[1:]
    while tokens and tokens[-1][0] == "blank":
        tokens.pop()
    if tokens and tokens[0] == _AT and _COLON in tokens:
        # A source route: obsolete, to be accepted and dropped. RFC 5321 4.1.2, appendix F.2
        tokens = tokens[tokens.index(_COLON) + 1 :]
    return tokens


def _address(tokens: list[Token], utf8: bool, numeric: bool) -> str:
    if ("special", ",") in tokens or ("special", ";") in tokens:
        raise PathError("more than one address")
    ats = [at for at, token in enumerate(tokens) if token == _AT]
    if not ats:
        return _joined(tokens, domain=False)
    local = _joined(tokens[: ats[-1]], domain=False)
    domain = _joined(tokens[ats[-1] + 1 :], domain=True)
    if len(ats) > 1 and ats[-2] == ats[-1] - 1:
        raise PathError("nothing between two @")
    if not domain and len(ats) > 1:
        # An address within an address whose own domain is empty: routing has something to say about it.
        return f"{local}@"
    _check_domain(domain, utf8, numeric)
    return f"{local}@{domain}"


def _joined(tokens: list[Token], *, domain: bool) -> str:
    """The text of some tokens. Two words with only blanks between are two addresses, or none."""
    pieces: list[str] = []
    word, apart = False, False
    for kind, text in tokens:
        if kind == "blank":
            apart = word
            continue
        is_word = kind != "special"
        if apart and is_word and word:
            raise PathError("two words")
        if domain and kind == "quoted":
            raise PathError("a quoted domain")
        pieces.append(text)
        word, apart = is_word, False
    return "".join(pieces)


def _check_domain(domain: str, utf8: bool, numeric: bool) -> None:
    if numeric and valid_address_text(domain):
        return
    if not utf8 and not domain.isascii():
        raise PathError("a domain that needs SMTPUTF8")
    if not valid_domain(domain[:-1] if domain.endswith(".") and not domain.startswith("[") else domain):
        raise PathError(f"bad domain {domain!r}")
