"""Passwords in an SQL database: `sql:FILE` of our own, and the sql plugin of a Cyrus configuration.

SQLite comes with Python; PostgreSQL and MySQL need their drivers (`pip install estafeta[pgsql]`, `estafeta[mysql]`).
The drivers block, so each source has a few threads with a connection each, made when it is first needed and anew when
it was lost. An SQLite file is opened before privileges are dropped, for a process in a chroot cannot see it later.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from estafeta.accounts import hashes, settings_file
from estafeta.accounts.authenticator import Circumstances
from estafeta.accounts.hashes import BadHash, Stored
from estafeta.accounts.local import Checking
from estafeta.accounts.passwd_file import check
from estafeta.accounts.source import SECRET_FORMS, Source, SourceDown
from estafeta.accounts.sql_statement import Statement
from estafeta.accounts.workers import Workers
from estafeta.base import log
from estafeta.tables.source import is_hidden
from estafeta.wire.sasl.events import Kept

THREADS = 4
MOST_ROWS = 10
"""Rows that are looked at; a user has one."""


class Connection(Protocol):
    """PEP 249, as far as it is needed."""

    def cursor(self) -> Any: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a database is."""

    engine: str
    """sqlite, pgsql or mysql."""
    hosts: tuple[str, ...] = ()
    """`host`, `host:port`, or the path of a local socket (after `unix:` perhaps). Tried in order."""
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = ""
    timeout: float = 10.0
    tls: bool = False


PGSQL_SOCKET = ".s.PGSQL."
DRIVERS = {"pgsql": ("psycopg", "pgsql"), "mysql": ("pymysql", "mysql")}
MARKS = {"sqlite": "?", "pgsql": "%s", "mysql": "%s"}


def driver(engine: str) -> Any:
    """The module. Raises ValueError that says how to get it."""
    name, extra = DRIVERS[engine]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"no driver for {engine} ({error}): pip install 'estafeta[{extra}]'") from None


class Database:
    """One database. `fetch` blocks, and may be called from several threads."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._driver = sqlite3 if place.engine == "sqlite" else driver(place.engine)
        self._own = threading.local()
        self._turn = threading.Lock()
        self._file: sqlite3.Connection | None = None
        self._file_seen: tuple[int, int] | None = None

    def open(self) -> None:
        """As root, where we are. What fails is told to those who ask."""
        if self.place.engine == "sqlite":
            with contextlib.suppress(sqlite3.Error):  # as said
                self._open_file()

    def fetch(self, statement: Statement, given: Mapping[str, str]) -> list[Sequence[Any]]:
        """A few rows. Raises SourceDown."""
        text, parameters = statement.text(MARKS[self.place.engine]), statement.parameters(given)
        try:
            if self.place.engine == "sqlite":
                with self._turn:
                    return self._rows(self._current_file(), text, parameters)
            return self._ask_server(text, parameters)
        except (self._driver.Error, OSError) as error:
            # Drivers may quote the statement with what was put into it: the first line names the trouble.
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise SourceDown(f"{self.place.engine} database {self.place.database}: {reason}") from None

    def close(self) -> None:
        with self._turn:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _rows(self, connection: Connection, text: str, parameters: list[str]) -> list[Sequence[Any]]:
        cursor = connection.cursor()
        try:
            cursor.execute(text, parameters)
            return list(cursor.fetchmany(MOST_ROWS))
        finally:
            cursor.close()

    # --- a file

    def _open_file(self) -> sqlite3.Connection:
        path = self.place.database
        address = f"file:{path.replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?mode=ro"
        connection = sqlite3.connect(address, uri=True, timeout=self.place.timeout, check_same_thread=False)
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        try:
            connection.execute("SELECT name FROM sqlite_master LIMIT 1").fetchall()  # opens its log, too
        except sqlite3.Error:
            connection.close()
            raise
        if self._file is not None:
            self._file.close()
        self._file, self._file_seen = connection, _identity(path)
        return connection

    def _current_file(self) -> sqlite3.Connection:
        path = self.place.database
        if self._file is None:
            return self._open_file()
        seen = _identity(path)
        if seen != self._file_seen and (seen is not None or not is_hidden(path)):
            return self._open_file()
        return self._file

    # --- a server

    def _ask_server(self, text: str, parameters: list[str]) -> list[Sequence[Any]]:
        held: Connection | None = getattr(self._own, "connection", None)
        if held is not None:
            try:
                return self._rows(held, text, parameters)
            except (self._driver.OperationalError, self._driver.InterfaceError, OSError):
                # It may have been closed while nobody used it: that says nothing about the server.
                with contextlib.suppress(self._driver.Error, OSError):
                    held.close()
                self._own.connection = None
        self._own.connection = self._connect()
        return self._rows(self._own.connection, text, parameters)

    def _connect(self) -> Connection:
        problem: Exception | None = None
        for host in self.place.hosts or ("localhost",):
            try:
                return CONNECT[self.place.engine](self._driver, self.place, host)
            except (self._driver.Error, OSError) as error:
                problem = error
        assert problem is not None
        raise problem


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def split_host(host: str) -> tuple[str, int | None, str]:
    """(host, port, path of a local socket)."""
    host = host.removeprefix("inet:")
    if host.startswith(("unix:", "/")):
        folder, _, name = host.removeprefix("unix:").rpartition("/")
        if name.startswith(PGSQL_SOCKET) and name[len(PGSQL_SOCKET) :].isdigit():
            return "", int(name[len(PGSQL_SOCKET) :]), folder  # libpq wants it in two parts
        return "", None, host.removeprefix("unix:")
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.endswith("]")):
        return name.strip("[]"), int(port), ""
    return host.strip("[]"), None, ""


def _connect_pgsql(module: Any, place: Place, host: str) -> Connection:
    name, port, path = split_host(host)
    connection: Connection = module.connect(
        host=path or name,
        port=port or 5432,
        user=place.user or None,
        password=place.password or None,
        dbname=place.database,
        connect_timeout=max(2, int(place.timeout)),
        options=f"-c statement_timeout={int(place.timeout * 1000)}",
        sslmode="require" if place.tls else "prefer",
        autocommit=True,
    )
    return connection


def _connect_mysql(module: Any, place: Place, host: str) -> Connection:
    name, port, path = split_host(host)
    where = {"unix_socket": path} if path else {"host": name, "port": port or 3306}
    connection: Connection = module.connect(
        **where,
        user=place.user,
        password=place.password,
        database=place.database,
        connect_timeout=int(place.timeout) or 1,
        read_timeout=place.timeout or None,
        write_timeout=place.timeout or None,
        charset="utf8mb4",
        autocommit=True,
        **({"ssl": {}} if place.tls else {}),
    )
    return connection


CONNECT: dict[str, Callable[[Any, Place, str], Connection]] = {"pgsql": _connect_pgsql, "mysql": _connect_mysql}

Letters = Callable[[str, str, Circumstances], dict[str, str]]
"""(login name, realm, about) -> what the placeholders stand for."""


class SqlSource(Source):
    """The first column of the first row is the stored password."""

    def __init__(
        self, name: str, place: Place, statement: Statement, letters: Letters, scheme: str, checking: Checking
    ) -> None:
        """`scheme`: of passwords that name none."""
        self.name = name
        self.forms = SECRET_FORMS if scheme == "PLAIN" else frozenset()
        self._statement = statement
        self._letters = letters
        self._scheme = scheme
        self._checking = checking
        self._database = Database(place)
        self._asking = Workers(THREADS, 100)
        self._seen: Stored | None = None
        """Somebody's stored password, to have something to check for users who do not exist."""

    def open(self) -> None:
        hashes.prepare()
        self._database.open()

    async def stop(self) -> None:
        self._asking.stop()
        self._database.close()

    async def verify(self, user: str, password: str, about: Circumstances) -> bool:
        stored = await self._stored(user, about.realm, about)
        if stored is not None:
            self._seen = stored
        against = stored or self._seen
        if against is None:
            return False
        try:
            right = await self._checking.workers.run(check, against, password, user, self._checking)
        except BadHash as error:
            log.warning(f"{self.name}: the password of some user cannot be checked: {error}")
            return False
        return right and stored is not None

    async def kept(self, user: str, realm: str, form: str, about: Circumstances) -> Kept | None:
        stored = await self._stored(user, realm, about)
        try:
            return hashes.kept_for(stored, form) if stored is not None else None
        except BadHash as error:
            log.warning(f"{self.name}: {error}")
            return None

    async def _stored(self, user: str, realm: str, about: Circumstances) -> Stored | None:
        rows = await self._asking.run(self._database.fetch, self._statement, self._letters(user, realm, about))
        if not rows or not rows[0] or rows[0][0] is None:
            return None
        value = rows[0][0]
        text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
        if self._literal:
            return Stored("PLAIN", text)
        try:
            return Stored.parse(text, self._scheme)
        except BadHash as error:
            log.warning(f"{self.name}: the password of some user cannot be checked: {error}")
            return None

    _literal = False


class LiteralSqlSource(SqlSource):
    """As Cyrus SASL reads it: what is stored is the password, whatever it looks like."""

    _literal = True


SETTINGS = {
    "driver": "sqlite",
    "hosts": "localhost",
    "user": "",
    "password": "",
    "dbname": "",
    "dbpath": "",
    "query": "",
    "default_pass_scheme": "CRYPT",
    "timeout": "10s",
    "tls": "no",
}
"""Of `sql:FILE`, in the words of sqlite_table(5), pgsql_table(5) and mysql_table(5)."""
OWN_LETTERS = "sud"


def own_letters(user: str, realm: str, about: Circumstances) -> dict[str, str]:
    """%s is the login name, %u what comes before its @, %d the domain."""
    name, at, domain = user.rpartition("@")
    return {"s": user, "u": name if at else user, "d": domain if at else realm or about.own_name}


def open_own(path: str, checking: Checking) -> SqlSource:
    """`sql:PATH`. Raises ValueError, OSError."""
    said = settings_file.read(path, SETTINGS)
    engine = {"sqlite3": "sqlite", "postgresql": "pgsql"}.get(said["driver"], said["driver"])
    if engine not in MARKS:
        raise ValueError(f"{path}: driver = {said['driver']}: write sqlite, pgsql or mysql")
    if not said["query"]:
        raise ValueError(f"{path}: query is missing: write one that selects the password of '%s'")
    database = said["dbpath"] or said["dbname"] if engine == "sqlite" else said["dbname"]
    if not database:
        raise ValueError(f"{path}: {'dbpath' if engine == 'sqlite' else 'dbname'} is missing")
    scheme = said["default_pass_scheme"].upper()
    if scheme not in hashes.KNOWN:
        raise ValueError(f"{path}: default_pass_scheme = {scheme} is not supported")
    place = Place(
        engine=engine,
        hosts=tuple(said["hosts"].replace(",", " ").split()),
        user=said["user"],
        password=said["password"],
        database=database,
        timeout=settings_file.duration(said["timeout"], "timeout", path),
        tls=said["tls"] in ("yes", "true", "1"),
    )
    try:
        statement = Statement.parse(said["query"], OWN_LETTERS)
    except ValueError as error:
        raise ValueError(f"{path}: query: {error}") from None
    return SqlSource(f"sql:{path}", place, statement, own_letters, scheme, checking)
