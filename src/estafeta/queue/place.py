"""Where a message lies: which file, from which byte, how long each part is.

A place is all that a delivery agent needs to read a message; the path is relative to the queue directory, which is
every daemon's working directory (and root, in a chroot).
"""

from __future__ import annotations

import msgspec


class Place(msgspec.Struct, array_like=True, frozen=True):
    """One record. Content starts at `offset + record.HEADER_SIZE`: header block, then body, then envelope."""

    path: str
    offset: int
    head: int
    """Length of the header block in bytes, with the empty line that ends it if the message has a body."""
    body: int
    """Length of the body in bytes. Lines end in CRLF everywhere in the spool."""
    envelope: int
    """Length of the packed envelope in bytes."""
