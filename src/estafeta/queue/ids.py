"""Queue ids, which never repeat while a message is queued.

A file in incoming/ hands out serial numbers, each once in the life of the queue; a process takes one, and numbers its
messages within it. Short ids look like Postfix's: the microsecond in five hexadecimal digits, then the number in
hexadecimal. Long ids (enable_long_queue_ids, postconf(5)): seconds and microseconds in base 52, `z`, the number in
base 51.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

COUNT_BITS = 12
"""A process takes a new serial number after 4096 messages."""
SERIAL_FILE = "incoming/serial"
SERIAL_WIDTH = 12
"""Hexadecimal digits of a serial number in the name of a journal."""
NUMBERS_LOST = 1 << 20
"""More than there can have been given since the oldest of the journals that are still there was begun; that of qmgr is
no older than its process."""
_DIGITS = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"


def take_serial(directory: str = ".") -> int:
    """The next serial number, never given before. Durable before it is used. Raises OSError.

    Should the file be lost or damaged, counting goes on far behind what the names of journals tell of: one whose
    number came again would be written over, or be taken for one that is finished.
    """
    fd = os.open(os.path.join(directory, SERIAL_FILE), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        text = os.pread(fd, 32, 0)
        serial = int(text) + 1 if text.strip().isdigit() else _after_loss(directory)
        os.pwrite(fd, b"%020d\n" % serial, 0)
        os.fdatasync(fd)
        return serial
    finally:
        os.close(fd)


def _after_loss(directory: str) -> int:
    """1 for a queue that is new."""
    highest = 0
    for folder in ("incoming", "active"):
        with suppress(FileNotFoundError):
            for name in os.listdir(os.path.join(directory, folder)):
                number, dot, _ = name.partition(".")
                if dot and len(number) == SERIAL_WIDTH and not number.strip("0123456789ABCDEF"):
                    highest = max(highest, int(number, 16))
    return highest + NUMBERS_LOST if highest else 1


class QueueIds:
    """The ids of one process."""

    def __init__(self, *, directory: str = ".", long_ids: bool = False) -> None:
        self._directory = directory
        self._long = long_ids
        self._serial = 0
        self._count = 1 << COUNT_BITS

    def next(self, now: float) -> str:
        """A new id; `now` in seconds since the epoch. Raises OSError when the serial file cannot be written."""
        if self._count >> COUNT_BITS:
            self._serial, self._count = take_serial(self._directory), 0
        number = (self._serial << COUNT_BITS) | self._count
        self._count += 1
        seconds = int(now)
        micros = int((now - seconds) * 1_000_000)
        if self._long:
            return f"{_in_base(52, seconds, 6)}{_in_base(52, micros, 4)}z{_in_base(51, number, 1)}"
        return f"{micros:05X}{number:04X}"


def _in_base(base: int, value: int, width: int) -> str:
    digits = ""
    while value:
        value, digit = divmod(value, base)
        digits = _DIGITS[digit] + digits
    return digits.rjust(width, "0")
