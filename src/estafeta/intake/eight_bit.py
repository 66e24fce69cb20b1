"""Whether a message needs an 8-bit clean path: what its MIME headers announce, and what is really in it. RFC 6152."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ANNOUNCED = re.compile(rb"\ncontent-transfer-encoding:[ \t]*(?:8bit|binary)", re.IGNORECASE)
COMPOSITE = ("multipart/", "message/")
EIGHT_BIT = ("8bit", "binary")


def announced(content_type: str, encoding: str, body: Iterable[bytes]) -> bool:
    """Whether the message, or for a composite one any of its parts, says that it holds 8-bit text.

    A part's header that is cut between two pieces may be missed, as detect_8bit_encoding_header promises no more than
    an attempt; the content itself is not changed either way.
    """
    if encoding.startswith(EIGHT_BIT):
        return True
    return content_type.startswith(COMPOSITE) and any(_ANNOUNCED.search(piece) for piece in body)


def present(body: Iterable[bytes]) -> bool:
    """Whether any byte is above 127."""
    return not all(piece.isascii() for piece in body)
