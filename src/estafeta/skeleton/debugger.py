"""debugger_command: what is run when a program starts with -D, so that a debugger can take hold of it.

The command is given to the shell, as it would be by system(3), and the program waits for it: whoever puts a debugger
into the background puts a sleep behind it. Every process of the service runs it, before it gives up its rights and
before it takes a client. DEBUG_README, "Running daemon programs with a debugger".
"""

from __future__ import annotations

import os
import subprocess

from estafeta.base import log
from estafeta.config.expand import ExpandError, expand
from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError

NAME = "debugger_command"


def run_debugger(conf: Config, program: str) -> None:
    """Run the command for this process, called `program`. Raises ConfigError when there is none, or OSError."""
    command = command_for(conf, program, os.getpid())
    log.info(f"running: {command}")
    subprocess.call(["/bin/sh", "-c", command])


def command_for(conf: Config, program: str, pid: int) -> str:
    """The shell command; $process_name and $process_id are those of the process. Raises ConfigError."""
    # conf was read by master, so that what it says of the process is true of master.
    own = {"process_name": program, "process_id": str(pid)}
    text = conf.raw_value(NAME)
    if not text.strip():
        raise ConfigError(
            f"no {NAME} variable set up: set it in {conf.config_directory}/main.cf, or start without -D"
        )
    try:
        return expand(text, lambda name: own.get(name) or conf.raw_value(name))
    except ExpandError as reason:
        raise ConfigError(f"{conf.origin(NAME)}: {NAME} = {text}: {reason}") from reason
