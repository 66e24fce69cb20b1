"""Replies: a code, an enhanced code, a text; one line or several. RFC 5321 4.2, RFC 2034."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ENHANCED = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?:\s+|$)")


def multiline(code: int, lines: Sequence[str]) -> str:
    """`250-one CRLF 250 two`, without the last line end."""
    last = len(lines) - 1
    return "\r\n".join(f"{code}{' ' if at == last else '-'}{line}" for at, line in enumerate(lines))


def split_enhanced(text: str) -> tuple[str, str]:
    """`5.7.1 no way` -> ("5.7.1", "no way"); ("", text) if no enhanced status code comes first. RFC 3463 2."""
    found = _ENHANCED.match(text)
    return (found.group().rstrip(), text[found.end() :]) if found else ("", text)


def to_wire(reply: str) -> bytes:
    """The reply as bytes with its line end."""
    return reply.encode("utf-8", "surrogateescape") + b"\r\n"
