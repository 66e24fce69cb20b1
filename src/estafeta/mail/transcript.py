"""The transcript of an SMTP session, for the postmaster: what notify_classes asks for. smtpd(8), smtp(8), postconf(5).

While a session lasts, a recording collects what was said: the bytes of each line that came in, and a tuple around the
bytes of each answer. Nothing is decoded or formatted until something is to be told, which is almost never, so that
collecting costs an `append`; and it holds only so much, lest a client that talks for hours fill memory.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Sequence

Entry = bytes | tuple[bytes, ...]
"""What the other side said, or (what we said,)."""
Recording = deque[Entry]

MOST_ENTRIES = 300
"""What was said before the last so many lines and answers is not kept."""
WIDTH = 78
"""Columns after which a line of the transcript is broken, at a blank."""
INDENT = "     "

_IN = " In:  "
OMITTED = " (the beginning is not kept)"
_SECRET = re.compile(rb"(AUTH[ \t]+\S+[ \t]+)\S.*", re.IGNORECASE | re.DOTALL)
_ENCODED = re.compile(rb"(?!STARTTLS$)(?:[A-Za-z0-9+/]{4}){2,}|[A-Za-z0-9+/]{4,}={1,2}", re.IGNORECASE)
"""No command, but what a client sends that does not look whether AUTH was refused."""


def recording() -> Recording:
    """An empty one."""
    return deque(maxlen=MOST_ENTRIES)


def told(entries: Collection[Entry]) -> list[str]:
    """The lines of a transcript.

    Unprintable characters are question marks, and so is what is no UTF-8. The secrets of AUTH are left out.
    """
    lines = [OMITTED] if len(entries) >= MOST_ENTRIES else []
    asked = False
    for entry in entries:
        if isinstance(entry, bytes):
            lines += [f"{_IN}(not shown)"] if asked else _said(_IN, entry)
        else:
            lines += _said(" Out: ", entry[0])
        asked = not isinstance(entry, bytes) and entry[0].startswith(b"334 ")
    return lines


def notice(
    *,
    date: str,
    sender: str,
    recipient: str,
    subject: str,
    entries: Collection[Entry],
    reason: str = "",
    opening: str = "",
    standard: bool = True,
) -> tuple[bytes, bytes]:
    """(header block with its empty line, body). `reason`: why a client's session ended before its time, or empty;
    `opening`: the first sentence, where we were the client.

    `standard`: `Name <address>` in From and To, otherwise `address (Name)` (header_from_format).
    """
    head = [
        f"Date: {date}",
        f"From: {_mailbox('Mail Delivery System', sender, standard=standard)}",
        f"To: {_mailbox('Postmaster', recipient, standard=standard)}",
        f"Subject: {subject}",
        "",
    ]
    body = ["Transcript of session follows.", "", *told(entries)]
    if opening:
        body = [opening, "", *body, ""]
    else:
        body += ["", f"Session aborted, reason: {reason}", ""] if reason else ["", ""]
    body.append("For other details, see the local mail logfile")
    return _wire(head), _wire(body)


def _mailbox(name: str, address: str, *, standard: bool) -> str:
    return f"{name} <{address}>" if standard else f"{address} ({name})"


def _said(mark: str, raw: bytes) -> list[str]:
    raw = _SECRET.sub(rb"\1(not shown)", raw.rstrip(b"\r\n"))
    if mark == _IN and _ENCODED.fullmatch(raw.strip()):
        raw = b"(not shown)"
    lines: list[str] = []
    for line in raw.replace(b"\r\n", b"\n").split(b"\n"):
        lines += _folded(mark + _printable(line))
    return lines


def _printable(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace").replace("\ufffd", "?")
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def _folded(text: str) -> list[str]:
    """The text in lines of at most WIDTH columns, broken at blanks; a word that is longer stays whole."""
    lines: list[str] = []
    while len(text) > WIDTH:
        cut = text.rfind(" ", _MARK, WIDTH + 1)
        if cut < 0:
            cut = text.find(" ", WIDTH)
        if cut < 0:
            break
        lines.append(text[:cut])
        text = INDENT + text[cut + 1 :]
    return [*lines, text]


_MARK = len(" Out: ")


def _wire(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")
