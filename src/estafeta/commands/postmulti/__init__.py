"""postmulti(1): several mail systems on one machine, acted on together.

    postmulti -l | -p | -x  [-aRv] [-g group] [-i name] [command...]        iterator mode
    postmulti -e action [-av] [-g group] [-i name] [-G group] [-I name] [name=value...]

The first instance's main.cf lists the others in multi_instance_directories. With multi_instance_wrapper set (`-e init`
does that), `postfix start` and its kin come here and go on to every instance.
"""

from __future__ import annotations

import os
import sys

from estafeta.base import log
from estafeta.commands.options import UsageError, parse_options
from estafeta.commands.postmulti import lifecycle
from estafeta.commands.postmulti.instances import Instance, MultiError, load_all
from estafeta.commands.terminal import Terminal
from estafeta.config.instance import DEFAULT_DIRECTORY, ConfigError
from estafeta.skeleton.log import for_command

LETTERS = "ae:g:i:G:I:lpRvx"
USAGE = "usage: postmulti -l|-p|-x [-aRv] [-g group] [-i name] [command...] | postmulti -e action [-av] [-g group] "
USAGE += "[-i name] [-G group] [-I name] [name=value...]"


def main(words: list[str] | None = None) -> int:
    """The console script. Exit status 0, 1, or the worst of the commands that were run."""
    before = log.install(Terminal("postmulti"))
    try:
        return run(sys.argv[1:] if words is None else words)
    except UsageError:
        log.fatal(USAGE)
    except (MultiError, ConfigError) as error:
        log.fatal(str(error))
    except OSError as error:
        log.fatal(f"{error.filename}: {error.strerror}")
    finally:
        log.install(before)
    return 1


def run(words: list[str]) -> int:
    options, rest = parse_options("postmulti", words, LETTERS)
    values = dict(options)
    chosen_modes = [letter for letter in "lpxe" if letter in values]
    if len(chosen_modes) != 1:
        raise MultiError(USAGE if not chosen_modes else "specify one of -l, -p, -x or -e")
    mode = chosen_modes[0]
    directory = os.environ.get("MAIL_CONFIG") or DEFAULT_DIRECTORY
    if os.path.abspath(directory) != DEFAULT_DIRECTORY and mode == "e":
        raise MultiError(f"MAIL_CONFIG is set to {directory}: multi-instance commands are for {DEFAULT_DIRECTORY}")
    instances = load_all(directory)
    for_command("postmulti", instances[0].conf, direct=True)
    if mode == "e":
        return lifecycle.act(values["e"], instances, values, rest)
    chosen = select(instances, values.get("i"), values.get("g"))
    if mode == "l":
        _usage_if(bool(rest))
        for each in reversed(chosen) if "R" in values else chosen:
            sys.stdout.write(each.listed() + "\n")
        return 0
    _usage_if(not rest or ("R" in values and mode == "p"))
    if mode == "p":
        return postfix_command(instances[0], chosen, rest)
    statuses = [each.run(rest) for each in (reversed(chosen) if "R" in values else chosen)]
    return max(statuses, default=0)


def _usage_if(wrong: bool) -> None:
    if wrong:
        raise MultiError(USAGE)


def select(instances: list[Instance], name: str | None, group: str | None) -> list[Instance]:
    """Those that -i and -g mean."""
    if name is not None:
        return [each for each in instances if each.is_called(name)]
    if group is not None:
        return [each for each in instances if (each.conf.multi_instance_group or "-") == group]
    return instances


def postfix_command(primary: Instance, chosen: list[Instance], words: list[str]) -> int:
    """-p: `postfix start` only checks what is not enabled, `postfix stop` goes backwards. postfix-wrapper(5)"""
    command, conf = words[0], primary.conf
    if command in conf.postmulti_stop_commands:
        chosen = chosen[::-1]
    worst = 0
    for each in chosen:
        wanted = words
        if not each.enabled:
            if command in conf.postmulti_start_commands:
                wanted = ["check"]
            elif command in (*conf.postmulti_stop_commands, *conf.postmulti_control_commands):
                continue
        worst = max(worst, each.run([sys.executable, "-m", "estafeta.commands.postfix", *wanted]))
    return worst


__all__ = ["main"]
