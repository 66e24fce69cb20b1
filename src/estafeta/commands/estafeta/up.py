"""`estafeta up`: a mail system of your own, in the foreground, in a folder that is made on first use.

For trying things out, for development and for tests of programs that send mail. Needs no rights and no preparation;
what it needs to know it can be told in the main.cf that it writes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError
from estafeta.config.master_cf import load_services
from estafeta.daemons.master import locks
from estafeta.daemons.master.__main__ import Options, serve
from estafeta.skeleton.accept import explain

from . import instance

PORT = 2525
DOMAIN = "example.test"
MAILBOX = "you"


def main(words: Sequence[str]) -> int:
    """Exit status 0 after Ctrl-C; 1 when it cannot run."""
    asked = parser().parse_args(words)
    folder = Path(asked.dir).absolute() if asked.dir else instance.default_folder()
    closed = instance.out_of_reach(folder)
    if closed is not None:
        # A checkout in root's home, for instance. Services do not run as root, so their files go elsewhere.
        folder = instance.default_folder()
        sys.stdout.write(f"{closed} lets nobody but its owner in, and services do not run as root: using {folder}\n")
    config = folder / "etc"
    try:
        fresh = instance.make(folder, asked.port or PORT, asked.domain)
        conf = Config.load(str(config))
        running = locks.running_master(conf)
        if running:
            raise ConfigError(f"it runs already, as process {running}: stop it with 'postfix -c {config} stop'")
        if asked.port and not fresh:
            change_port(config, asked.port)
        port = smtp_port(config, conf)
    except (ConfigError, OSError) as reason:
        sys.stderr.write(f"estafeta up: {explain(reason)}\n")
        return 1
    options = Options(directory=str(config), keep_streams=True)
    commands = commands_folder()
    return serve(options, lambda trouble: None if trouble else greet(folder, conf, port, commands, fresh=fresh))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("estafeta up", description="Run a mail system of your own in the foreground.")
    made.add_argument("--dir", help=f"its folder (default: {instance.default_folder()})")
    made.add_argument("--port", type=int, help=f"where SMTP listens on 127.0.0.1 (default: {PORT}, or as in master.cf)")
    made.add_argument("--domain", default=DOMAIN, help=f"domain of a new one's mailboxes (default: {DOMAIN})")
    return made


DOORS = ("smtpd", "postscreen")


def smtp_port(config: Path, conf: Config) -> int:
    """Where strangers bring mail by master.cf: the first smtpd, or the postscreen before it; the user may have changed
    it. Raises ConfigError."""
    for entry in load_services(str(config), conf):
        if entry.type == "inet" and entry.program in DOORS and entry.port.isdigit():
            return int(entry.port)
    return PORT


def change_port(config: Path, port: int) -> None:
    """Let SMTP listen elsewhere from now on."""
    path = config / "master.cf"
    old = smtp_port(config, Config.load(str(config)))
    lines = path.read_text().splitlines(keepends=True)
    for at, line in enumerate(lines):
        words = line.split()
        if words and words[-1] in DOORS and words[0].rpartition(":")[2] == str(old):
            lines[at] = line.replace(words[0], words[0].removesuffix(str(old)) + str(port), 1)
    path.write_text("".join(lines))


def commands_folder() -> str:
    """What to write before the names of our commands so that a shell finds them: their folder, or nothing.

    To be asked before the working directory changes: the name that we were called by may be relative.
    """
    if os.path.basename(sys.argv[0]) != "estafeta":
        return ""
    own = os.path.dirname(os.path.abspath(sys.argv[0]))
    return "" if own in os.environ.get("PATH", "").split(os.pathsep) else f"{own}/"


def greet(folder: Path, conf: Config, port: int, prefix: str, *, fresh: bool) -> None:
    """What there is, and what to do with it. `prefix` stands before the commands."""
    address, config = f"{MAILBOX}@{conf.mydomain}", folder / "etc"
    mailbox = folder / "mail" / conf.mydomain / MAILBOX
    sys.stdout.write(
        f"""
Estafeta is up{"" if fresh else " again"}: SMTP on 127.0.0.1:{port}

  A mailbox that receives mail   {address}   (any name in {conf.mydomain} does)
  Its messages land in           {mailbox}/new
  The configuration              {config}/main.cf and master.cf

Try, from another terminal:

  swaks --server 127.0.0.1:{port} --to {address}
  telnet 127.0.0.1 {port}
  printf 'Subject: hello\\n\\nHello.\\n' | {prefix}sendmail -C {config} {address}
  {prefix}mailq -C {config}
  {prefix}postfix -c {config} reload

Ctrl-C stops it; mail and configuration stay.

"""
    )
    sys.stdout.flush()
