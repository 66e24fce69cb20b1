"""postfix(1): start, stop and look after a mail system. `postfix [-Dv] [-c config_dir] command`.

The superuser's command; an ordinary user may use it for a mail system of their own, whose queue directory is theirs.
Messages go to the log and, when there is somebody to read them, to the terminal.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from estafeta.base import log
from estafeta.commands.options import UsageError, parse_options
from estafeta.config.instance import Config, ConfigError, default_directory, load_settings
from estafeta.config.params.index import declared
from estafeta.skeleton import privileges
from estafeta.skeleton.accept import explain
from estafeta.skeleton.log import for_command

from .control import Control

SCRIPT = "postfix/postfix-script"
USAGE = (
    "postfix start (or stop, reload, abort, flush, check, status, set-permissions, upgrade-configuration, logrotate)"
)
COMMANDS: dict[str, Callable[[Control], int]] = {
    "start": Control.start,
    "start-fg": Control.start_fg,
    "stop": Control.stop,
    "quick-stop": Control.stop,
    "drain": Control.stop,
    "abort": Control.abort,
    "reload": Control.reload,
    "status": Control.status,
    "check": Control.check,
    "flush": Control.flush,
    "set-permissions": Control.set_permissions,
    "upgrade-configuration": Control.upgrade_configuration,
    "logrotate": Control.logrotate,
}
DESPITE_ERRORS = ("stop", "quick-stop", "drain", "abort", "reload", "status")
LATER = ("tls",)


def main(words: list[str] | None = None) -> int:
    """The console script. Exit status 0 or 1."""
    try:
        options, rest = parse_options("postfix", sys.argv[1:] if words is None else words, "c:Dv")
    except UsageError:
        return _usage()
    if not rest:
        return _usage()
    values = dict(options)
    alone = "c" in values or "MAIL_CONFIG" in os.environ
    directory = os.path.abspath(values.get("c") or default_directory())
    os.environ["MAIL_CONFIG"] = directory
    try:
        conf = configuration(directory, rest[0])
        refusal = not_permitted(conf)
        if refusal:
            sys.stderr.write("postfix: error: to submit mail, use the Postfix sendmail command\n")
            sys.stderr.write(f"postfix: fatal: the postfix command is reserved for the superuser{refusal}\n")
            return 1
        if rest[0] in ("start", "start-fg", "check", "set-permissions"):
            check_accounts(conf)
    except ConfigError as reason:
        sys.stderr.write(f"postfix: fatal: {reason}\n")
        return 1
    if not alone and rest[0] != "start-fg":
        if conf.multi_instance_wrapper:
            return _wrapped(conf, rest)
        if conf.multi_instance_directories:
            sys.stderr.write(
                "postfix: fatal: multi_instance_directories is set, but multi_instance_wrapper is not: run "
                "'postmulti -e init', or name one instance with -c\n"
            )
            return 1
    sink = for_command("postfix-script", conf, stderr=False, direct=True)
    before = log.install(Aloud(sink))
    try:
        verbose = sum(letter == "v" for letter, _ in options)
        return run(Control(conf, verbose=verbose, debug="D" in values), rest)
    except (ConfigError, OSError) as reason:
        log.fatal(explain(reason))
        return 1
    finally:
        log.install(before)


def configuration(directory: str, command: str) -> Config:
    """main.cf. A mail system whose main.cf has been spoilt can still be stopped and asked for. Raises ConfigError."""
    try:
        return Config.load(directory)
    except ConfigError:
        if command not in DESPITE_ERRORS:
            raise
        settings = load_settings(directory)
        settings.values = {name: text for name, text in settings.values.items() if is_essential(name)}
        return Config.build(settings)


def is_essential(name: str) -> bool:
    """Whether it says where the mail system is and where it logs, or is a name that the administrator made up."""
    return (
        name not in declared() or name.endswith("_directory") or name.startswith(("maillog_", "syslog_", "mail_owner"))
    )


def run(control: Control, words: list[str]) -> int:
    """Do one command; the exit status."""
    command, *arguments = words
    if command in LATER:
        log.fatal(f"'postfix {command}' is not available yet")
        return 1
    if command not in COMMANDS:
        log.fatal(f"unknown command: '{command}'. Usage: {USAGE}")
        return 1
    if arguments and command == "set-permissions":
        log.fatal("set-permissions takes no name=value yet: set them in main.cf with 'postconf -e'")
        return 1
    if arguments:
        log.fatal(f"usage postfix {command} (no arguments)")
        return 1
    return COMMANDS[command](control)


class Aloud:
    """Repeats on standard error what goes to the log: everything on a terminal, else what is wrong."""

    def __init__(self, sink: log.Sink) -> None:
        self._sink = sink

    def __call__(self, level: int, text: str, program: str | None) -> None:
        if level != log.INFO or sys.stderr.isatty():
            sys.stderr.write(f"{SCRIPT}: {log.PREFIX[level]}{text}\n")
        self._sink(level, text, program)


def not_permitted(conf: Config) -> str | None:
    """Why this user may not control this mail system; None if they may."""
    if privileges.is_root():
        return None
    try:
        owner = os.stat(conf.queue_directory).st_uid
    except OSError:
        return None  # it is to be made, or the check says what is wrong
    return None if owner == os.geteuid() else f": {conf.queue_directory} is not yours"


def check_accounts(conf: Config) -> None:
    """Raises ConfigError when an account is missing, before the log could be written for it."""
    if privileges.is_root():
        privileges.mail_owner(conf.mail_owner)
        privileges.setgid_group(conf.setgid_group)


def _wrapped(conf: Config, words: list[str]) -> int:
    """Let multi_instance_wrapper do it, for all instances: postfix-wrapper(5). It names each one by MAIL_CONFIG."""
    environment = {name: value for name, value in os.environ.items() if name != "MAIL_CONFIG"}
    command, *arguments = conf.multi_instance_wrapper.split()
    if command == f"{conf.command_directory}/postmulti":
        # Ours, wherever it is installed: another mail system's command of that name may be in the usual place.
        start = [sys.executable, "-m", "estafeta.commands.postmulti"]
    else:
        start = [command]
    try:
        return subprocess.call([*start, *arguments, *words], env=environment)
    except OSError as error:
        sys.stderr.write(f"postfix: fatal: multi_instance_wrapper: {command}: {error.strerror}\n")
        return 1


def _usage() -> int:
    sys.stderr.write("postfix: fatal: usage: postfix [-c config_dir] [-Dv] command\n")
    return 1
