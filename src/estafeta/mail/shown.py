"""A client's words in the log: nothing in them may look like another line, or like our own words."""

from __future__ import annotations

import re


def printable(text: str) -> str:
    """Control characters and what is no UTF-8 as `?`."""
    return "".join(char if char.isprintable() else "?" for char in text)


def in_comment(text: str) -> str:
    """A stranger's words inside a comment of a header, which they must not end. RFC 5322 3.2.2"""
    return printable(text).translate(_COMMENT)


_COMMENT = str.maketrans(dict.fromkeys("()\\", "?"))


def escaped(raw: bytes) -> str:
    r"""Bytes for the log: `\r\n` and `\ooo` for what cannot be printed."""
    names = {9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\", 7: "\\a", 8: "\\b", 11: "\\v", 12: "\\f"}
    return "".join(names.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in raw)


def without_secrets(raw: bytes) -> bytes:
    """Commands, as many as there are, as they may be logged: what stands behind AUTH may be secret up to the end."""
    found = _AUTH.search(raw)
    return raw[: found.end()] + b"(not shown)" if found else raw


_AUTH = re.compile(rb"(?<![A-Za-z])AUTH[ \t]+\S+[ \t\r\n]+(?=\S)", re.IGNORECASE)
