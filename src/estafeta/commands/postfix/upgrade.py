"""`postfix upgrade-configuration`: what a master.cf of an older Postfix lacks is added; nothing is ever changed.

Each of these programs is asked by others under the name that stands here, or under the one that a parameter gives.
"""

from __future__ import annotations

from estafeta.base import log
from estafeta.config.edit import rewrite
from estafeta.config.instance import Config
from estafeta.config.master_cf import load_rows

LINES = {
    "rewrite": "rewrite   unix  -       -       n       -       -       trivial-rewrite",
    "bounce": "bounce    unix  -       -       n       -       0       bounce",
    "defer": "defer     unix  -       -       n       -       0       bounce",
    "trace": "trace     unix  -       -       n       -       0       bounce",
    "verify": "verify    unix  -       -       n       -       1       verify",
    "flush": "flush     unix  n       -       n       1000?   0       flush",
    "relay": "relay     unix  -       -       n       -       -       smtp",
    "showq": "showq     unix  n       -       n       -       -       showq",
    "error": "error     unix  -       -       n       -       -       error",
    "retry": "retry     unix  -       -       n       -       -       error",
    "discard": "discard   unix  -       -       n       -       -       discard",
    "anvil": "anvil     unix  -       -       n       -       1       anvil",
    "postlog": "postlog   unix-dgram n  -       n       -       1       postlogd",
}


def missing_services(conf: Config) -> list[str]:
    """The lines that master.cf lacks. Raises ConfigError."""
    there = {row.columns[0] for row in load_rows(conf.config_directory).rows}
    return [line for name, line in LINES.items() if name not in there]


def upgrade(conf: Config) -> int:
    """Add them; the exit status. Raises ConfigError."""
    lines = missing_services(conf)
    if not lines:
        return 0
    for line in lines:
        log.info(f"editing {conf.config_directory}/master.cf, adding missing entry for {line.split()[0]} service")

    def added(text: str) -> str:
        return text + ("" if text.endswith("\n") or not text else "\n") + "".join(f"{line}\n" for line in lines)

    rewrite(f"{conf.config_directory}/master.cf", added)
    return 0
