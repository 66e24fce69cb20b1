"""mailq(1): what waits in the queue. `mailq` is `sendmail -bp`, which is `postqueue -p`; `-q` asks for delivery."""

from __future__ import annotations

import os
import sys

from estafeta.base import log
from estafeta.commands import postqueue
from estafeta.commands.options import UsageError, parse_options
from estafeta.commands.terminal import Terminal

LETTERS = "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx"
"""sendmail(1) has the same; only -C means something here."""
EX_UNAVAILABLE = 69


def main(words: list[str] | None = None) -> int:
    """The console script; the exit status."""
    before = log.install(Terminal("mailq"))
    try:
        options, _ = parse_options("mailq", sys.argv[1:] if words is None else words, LETTERS)
    except UsageError:
        log.fatal("usage: mailq [options]")
        return EX_UNAVAILABLE
    finally:
        log.install(before)
    directory = next((value for letter, value in options if letter == "C"), None)
    if directory is not None:
        os.environ["MAIL_CONFIG"] = directory if os.path.isdir(directory) else os.path.dirname(directory)
    return postqueue.main(["-p"])


if __name__ == "__main__":
    sys.exit(main())
