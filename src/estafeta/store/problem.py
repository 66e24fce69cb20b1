"""Why a message did not get into a mailbox, in Postfix's words, with the status that the reason has."""

from __future__ import annotations

import errno
import os

_FULL = frozenset({errno.EFBIG, errno.EDQUOT})
"""The mailbox may not grow. A disk without room is another matter: that is ours, and passes."""

_IN_THE_WAY = frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENXIO,
        errno.EPERM,
    }
)
"""How the site is set up, not how it is today. Everything else (a disk that fails, too many open files) may pass."""


class MailboxProblem(Exception):
    """`str()` is the reason. `remarks` are warnings for the log.

    `dsn` 5.2.2: the mailbox is full. 5.2.0: it cannot be used as it stands; local(8) returns the mail, virtual(8) lets
    it wait. 4.x.x: it may go better later.
    """

    def __init__(self, reason: str, dsn: str = "4.2.0", remarks: tuple[str, ...] = (), *, diagnostic: str = "") -> None:
        super().__init__(reason)
        self.dsn = dsn
        self.remarks = remarks
        self.diagnostic = diagnostic
        """For Diagnostic-Code: the operating system's words; empty if the reason says it all."""

    @classmethod
    def of(cls, doing: str, error: OSError) -> MailboxProblem:
        """`error writing message: File too large`, with the status of the error's number."""
        number = error.errno or 0
        if number in _FULL:
            dsn = "5.2.2"
        elif number == errno.ENOSPC:
            dsn = "4.3.0"
        else:
            dsn = "5.2.0" if number in _IN_THE_WAY else "4.2.0"
        return cls(f"{doing}: {os.strerror(number)}", dsn)

    @classmethod
    def writing(cls, error: OSError) -> MailboxProblem:
        """The message could not be written. The words of sysexits.h are what Postfix reports on it."""
        problem = cls.of("error writing message", error)
        problem.diagnostic = "input/output error"
        return problem

    @property
    def full(self) -> bool:
        return self.dsn == "5.2.2"

    @property
    def final(self) -> bool:
        return self.dsn.startswith("5")
