"""A command at a terminal: where its messages go before its configuration is known, and what it says at its end.

`postmap: fatal: text` on standard error, as every command of Postfix does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from estafeta.base import log
from estafeta.commands.options import UsageError
from estafeta.config.instance import ConfigError


class Fatal(Exception):
    """The command ends here; the text is its last line."""


class Terminal:
    """A log sink, for `log.install`."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __call__(self, level: int, text: str, program: str | None) -> None:
        sys.stderr.write(f"{program or self.command}: {log.PREFIX[level]}{text}\n")


def perform(command: str, work: Callable[[], int], *, usage: str, failed: int = 1) -> int:
    """Do what the command does. Returns the exit status that `work` returns, or `failed` after saying why."""
    before = log.install(Terminal(command))
    try:
        return work()
    except BrokenPipeError:
        # The reader (head, less) has seen enough; at exit Python would try to flush once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UsageError:
        log.fatal(usage)
    except (Fatal, ConfigError) as error:
        log.fatal(str(error))
    finally:
        log.install(before)
    return failed
