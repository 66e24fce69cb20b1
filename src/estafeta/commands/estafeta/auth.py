"""`estafeta auth test USER`: would this login be let in, and which source of passwords says so?

Asks as smtpd does, with the configuration in force (smtpd_sasl_type and smtpd_sasl_path; `-o` for settings of one
master.cf entry). The password is asked for at a terminal, or is the first line of standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from estafeta.accounts.authenticator import Authenticator, Challenge, Circumstances, Denied, Login
from estafeta.accounts.index import open_authenticator
from estafeta.accounts.local import LocalAuthenticator, named
from estafeta.accounts.source import SourceDown
from estafeta.commands.estafeta.passwd import ask_password
from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError

LET_IN, REFUSED, USAGE, LATER, BAD_CONFIGURATION = 0, 1, 64, 75, 78


def main(words: Sequence[str]) -> int:
    """Exit status 0: let in; 1: refused; 75: cannot be said now; 78: the configuration is wrong."""
    asked = parser().parse_args(words)
    overrides = dict(word.partition("=")[::2] for word in asked.option)
    try:
        settings = Config.load(asked.config).settings
        conf = Config.build(settings, {name.strip(): text for name, text in overrides.items()})
        authenticator = open_authenticator(conf.smtpd_sasl_type, conf.smtpd_sasl_path, conf)
        password = ask_password(f"Password of {asked.user}: ")
    except (ConfigError, ValueError, OSError) as reason:
        sys.stderr.write(f"estafeta auth: {reason}\n")
        return BAD_CONFIGURATION
    return asyncio.run(_test(authenticator, asked.user, password, circumstances(conf, asked.client)))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("estafeta auth", description="Try a login without a mail client.")
    commands = made.add_subparsers(required=True, metavar="test")
    test = commands.add_parser("test", help="would this user be let in, and by which source?")
    test.add_argument("user", metavar="USER", help="the login name")
    test.add_argument("-c", dest="config", metavar="DIR", help="use the configuration in DIR")
    test.add_argument("-o", dest="option", metavar="NAME=VALUE", action="append", default=[], help="a setting")
    test.add_argument("--client", metavar="ADDRESS", default="127.0.0.1", help="who the client is said to be")
    return made


def circumstances(conf: Config, client: str) -> Circumstances:
    return Circumstances(
        service=conf.smtpd_sasl_service,
        realm=conf.smtpd_sasl_local_domain,
        client_address=client,
        client_port="0",
        own_address="127.0.0.1",
        own_port="25",
        own_name=conf.myhostname,
        tls=True,
    )


async def _test(authenticator: Authenticator, user: str, password: str, about: Circumstances) -> int:
    await authenticator.start()
    try:
        try:
            offered = " ".join(mechanism.name for mechanism in await authenticator.mechanisms())
        except OSError as reason:
            sys.stdout.write(f"cannot be asked now: {reason}\n")
            return LATER
        sys.stdout.write(f"mechanisms: {offered or '(none)'}\n")
        if isinstance(authenticator, LocalAuthenticator):
            await _each(authenticator, user, password, about)
        raw = "\0".join(("", user, password)).encode("utf-8", "surrogateescape")
        exchange, answer = await authenticator.begin("PLAIN", raw, about)
        exchange.cancel()
    finally:
        await authenticator.stop()
    match answer:
        case Login():
            sys.stdout.write(f"let in, as {answer.user}\n")
            return LET_IN
        case Denied() if answer.later:
            sys.stdout.write(f"cannot be said now: {answer.reason}\n")
            return LATER
        case Denied():
            sys.stdout.write(f"refused: {answer.reason}\n")
        case Challenge():
            sys.stdout.write("refused: the server wants to know more than a password\n")
    return REFUSED


async def _each(authenticator: LocalAuthenticator, user: str, password: str, about: Circumstances) -> None:
    for source in authenticator.sources:
        if not source.passwords:
            continue
        try:
            right = await source.verify(named(user, about.realm), password, about)
            sys.stdout.write(f"{source.name}: {'yes' if right else 'no'}\n")
        except SourceDown as reason:
            sys.stdout.write(f"{source.name}: cannot be asked: {reason}\n")
