"""A client's words in the log: nothing in them may look like another line, or like our own words."""

from __future__ import annotations


def printable(text: str) -> str:
    """Control characters and what is no UTF-8 as `?`."""
    return "".join(char if char.isprintable() else "?" for char in text)


def escaped(raw: bytes) -> str:
    r"""Bytes for the log: `\r\n` and `\ooo` for what cannot be printed."""
    names = {9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\", 7: "\\a", 8: "\\b", 11: "\\v", 12: "\\f"}
    return "".join(names.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in raw)
