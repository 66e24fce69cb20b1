"""mailq(1): what waits in the queue. It is `sendmail -bp` under a name of its own, and takes the same options."""

from __future__ import annotations

import sys

from estafeta.commands import sendmail


def main(words: list[str] | None = None) -> int:
    """The console script; the exit status."""
    return sendmail.main(words, name="mailq")


if __name__ == "__main__":
    sys.exit(main())
