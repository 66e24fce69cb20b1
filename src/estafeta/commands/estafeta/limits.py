"""`estafeta limits`: which users and clients are near a limit, or over it. Asks anvil(8), as root or mail_owner.

What the limits of clients are is read from main.cf and the `-o` options of each smtpd entry in master.cf; those of
users are known to anvil from the last message of each.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator, Sequence

from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError
from estafeta.config.master_cf import load_services
from estafeta.net.asker import ask_once
from estafeta.services.anvil import SOCKET, Reply, Survey, Surveyed, decode_reply, encode, limits_of

DOWN, BAD_CONFIGURATION = 69, 78
PATIENCE = 10.0
NEAR = 0.8
"""The share of a limit from which somebody is shown."""
KINDS = ("connections", "connection rate", "messages", "recipients", "new TLS sessions", "logins")
"""In the order in which limits are told to anvil."""


def main(words: Sequence[str]) -> int:
    """Exit status 0; 69: anvil cannot be asked; 78: the configuration is wrong."""
    asked = parser().parse_args(words)
    try:
        conf = Config.load(asked.config)
        limits = {
            entry.name: limits_of(Config.build(conf.settings, entry.overrides, service=entry.name))
            for entry in load_services(conf.config_directory, conf)
            if entry.program == "smtpd"
        }
    except ConfigError as reason:
        sys.stderr.write(f"estafeta limits: {reason}\n")
        return BAD_CONFIGURATION
    socket = os.path.join(conf.queue_directory, SOCKET)
    try:
        found = asyncio.run(survey(socket, 0.0001 if asked.all else NEAR, limits))
    except OSError as error:
        sys.stderr.write(
            f"estafeta limits: {error.filename or socket}: {error.strerror or error}: is the mail system running, with "
            "an anvil service in master.cf? It answers root and mail_owner\n"
        )
        return DOWN
    for line in shown(found, limits):
        sys.stdout.write(line.encode("utf-8", "replace").decode() + "\n")
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("estafeta limits", description="Who is near a sending limit, or over it.")
    made.add_argument("-c", dest="config", metavar="DIR", help="use the configuration in DIR")
    made.add_argument("-a", dest="all", action="store_true", help="everybody who is counted and has a limit")
    return made


async def survey(socket: str, share: float, limits: dict[str, list[int]]) -> Surveyed:
    """Ask. Raises OSError (TimeoutError)."""
    reply: Reply = await ask_once(socket, encode(Survey(0, share, limits)), PATIENCE, decode_reply)
    assert isinstance(reply, Surveyed)
    return reply


def shown(found: Surveyed, limits: dict[str, list[int]]) -> Iterator[str]:
    """The lines to print."""
    for user in found.users:
        counts = [
            _against("messages", user.messages, user.most_messages),
            _against("recipients", user.recipients, user.most_recipients),
        ]
        yield f"user   {user.user}: {', '.join(filter(None, counts))}; begins anew in {user.left}s"
    names = sorted(limits, key=len, reverse=True)
    for client in found.clients:
        name = next((name for name in names if client.ident.startswith(f"{name}:")), "")
        values = zip(KINDS, [client.count, *client.rates], limits.get(name, []), strict=False)
        counts = [_against(*each) for each in values]
        yield f"client {client.ident}: {', '.join(filter(None, counts))} in {found.unit}s"
    if found.more:
        yield f"... and {found.more} clients more"
    if not found.users and not found.clients:
        yield "Nobody is near a limit."


def _against(kind: str, value: int, limit: int) -> str:
    """`messages 90/100`, `messages 101/100 OVER`; nothing where there is no limit."""
    if not limit:
        return ""
    return f"{kind} {value}/{limit}{' OVER' if value > limit else ''}"
