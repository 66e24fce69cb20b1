"""What goes into a mailbox: the lines that delivery puts in front, and the content with the mailbox's line ends.

The spool keeps CRLF, a mailbox has LF. A small message is converted in one piece; a large one while it is copied.
local(8) and virtual(8) share this; their manuals say which lines come first, and in which order.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from estafeta.mail.address import MAILER_DAEMON, quote

Content = bytes | Callable[[], Iterator[bytes]]
"""A message with CRLF line ends: whole, or a function that reads it in pieces. The function runs in a thread."""

_DELIVERED = re.compile(rb"^delivered-to[ \t]*:[ \t]*([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)
_FROM = re.compile(rb"^From ", re.MULTILINE)


def opening(sender: str, original: str, delivered_to: str) -> bytes:
    """Return-Path, X-Original-To and Delivered-To, LF line ends; the latter two only where they are given."""
    lines = f"Return-Path: <{quote(sender)}>\n"
    if original:
        lines += f"X-Original-To: {quote(original)}\n"
    if delivered_to:
        lines += f"Delivered-To: {quote(delivered_to)}\n"
    return lines.encode("utf-8", "surrogateescape")


def maildir_pieces(opening: bytes, content: Content) -> Iterable[bytes]:
    """What stands in a file of a Maildir."""
    if isinstance(content, bytes):
        return (opening + b"".join(lf(content)),)
    return chain((opening,), lf(content))


def mbox_pieces(sender: str, now: float, opening: bytes, content: Content) -> Iterable[bytes]:
    """What is appended to an mbox file."""
    pieces = chain((from_line(sender, now) + opening,), from_quoted(lf(content)), (b"\n",))
    return (b"".join(pieces),) if isinstance(content, bytes) else pieces


def from_line(sender: str, now: float) -> bytes:
    """The line that begins a message in an mbox: `From sender  Sat Nov 21 09:30:00 2026`, in local time."""
    who = quote(sender) or MAILER_DAEMON
    return f"From {who}  {time.asctime(time.localtime(now))}\n".encode("utf-8", "surrogateescape")


def delivered_to(head: bytes) -> set[str]:
    """The addresses of all Delivered-To fields of a header block, case folded, as they are written there."""
    return {
        b" ".join(found[1].split()).decode("utf-8", "surrogateescape").lower() for found in _DELIVERED.finditer(head)
    }


def lf(content: Content) -> Iterator[bytes]:
    """The content with LF line ends, in pieces; it always ends with a line end."""
    last = b"\n"
    held = b""
    for piece in _pieces(content):
        piece = held + piece if held else piece
        held = b""
        # A CR at the end of a piece may be half of a line end.
        if piece.endswith(b"\r"):
            held, piece = b"\r", piece[:-1]
        if piece:
            last = piece[-1:]
            yield piece.replace(b"\r\n", b"\n")
    if held:
        last = held
        yield held
    if last != b"\n":
        yield b"\n"


def from_quoted(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces with LF line ends, with `>` before each line that begins with `From `, so that mbox readers see no
    new message there."""
    held = b""
    line_start = True
    for piece in pieces:
        piece = held + piece
        held = b""
        # The last few bytes may be the beginning of `From `: keep them until more is here.
        begins = piece.rfind(b"\n") + 1
        if (begins or line_start) and b"From ".startswith(piece[begins:]):
            held, piece = piece[begins:], piece[:begins]
        if not piece:
            continue
        yield _quote_lines(piece, line_start)
        line_start = piece.endswith(b"\n")
    if held:
        yield held


def _quote_lines(piece: bytes, line_start: bool) -> bytes:
    if b"From " not in piece:
        return piece
    quoted = _FROM.sub(b">From ", piece)
    return quoted if line_start or not piece.startswith(b"From ") else quoted[1:]


def _pieces(content: Content) -> Iterable[bytes]:
    return (content,) if isinstance(content, bytes) else content()
