"""newaliases(1): make the databases of `alias_database` anew, as `sendmail -bi` does."""

from __future__ import annotations

import os
import sys

from estafeta.base import log
from estafeta.commands import postalias
from estafeta.commands.options import UsageError, again, parse_options
from estafeta.commands.terminal import Terminal
from estafeta.config.instance import Config, ConfigError
from estafeta.skeleton.log import for_command

EX_TEMPFAIL = 75
LETTERS = "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx"
"""sendmail(1) has the same; only -C means something here."""


def main(words: list[str] | None = None) -> int:
    """The console script. Exit status 0, 75 for a wrong command line, 1 if a database could not be made."""
    before = log.install(Terminal("newaliases"))
    try:
        options, rest = parse_options("newaliases", sys.argv[1:] if words is None else words, LETTERS)
        directory = next((value for letter, value in options if letter == "C"), None)
        if directory is not None:
            os.environ["MAIL_CONFIG"] = directory if os.path.isdir(directory) else os.path.dirname(directory)
        if rest:
            log.fatal("alias initialization mode requires no recipient")
            return EX_TEMPFAIL
        conf = Config.load()
        for_command("newaliases", conf)
        return init_aliases(conf)
    except UsageError:
        log.fatal("usage: newaliases [options]")
        return EX_TEMPFAIL
    except ConfigError as error:
        log.fatal(str(error))
        return EX_TEMPFAIL
    finally:
        log.install(before)


def init_aliases(conf: Config) -> int:
    """Make every database of `alias_database`; the exit status. `sendmail -bi` calls this too."""
    return postalias.main([*again(), *conf.alias_database]) if conf.alias_database else 0


if __name__ == "__main__":
    sys.exit(main())
