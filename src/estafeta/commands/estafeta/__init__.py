"""estafeta: the umbrella command. `estafeta up` runs a mail system of your own; everything else is found from here.

Every other command is also reachable as `estafeta <command>`, so `estafeta postconf -n` works where only one name was
put on the PATH.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

from estafeta import __version__

from . import completion, up

COMMANDS = {
    "mailq": "list the mail queue",
    "newaliases": "make the alias database anew",
    "postalias": "make or ask alias databases",
    "postcat": "show a queue file",
    "postconf": "show or change the configuration",
    "postdrop": "hand in a message, for sendmail",
    "postfix": "start, stop and check a mail system",
    "postkick": "send a request to a service",
    "postlock": "run a command while a mailbox is locked",
    "postlog": "write a line to the mail log",
    "postmap": "make or ask lookup tables",
    "postmulti": "manage several mail systems on one machine",
    "postqueue": "list or flush the mail queue",
    "postsuper": "remove, hold and release mail in the queue",
    "sendmail": "send mail",
}
"""Module in `commands` -> what it does."""

OWN = {
    "up": "run a mail system of your own in the foreground, made on first use",
    "passwd": "set a user's password in a passwd file",
    "auth": "try a login: who would be let in, and by which source",
    "limits": "show which users and clients are near a sending limit",
    "completion": "print what makes a shell complete these commands",
    "help": "show this text",
    "version": "show the version",
}


def main(words: list[str] | None = None) -> int:
    """The console script. Exit status 0, 64 for a wrong command line, or that of the command."""
    words = sys.argv[1:] if words is None else words
    command, *rest = words or ["help"]
    if command in ("help", "--help", "-h"):
        sys.stdout.write(help_text())
        return 0
    if command in ("version", "--version", "-V"):
        sys.stdout.write(f"estafeta {__version__}\n")
        return 0
    if command == "up":
        return up.main(rest)
    if command in ("passwd", "auth", "limits"):
        # What they need takes a while to load, and no other command needs it.
        own: Callable[[list[str]], int] = importlib.import_module(f"estafeta.commands.estafeta.{command}").main
        return own(rest)
    if command == "completion":
        return completion.main(rest, sorted({**COMMANDS, **OWN}))
    if command in COMMANDS:
        sys.argv[0] = command
        run: Callable[[list[str]], int] = importlib.import_module(f"estafeta.commands.{command}").main
        return run(rest)
    sys.stderr.write(f"estafeta: there is no command '{command}': 'estafeta help' lists them\n")
    return 64


def help_text() -> str:
    width = max(map(len, [*COMMANDS, *OWN])) + 2
    lines = ["usage: estafeta <command> [options]", "", "A mail system that takes the place of Postfix.", ""]
    lines += [f"  {name:<{width}}{text}" for name, text in OWN.items()]
    lines += ["", "The mail system's own commands, also installed under these names:", ""]
    lines += [f"  {name:<{width}}{text}" for name, text in COMMANDS.items()]
    lines += ["", "To begin: estafeta up", ""]
    return "\n".join(lines)
