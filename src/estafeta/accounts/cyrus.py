"""smtpd_sasl_type = cyrus: who may log in is said by a Cyrus SASL configuration, and kept where that library keeps it.

The library itself is not used: its options file is read, the sasldb, the SQL database or the saslauthd that it names
are asked, and mechanisms are our own. Names and realms follow the library: a user who names no realm gets
smtpd_sasl_local_domain if it is set, and is looked up in the realm of this host otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from estafeta.accounts import smtpd_conf
from estafeta.accounts.authenticator import Circumstances
from estafeta.accounts.local import AS_ANOTHER, NO_USER, Checking, Habits, LocalAuthenticator, usable
from estafeta.accounts.saslauthd import DEFAULT_PATH as SASLAUTHD
from estafeta.accounts.saslauthd import Saslauthd, socket_path
from estafeta.accounts.sasldb import DEFAULT_PATH as SASLDB
from estafeta.accounts.sasldb import Sasldb, split
from estafeta.accounts.smtpd_conf import Options
from estafeta.accounts.source import Source, SourceDown
from estafeta.accounts.sql import LiteralSqlSource, Place
from estafeta.accounts.sql_statement import Statement
from estafeta.base import log
from estafeta.wire.sasl.server import CHANNEL_BOUND, TRAITS

if TYPE_CHECKING:
    from estafeta.config.instance import Config

EVERY_MECHANISM = ("SCRAM-SHA-256", "SCRAM-SHA-1", "DIGEST-MD5", "CRAM-MD5", "PLAIN", "LOGIN", "ANONYMOUS")
"""What is offered without a mech_list, in the library's order."""
ENGINES = {"sqlite": "sqlite", "sqlite3": "sqlite", "pgsql": "pgsql", "mysql": "mysql"}
_FAILURE = "SASL authentication failure: "
REMARKS = {
    AS_ANOTHER: f"{_FAILURE}Requested identity not authenticated identity",
    "PLAIN": f"{_FAILURE}Password verification failed",
    "CRAM-MD5": f"{_FAILURE}incorrect digest response",
    "DIGEST-MD5": f"{_FAILURE}client response doesn't match what we generated (tried bogus)",
    f"{NO_USER}DIGEST-MD5": f"{_FAILURE}unable to canonify user and get auxprops",
    "SCRAM-SHA-1": f"{_FAILURE}StoredKey mismatch",
    "SCRAM-SHA-256": f"{_FAILURE}StoredKey mismatch",
}
"""What the library says of a wrong password; filters know these lines."""


class Unsupported(Source):
    """A way of checking that the configuration names and that is not ours: nobody is refused for that."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def verify(self, user: str, password: str, about: Circumstances) -> bool:
        raise SourceDown(f"{self.name} is not supported")


def open_authenticator(path: str, conf: Config) -> LocalAuthenticator:
    """`path`: the options file's name without `.conf`. Raises ValueError, OSError."""
    places = smtpd_conf.folders(conf.cyrus_sasl_config_path, conf.config_directory)
    options = smtpd_conf.find(path, places)
    if not options.path:
        log.info(f"SASL: no {path}.conf in {', '.join(places)}: passwords are taken from {SASLDB}")
    checking = Checking.of(conf)
    found = sources(options, checking)
    for source in found:
        source.open()
    return LocalAuthenticator(found, habits(options, found), checking)


def sources(options: Options, checking: Checking) -> list[Source]:
    """In the order of pwcheck_method. Secrets for the other mechanisms always come from the auxprop plugins."""
    methods = options.words("pwcheck_method", "auxprop")
    auxprop = _auxprop(options, checking)
    found: list[Source] = []
    for method in methods:
        if method in ("auxprop", "auxprop-hashed", "sasldb"):
            found += [source for source in auxprop if source not in found]
        elif method == "saslauthd":
            found.append(Saslauthd(socket_path(options.text("saslauthd_path", SASLAUTHD))))
        else:
            log.warning(
                f"{options.place('pwcheck_method')}: pwcheck_method {method} is not supported: use auxprop or saslauthd"
            )
            found.append(Unsupported(f"pwcheck_method {method}"))
    # Named in the file, or of use in any case: a saslauthd alone leaves nothing for the mechanisms with a secret.
    if "auxprop_plugin" in options.values or "mech_list" in options.values:
        for source in auxprop:
            if source not in found:
                source.passwords = False
                found.append(source)
    return found


def _auxprop(options: Options, checking: Checking) -> list[Source]:
    wanted = options.words("auxprop_plugin", "sasldb sql" if "sql_select" in options.values else "sasldb")
    found: list[Source] = []
    for plugin in wanted:
        if plugin == "sasldb":
            found.append(Sasldb(options.text("sasldb_path", SASLDB), checking))
        elif plugin == "sql":
            found.append(_sql(options, checking))
        else:
            log.warning(
                f"{options.place('auxprop_plugin')}: auxprop_plugin {plugin} is not supported: use sasldb or sql"
            )
            found.append(Unsupported(f"auxprop_plugin {plugin}"))
    return found


def _sql(options: Options, checking: Checking) -> Source:
    name = options.text("sql_engine", "mysql")
    engine = ENGINES.get(name)
    if engine is None:
        raise ValueError(f"{options.place('sql_engine')}: sql_engine: {name}: write one of {', '.join(ENGINES)}")
    if not options.text("sql_select"):
        raise ValueError(f"{options.place('sql_select')}: sql_select is missing")
    # The property is no user's choice: it names a column.
    template = options.text("sql_select").replace("%p", "userPassword")
    try:
        statement = Statement.parse(template, "ur")
    except ValueError as error:
        raise ValueError(f"{options.place('sql_select')}: sql_select: {error}") from None
    place = Place(
        engine=engine,
        hosts=tuple(options.words("sql_hostnames", "localhost")),
        user=options.text("sql_user"),
        password=options.text("sql_passwd"),
        database=options.text("sql_database"),
        tls=options.text("sql_usessl", "no").lower() in ("1", "yes", "y", "true", "t", "on"),
    )
    return LiteralSqlSource(f"sql:{options.path}", place, statement, _letters, "PLAIN", checking)


def _letters(user: str, realm: str, about: Circumstances) -> dict[str, str]:
    name, own = split(user, about)
    return {"u": name, "r": own}


def habits(options: Options, found: Sequence[Source]) -> Habits:
    """Which mechanisms are offered: those of mech_list, or all for which there is a source."""
    listed = [word.upper() for word in options.words("mech_list")]
    for name in listed:
        if name not in TRAITS or name in CHANNEL_BOUND:
            log.warning(f"{options.place('mech_list')}: mech_list: mechanism {name} is not supported and is left out")
    offered = [name for name in listed if name in TRAITS and name not in CHANNEL_BOUND]
    if not listed:
        offered = [name for name in EVERY_MECHANISM if usable(name, found)]
    return Habits(tuple(dict.fromkeys(offered)), REMARKS, _FAILURE, f"{_FAILURE}Couldn't find mech %s")
