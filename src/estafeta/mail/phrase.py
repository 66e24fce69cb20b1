"""A person's name as a header shows it: plain words, a quoted string, or an encoded word. RFC 5322 3.2.5, RFC 2047."""

from __future__ import annotations

import base64
import re

_ATOMS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+)*"
)
_WORD_BYTES = 45
"""Bytes that fit into one encoded word of 75 characters, with a charset name of usual length."""


def phrase(name: str, charset: str = "utf-8", *, comment: bool = False) -> str:
    """`Ann Lee`, `"Lee, Ann"` or `=?utf-8?B?...?=`. `comment`: to stand in parentheses, where quotes are not needed."""
    if not name.isascii() and charset:
        return encoded_words(name, charset)
    if comment:
        return name if _balanced(name) else re.sub(r"([()])", r"\\\1", name)
    if _ATOMS.fullmatch(name):
        return name
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


def _balanced(text: str) -> bool:
    """Whether each parenthesis has its other half, so that the text may stand in a comment as it is."""
    depth = 0
    for mark in re.findall(r"[()]", text):
        depth += 1 if mark == "(" else -1
        if depth < 0:
            return False
    return depth == 0 and not text.endswith("\\")


def encoded_words(text: str, charset: str) -> str:
    """The text in base64 encoded words; characters that the charset lacks become `?`. An unknown charset is utf-8."""
    try:
        pieces = _chunks(text, charset)
    except LookupError:
        charset = "utf-8"
        pieces = _chunks(text, charset)
    return " ".join(f"=?{charset}?B?{base64.b64encode(piece).decode('ascii')}?=" for piece in pieces)


def _chunks(text: str, charset: str) -> list[bytes]:
    """Whole characters only: an encoded word must be readable by itself. RFC 2047 5."""
    chunks = [b""]
    for character in text:
        raw = character.encode(charset, "replace")
        if len(chunks[-1]) + len(raw) > _WORD_BYTES:
            chunks.append(b"")
        chunks[-1] += raw
    return chunks
