"""debug_peer_list, and `-v` in master.cf: the conversation with some clients goes into the log, line by line.

    < client.example[192.0.2.1]: EHLO client.example
    > client.example[192.0.2.1]: 250-mail.example

It hangs on the recording that a session's stream can keep for a transcript, so that nothing is paid for clients who are
not watched. Content is not logged, and secrets of AUTH are not shown.
"""

from __future__ import annotations

from collections import deque

from estafeta.base import log, verbose
from estafeta.mail.transcript import MOST_ENTRIES, Entry, told

IN, OUT = " In:  ", " Out: "


class Watched(deque[Entry]):
    """A recording that also logs what it is given. Begins with what was said before."""

    def __init__(self, before: deque[Entry] | None, client: str) -> None:
        super().__init__(before or (), MOST_ENTRIES)
        verbose.watch()  # it is made in the task that serves this client
        self._client = client

    def append(self, entry: Entry) -> None:
        last = self[-1] if self else b""
        asked = isinstance(last, tuple) and last[0].startswith(b"334 ") and isinstance(entry, bytes)
        for line in told([entry]):
            mark = "<" if isinstance(entry, bytes) else ">"
            text = "(not shown)" if asked else line.removeprefix(IN).removeprefix(OUT)
            log.info(f"{mark} {self._client}: {text}")
        super().append(entry)
