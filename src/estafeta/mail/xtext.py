"""xtext: how ENVID, ORCPT and AUTH= carry text in an ESMTP parameter. RFC 3461 4.

Any character but `+`, `=`, blanks and controls stands for itself; the others are `+` and two upper-case hex digits.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\+([0-9A-F]{2})")
_BAD = re.compile(r"\+(?![0-9A-F]{2})|[^!-~]")
_ODD = re.compile(r"[^!-*,-<>-~]")


class XtextError(ValueError):
    """The text is not xtext; the text is in the message."""


def decode(text: str) -> str:
    """Bytes that are not UTF-8 come as surrogate escapes. A bare `=` is taken: clients send it. Raises XtextError."""
    if _BAD.search(text):
        raise XtextError(f"bad xtext: {text!r}")
    if "+" not in text:
        return text
    raw = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text).encode("latin-1")
    return raw.decode("utf-8", "surrogateescape")


def encode(text: str) -> str:
    """The text as xtext; non-ASCII characters as their UTF-8 bytes."""
    raw = text.encode("utf-8", "surrogateescape").decode("latin-1")
    return _ODD.sub(lambda found: f"+{ord(found[0]):02X}", raw)


def decode_utf8_address(text: str) -> str:
    r"""The value of a `utf-8;` address type: an embedded `\x{NNNN}` becomes the character. RFC 6533 3."""
    return _UNICODE.sub(lambda found: chr(min(int(found[1], 16), 0x10FFFF)), text)


_UNICODE = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
