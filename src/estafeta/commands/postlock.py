"""postlock(1): run a command while a mailbox file is locked, in the ways in which local(8) locks it.

postlock [-c config_dir] [-l lock_style] [-v] file command...
"""

from __future__ import annotations

import os
import subprocess
import sys

from estafeta.base import log, verbose
from estafeta.commands.options import parse_options
from estafeta.commands.terminal import Fatal, perform
from estafeta.config.instance import Config
from estafeta.config.kinds import parse_words
from estafeta.skeleton.log import for_command
from estafeta.store.mbox import Locks, locked
from estafeta.store.problem import MailboxProblem

EX_TEMPFAIL = 75
METHODS = ("fcntl", "flock", "dotlock")


def main(words: list[str] | None = None) -> int:
    """The console script. Exit status 75 if the file could not be locked, else that of the command."""
    given = sys.argv[1:] if words is None else words
    return perform("postlock", lambda: run(given), usage=usage(), failed=EX_TEMPFAIL)


def usage() -> str:
    return f"usage: {sys.argv[0]} [-c config_dir] [-l lock_style] [-v] folder command..."


def run(words: list[str]) -> int:
    options, rest = parse_options("postlock", words, "c:l:v")
    if len(rest) < 2:
        raise Fatal(usage())
    values = dict(options)
    if "c" in values:
        os.environ["MAIL_CONFIG"] = values["c"]
    conf = Config.load()
    for_command("postlock", conf)
    path, command = rest[0], rest[1:]
    try:
        locks = locks_of(conf, values.get("l"))
        verbose.tell(f"lock {path}: {' '.join(locks.methods)}")
        with locked(path, locks):
            verbose.tell(f"run {' '.join(command)}")
            return _status_of(command)
    except MailboxProblem as problem:
        raise Fatal(f"open file {path}: {problem}") from None


def locks_of(conf: Config, style: str | None) -> Locks:
    """mailbox_delivery_lock, unless -l names other methods; how long and how often comes from the configuration."""
    methods = conf.mailbox_delivery_lock if style is None else parse_words(style)
    for method in methods:
        if method not in METHODS:
            raise Fatal(f'unknown mailbox_delivery_lock value "{method}" in "{style or ", ".join(methods)}"')
    return Locks.of(conf, methods)


def _status_of(command: list[str]) -> int:
    try:
        status = subprocess.run(command, check=False).returncode
    except OSError as error:
        log.fatal(f"execvp {command[0]}: {error.strerror}")
        return 1
    return status if status >= 0 else 1


if __name__ == "__main__":
    sys.exit(main())
