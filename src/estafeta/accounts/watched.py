"""A file of accounts, read again when it changes.

It is opened while the process is still root and stays open, so that it may belong to root alone and need not be inside
a chroot. A file that is written in place is read again through the open descriptor. One that was replaced is opened
anew where we may; where we may not, the process asks to be replaced by a fresh one, which opens it as root again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from estafeta.accounts.source import SourceDown
from estafeta.tables.source import Stamp, is_hidden

Content = TypeVar("Content")

LARGEST = 64 << 20
"""Bytes of a file."""
ATTEMPTS = 3
"""How often a file is read that is being written meanwhile."""

_when_unreadable: Callable[[str], None] | None = None


def when_unreadable(act: Callable[[str], None] | None) -> None:
    """For a process that has given up its rights: call `act(path)` (in any thread) when a file was replaced by one
    that only a fresh process can open."""
    global _when_unreadable
    _when_unreadable = act


def report_unreadable(what: str) -> None:
    """Tell the process that a fresh one could do what this one cannot any more."""
    if _when_unreadable is not None:
        _when_unreadable(what)


class Watched(Generic[Content]):
    """`read` makes the content of the bytes; it raises ValueError, with the reason, where they make no sense."""

    def __init__(self, path: str, read: Callable[[bytes], Content], *, made_by: str = "") -> None:
        """`made_by`: the command that makes the file, for the administrator who has none."""
        self.path = path
        self._made_by = made_by
        self._read = read
        self._fd = -1
        self._stamp: Stamp | None = None
        self._content: Content | None = None
        self._asked_for_another = False
        self._turn = threading.Lock()

    def open(self) -> None:
        """As root, where we are. What fails here is told to those who ask."""
        try:
            self._open()
        except OSError:
            pass  # `current` will try again, and say why it cannot

    def current(self) -> Content:
        """Blocks for the disk. Raises SourceDown."""
        with self._turn:
            try:
                self._follow()
                return self._loaded()
            except OSError as error:
                remedy = f"; make it: {self._made_by}" if isinstance(error, FileNotFoundError) and self._made_by else ""
                raise SourceDown(f"open {self.path}: {error.strerror}{remedy}") from None

    def close(self) -> None:
        with self._turn:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd, self._content, self._stamp = -1, None, None

    def _open(self) -> None:
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._stamp, self._asked_for_another = fd, None, False

    def _follow(self) -> None:
        """Have the file open that bears the name now."""
        if self._fd < 0:
            self._open()
            return
        held = os.fstat(self._fd)
        replaced = not held.st_nlink
        try:
            seen = os.stat(self.path)
            if (seen.st_dev, seen.st_ino) == (held.st_dev, held.st_ino):
                return
            replaced = True
            self._open()
        except FileNotFoundError:
            if is_hidden(self.path) and replaced:  # a chroot: something else has the name outside
                self._ask_for_another()
            # Gone, else: what was read is kept.
        except OSError:
            if replaced:
                self._ask_for_another()

    def _ask_for_another(self) -> None:
        if not self._asked_for_another:
            self._asked_for_another = True
            report_unreadable(self.path)

    def _loaded(self) -> Content:
        for _ in range(ATTEMPTS):
            before = Stamp.of(os.fstat(self._fd))
            if self._stamp == before and self._content is not None:
                return self._content
            if before.size > LARGEST:
                raise SourceDown(f"{self.path} has {before.size} bytes, and {LARGEST} are the limit")
            raw = os.pread(self._fd, before.size, 0)
            problem = ""
            try:
                content = self._read(raw)
            except ValueError as error:
                problem = str(error)
            if Stamp.of(os.fstat(self._fd)) != before or len(raw) != before.size:
                continue  # it was written to while we read
            if problem:
                raise SourceDown(f"{self.path} cannot be read: {problem}")
            self._content, self._stamp = content, before
            return content
        raise SourceDown(f"{self.path} is being written all the time")
