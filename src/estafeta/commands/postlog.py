"""postlog(1): write a line to the mail log, for scripts.

`postlog [-iv] [-c config_dir] [-p priority] [-t tag] [text...]`

Without text it reads lines from standard input. On a terminal the line is shown there too.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable

from estafeta.base.log import FATAL
from estafeta.commands.options import UsageError, parse_options
from estafeta.config.instance import Config, ConfigError, default_directory
from estafeta.skeleton.log import for_command

LEVELS = {"info": 0, "warn": 1, "warning": 1, "error": 2, "fatal": 3, "panic": 4}
LONGEST = 8192
"""Characters of one line of input."""


def main(words: list[str] | None = None) -> int:
    """The console script. Exit status 0, or 1."""
    try:
        options, text = parse_options("postlog", sys.argv[1:] if words is None else words, "c:ip:t:v")
    except UsageError:
        return fail("usage: postlog [-c config_dir] [-i] [-p priority] [-t tag] [-v] [text]")
    values = dict(options)
    if "c" in values:
        os.environ["MAIL_CONFIG"] = values["c"]
    try:
        conf = Config.load(default_directory())
    except ConfigError as reason:
        return fail(str(reason))
    level = LEVELS.get(values.get("p", "info").lower())
    if level is None:
        return fail(f'bad severity: "{values["p"]}": use one of {", ".join(LEVELS)}')
    tag = values.get("t") or f"{conf.syslog_name}/postlog"
    record(conf, tag, level, [" ".join(text)] if text else sys.stdin)
    if level >= FATAL:
        time.sleep(1)  # as every Postfix program does, so that a script in a loop does not flood the log
    return 0


def record(conf: Config, tag: str, level: int, lines: Iterable[str]) -> None:
    """Log each line under `tag`, which stands for syslog name and program."""
    sink = for_command(tag, conf, stderr=sys.stderr.isatty(), direct=os.geteuid() == 0, whole_tag=True)
    for line in lines:
        sink(level, line.rstrip("\r\n")[:LONGEST], None)


def fail(text: str) -> int:
    sys.stderr.write(f"postlog: fatal: {text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
