"""A text added to a refusal: smtpd_reject_footer, postscreen_reject_footer.

A line end in it begins a new line of the reply, a backslash and c at its beginning adds it to the last one.
"""

from __future__ import annotations

import re

from estafeta.wire.smtp.reply import split_enhanced

LONGEST = 10_000
"""Characters of a reply with its footer."""

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = re.compile(r"\\([0-7]{1,3}|.)", re.S)


def with_footer(text: str, footer: str) -> str:
    """`text`: a reply of one line or several, without the last line end; `footer` has its values put in."""
    before, _, last = text.rpartition("\r\n")
    code, said = last[:3], last[4:]
    enhanced = split_enhanced(said)[0]
    lead = f"{enhanced} " if enhanced else ""
    added = footer.split("\n")
    if footer.startswith("\\c"):
        said += added[0][2:]
        added = added[1:]
    lines = [said, *(f"{lead}{line}" for line in added)]
    end = len(lines) - 1
    shown = [f"{code}{' ' if at == end else '-'}{line}" for at, line in enumerate(lines)]
    return "\r\n".join([before, *shown] if before else shown)[:LONGEST]


def unescaped(text: str) -> str:
    r"""`\t`, `\40` and the like as the characters that they stand for."""

    def one(found: re.Match[str]) -> str:
        char = found[1]
        return chr(int(char, 8) & 0xFF) if char[0] in "01234567" else _ESCAPES.get(char, char)

    return _ESCAPE.sub(one, text)
