"""postalias(1): query, list, update and create alias databases, whose source is in aliases(5) form."""

from __future__ import annotations

import sys

from estafeta.commands.map_command import Job, run

LETTERS = "Nc:d:finopq:rsuvwj"


def main(words: list[str] | None = None) -> int:
    """The console script. The exit status: 0 done or found, 1 not."""
    return run(Job("postalias", LETTERS, aliases=True), sys.argv[1:] if words is None else words)


if __name__ == "__main__":
    sys.exit(main())
