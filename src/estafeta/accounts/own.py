"""smtpd_sasl_type = estafeta: accounts of our own. smtpd_sasl_path names the sources, asked in this order:

    passwd-file:/etc/estafeta/users     users and hashes in a text file, made with `estafeta passwd`
    pam:smtp                            the system's users, by the PAM service of that name
    system:                             the same, by the service `smtp`
    sql:/etc/postfix/sql-users.cf       a query
    oauth2:/etc/estafeta/oauth.cf       bearer tokens, checked by an identity provider

The parameter's own default, `smtpd`, means the file `users` beside main.cf.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from estafeta.accounts.authenticator import Mechanism
from estafeta.accounts.local import Checking, Habits, LocalAuthenticator, usable
from estafeta.accounts.pam import Pam
from estafeta.accounts.passwd_file import PasswdFile
from estafeta.accounts.source import SECRET_FORMS, Source, SourceDown
from estafeta.config.kinds import parse_words

if TYPE_CHECKING:
    from estafeta.config.instance import Config

MECHANISMS = (
    "SCRAM-SHA-256",
    "SCRAM-SHA-1",
    "DIGEST-MD5",
    "CRAM-MD5",
    "PLAIN",
    "LOGIN",
    "OAUTHBEARER",
    "XOAUTH2",
    "EXTERNAL",
)
"""In the order in which they are offered: the best first, since some clients take the first that they know."""
DEFAULT_PATH = "smtpd"
PAM_SERVICE = "smtp"

KINDS: dict[str, Callable[[str, Checking], Source]] = {
    "passwd-file": PasswdFile,
    "pam": lambda name, checking: Pam(name or PAM_SERVICE, checking),
    "system": lambda name, checking: Pam(name or PAM_SERVICE, checking),
    "sql": lambda path, checking: _opened("sql", path, checking),
    "oauth2": lambda path, checking: _opened("oauth", path, checking),
}


def open_authenticator(path: str, conf: Config) -> OwnAuthenticator:
    """`path`: the sources. Raises ValueError, OSError."""
    checking = Checking.of(conf)
    found = [source_of(word, checking) for word in source_names(path, conf.config_directory)]
    for source in found:
        source.open()
    return OwnAuthenticator(found, checking)


def source_names(path: str, config_directory: str) -> list[str]:
    """Raises ValueError where there is none."""
    if path == DEFAULT_PATH:
        return [f"passwd-file:{os.path.join(config_directory, 'users')}"]
    names = list(dict.fromkeys(parse_words(path)))
    if not names:
        raise ValueError("no source of passwords: write passwd-file:/etc/estafeta/users")
    return names


def source_of(word: str, checking: Checking) -> Source:
    """Raises ValueError, OSError."""
    kind, colon, name = word.partition(":")
    make = KINDS.get(kind)
    if make is None or not (colon or kind == "system"):
        raise ValueError(f"{word}: write one of {', '.join(f'{known}:...' for known in KINDS)}")
    if kind in ("pam", "system") and (not name.replace("-", "").replace("_", "").isalnum() and name):
        raise ValueError(f"{word}: {name!r} is no name of a PAM service")
    if kind not in ("pam", "system") and not name.startswith("/"):
        raise ValueError(f"{word}: write the whole path of the file")
    return make(name, checking)


def _opened(module: str, path: str, checking: Checking) -> Source:
    """Modules with much behind them, which few sites need."""
    source: Source = import_module(f"estafeta.accounts.{module}").open_own(path, checking)
    return source


class OwnAuthenticator(LocalAuthenticator):
    """Offers what every user can use: a client takes the best that is offered, and when that fails tries no other."""

    def __init__(self, sources: Sequence[Source], checking: Checking) -> None:
        offered = tuple(name for name in MECHANISMS if usable(name, sources))
        super().__init__(sources, Habits(offered), checking)

    async def mechanisms(self) -> Sequence[Mechanism]:
        """Raises nothing: a source that is down takes away only what nobody could use now."""
        useless: set[str] = set()
        for source in self.sources:
            if not source.passwords:
                continue
            if not isinstance(source, PasswdFile):
                useless |= SECRET_FORMS - source.forms
                continue
            try:
                useless |= SECRET_FORMS - await self.checking.workers.run(source.offered_forms)
            except SourceDown:
                useless |= SECRET_FORMS
        return self.offers(without=frozenset(useless))
