"""The process's log: one line per call, handed to whatever sink the process installed.

Every room may write here, so it lies at the bottom. The skeleton installs a sink that formats Postfix's line
(`Nov 21 09:30:00 host postfix/smtpd[123]: text`) and writes in batches; commands install one that prints to
standard error; a test installs a list. Text bytes that are not UTF-8 travel as surrogate escapes.
"""

from __future__ import annotations

import sys
from typing import Protocol

INFO, WARNING, ERROR, FATAL, PANIC = range(5)
PREFIX = ("", "warning: ", "error: ", "fatal: ", "panic: ")


class Sink(Protocol):
    """Takes finished texts. `program` is the name in the line (`smtpd`), None for the process's own."""

    def __call__(self, level: int, text: str, program: str | None) -> None: ...


def _to_stderr(level: int, text: str, program: str | None) -> None:
    sys.stderr.write(f"{program + ': ' if program else ''}{PREFIX[level]}{text}\n")


_sink: Sink = _to_stderr


def install(sink: Sink) -> Sink:
    """Send this process's lines to `sink` from now on; returns the sink it replaces."""
    global _sink
    before, _sink = _sink, sink
    return before


def info(text: str, program: str | None = None) -> None:
    _sink(INFO, text, program)


def warning(text: str, program: str | None = None) -> None:
    _sink(WARNING, text, program)


def error(text: str, program: str | None = None) -> None:
    _sink(ERROR, text, program)


def fatal(text: str, program: str | None = None) -> None:
    """A line that announces the end of this process; ending it is the caller's."""
    _sink(FATAL, text, program)


def panic(text: str, program: str | None = None) -> None:
    """A line about a state that cannot be; ending the process is the caller's."""
    _sink(PANIC, text, program)
