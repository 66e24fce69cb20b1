"""newaliases(1): make the databases of `alias_database` anew, as `sendmail -bi` does."""

from __future__ import annotations

import os
import sys

from estafeta.commands import postalias
from estafeta.commands.options import again, parse_options
from estafeta.commands.terminal import Fatal, perform
from estafeta.config.instance import Config
from estafeta.skeleton.log import for_command

EX_TEMPFAIL = 75
LETTERS = "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx"
"""sendmail(1) has the same; only -C means something here."""


def main(words: list[str] | None = None) -> int:
    """The console script. Exit status 0, 75 for a wrong command line, 1 if a database could not be made."""
    given = sys.argv[1:] if words is None else words
    return perform("newaliases", lambda: run(given), usage="usage: newaliases [options]", failed=EX_TEMPFAIL)


def run(words: list[str]) -> int:
    options, rest = parse_options("newaliases", words, LETTERS)
    directory = next((value for letter, value in options if letter == "C"), None)
    if directory is not None:
        os.environ["MAIL_CONFIG"] = directory if os.path.isdir(directory) else os.path.dirname(directory)
    if rest:
        raise Fatal("alias initialization mode requires no recipient")
    conf = Config.load()
    for_command("newaliases", conf)
    return init_aliases(conf)


def init_aliases(conf: Config) -> int:
    """Make every database of `alias_database`; the exit status. `sendmail -bi` calls this too."""
    return postalias.main([*again(), *conf.alias_database]) if conf.alias_database else 0


if __name__ == "__main__":
    sys.exit(main())
