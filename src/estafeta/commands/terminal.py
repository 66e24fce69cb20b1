"""Where a command's messages go before its configuration is known: `postmap: fatal: text` on standard error."""

from __future__ import annotations

import sys

from estafeta.base import log


class Terminal:
    """A log sink, for `log.install`."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __call__(self, level: int, text: str, program: str | None) -> None:
        sys.stderr.write(f"{program or self.command}: {log.PREFIX[level]}{text}\n")
