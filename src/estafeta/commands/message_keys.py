"""The look-up keys that header and body checks would make of a message: `postmap -h`, `-b` and `-m`.

Without `-m` the first header block is headers and the rest is body. With it, the header blocks of MIME parts and of
attached messages are headers too, and not body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

HEADER = re.compile(r"[!-9;-~]+[ \t]*:")
MULTIPART = re.compile(r"content-type\s*:\s*multipart/", re.I)
DIGEST = re.compile(r"content-type\s*:\s*multipart/digest\b", re.I)
TYPED = re.compile(r"content-type\s*:", re.I)
ATTACHED = re.compile(r"content-type\s*:\s*message/(?:rfc822|global)\b", re.I)
BOUNDARY = re.compile(r'boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))', re.I | re.S)
MOST_PARTS_DEEP = 100


def message_keys(lines: Iterable[str], *, headers: bool, body: bool, mime: bool) -> Iterator[str]:
    """Keys in the order of the message; `lines` without their newline."""
    walk = _Walk(mime)
    for is_header, key in walk.keys(lines):
        if headers if is_header else body:
            yield key


class _Walk:
    def __init__(self, mime: bool) -> None:
        self._mime = mime
        self._boundaries: list[str] = []
        self._attached = False
        self._typed = False
        self._digests: list[bool] = []
        self._multipart: str | None = None
        self._is_digest = False
        self._in_part = False

    def keys(self, lines: Iterable[str]) -> Iterator[tuple[bool, str]]:
        in_header, primary = True, True
        held: list[str] = []
        for line in lines:
            if in_header:
                if held and line[:1] in (" ", "\t"):
                    held.append(line)
                    continue
                if held:
                    yield True, self._header(held)
                    held = []
                if HEADER.match(line):
                    held.append(line)
                    continue
                # The empty line after the header is the first of the body; so is a line that is neither, and the
                # message's own body then has an empty line before it all the same.
                if primary or not line:
                    yield False, ""
                in_header = primary = False
                self._enter_part()
                if not line:
                    if self._attached:
                        self._attached, in_header = False, True
                    continue
            in_header = self._at_boundary(line)
            yield False, line
        if held:
            yield True, self._header(held)

    def _header(self, held: list[str]) -> str:
        text = "\n".join(held)
        if self._mime:
            self._typed = self._typed or bool(TYPED.match(text))
            if MULTIPART.match(text):
                found = BOUNDARY.search(text)
                if found:
                    self._is_digest = bool(DIGEST.match(text))
                    self._multipart = re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2]
            elif ATTACHED.match(text):
                self._attached = True
        return text

    def _enter_part(self) -> None:
        """The header block is over: what it announced begins."""
        if not self._typed and self._digests and self._digests[-1] and self._in_part:
            self._attached = True  # what a digest holds is messages, unless it says otherwise: RFC 2046 5.1.5
        if self._multipart is not None and len(self._boundaries) < MOST_PARTS_DEEP:
            self._boundaries.append(self._multipart)
            self._digests.append(self._is_digest)
        self._multipart = None
        self._typed = self._in_part = False

    def _at_boundary(self, line: str) -> bool:
        """Whether a part's header block begins behind this line."""
        if not line.startswith("--"):
            return False
        for depth in range(len(self._boundaries) - 1, -1, -1):
            mark = "--" + self._boundaries[depth]
            if line.startswith(mark):
                closing = line.startswith(mark + "--")
                del self._boundaries[depth if closing else depth + 1 :]
                del self._digests[len(self._boundaries) :]
                self._in_part = not closing
                return not closing
        return False
