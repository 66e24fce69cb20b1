"""Why a message did not get into a mailbox, in Postfix's words, with the status that the reason has."""

from __future__ import annotations

import errno
import os

FULL = (errno.EFBIG, errno.EDQUOT)
"""The mailbox may not grow: that is final, the sender must hear of it. A disk without room is not."""


class MailboxProblem(Exception):
    """`str()` is the reason; `dsn` begins with 5 where trying again is no use; `remarks` are warnings for the log."""

    def __init__(self, reason: str, dsn: str = "4.2.0", remarks: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.dsn = dsn
        self.remarks = remarks

    @classmethod
    def of(cls, doing: str, error: OSError) -> MailboxProblem:
        """`error writing message: File too large`."""
        number = error.errno or 0
        dsn = "5.2.2" if number in FULL else "4.3.0" if number == errno.ENOSPC else "4.2.0"
        return cls(f"{doing}: {os.strerror(number)}", dsn)
