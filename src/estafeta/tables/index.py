"""Every table type, by name, and the one function that opens a table.

Modules are imported on first use, so that a site without PostgreSQL does not pay for its client. A table that
several parameters name is opened once per process and shared: `open_table` hands out the same object for the
same spec and flags while anyone still holds it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast
from weakref import WeakValueDictionary

from estafeta.base import log, verbose
from estafeta.base.suggest import did_you_mean
from estafeta.tables import settings
from estafeta.tables.table import Flags, Table, TableError

TYPES: dict[str, str] = {
    "btree": "estafeta.tables.indexed:IndexedTable",
    "cdb": "estafeta.tables.cdb:CdbTable",
    "cidr": "estafeta.tables.cidr:CidrTable",
    "dbm": "estafeta.tables.indexed:IndexedTable",
    "debug": "estafeta.tables.debug:DebugTable",
    "environ": "estafeta.tables.environ:EnvironTable",
    "fail": "estafeta.tables.fail:FailTable",
    "hash": "estafeta.tables.indexed:IndexedTable",
    "inline": "estafeta.tables.inline:InlineTable",
    "internal": "estafeta.tables.internal:InternalTable",
    "lmdb": "estafeta.tables.lmdb_file:LmdbTable",
    "mailbox": "estafeta.tables.mailbox:MailboxTable",
    "nis": "estafeta.tables.nis:NisTable",
    "pcre": "estafeta.tables.pcre:PcreTable",
    "pipemap": "estafeta.tables.combined:PipeTable",
    "randmap": "estafeta.tables.combined:RandomTable",
    "regexp": "estafeta.tables.regexp:RegexpTable",
    "sdbm": "estafeta.tables.indexed:IndexedTable",
    "socketmap": "estafeta.tables.socketmap:SocketmapTable",
    "static": "estafeta.tables.static:StaticTable",
    "tcp": "estafeta.tables.tcp:TcpTable",
    "texthash": "estafeta.tables.texthash:TextHashTable",
    "unionmap": "estafeta.tables.combined:UnionTable",
    "unix": "estafeta.tables.unix:UnixTable",
}

LATER = frozenset({"ldap", "memcache", "mongodb", "mysql", "pgsql", "sqlite"})
"""Types of Postfix that do not exist here yet."""

TRANSPARENT = ("proxy", "proxywrite")
"""`proxy:hash:/x` is `hash:/x`: Postfix asks proxymap(8) to open it; here the process opens it itself."""


class Opener(Protocol):
    """How a table class is called: the type and the name as written, and flags."""

    def __call__(self, kind: str, name: str, flags: Flags) -> Table: ...


_opened: WeakValueDictionary[tuple[str, Flags], Table] = WeakValueDictionary()


def open_table(spec: str, flags: Flags = Flags(), *, anew: bool = False) -> Table:  # noqa: B008 - frozen
    """The table that `type:name` names. `anew` opens it again although an opened one is at hand (it has changed).

    Raises TableError, with the remedy, for an unknown type and for a table that cannot be used.
    """
    kind, name = split_spec(spec)
    if not flags.trusted:
        _check_approved(spec, f"{kind}:{name}")
    key = (f"{kind}:{name}", flags)
    table = None if anew else _opened.get(key)
    if table is None:
        table = _opener(kind, spec)(kind, name, flags)
        table.spec = f"{kind}:{name}"
        if verbose.wanted():
            from estafeta.tables.told import ToldTable  # only who looks for an error needs it

            verbose.tell(f"dict_open: {table.spec}")
            table = ToldTable(table)
        _opened[key] = table
    return table


def split_spec(spec: str) -> tuple[str, str]:
    """`hash:/etc/aliases` -> ("hash", "/etc/aliases"), `proxy:` taken off. Raises TableError."""
    kind, _, name = spec.partition(":")
    while kind in TRANSPARENT and name:
        kind, _, name = name.partition(":")
    if not kind or not name:
        raise TableError(f'open dictionary: expecting "type:name" form instead of "{spec}"')
    return kind, name


def _check_approved(spec: str, table: str) -> None:
    """Postfix's proxymap(8) opens nothing that its lists do not name. Raises TableError."""
    service = spec.partition(":")[0]
    if service not in TRANSPARENT:
        return
    approved, name = settings.in_force.proxy_read, "proxy_read_maps"
    if service == "proxywrite":
        approved, name = settings.in_force.proxy_write, "proxy_write_maps"
    if approved is None or table in approved:
        return
    log.warning(f'request for unapproved table: "{table}"')
    log.warning(f"to approve this table for read-only access, list proxy:{table} in main.cf:{name}")
    raise TableError(f'proxymap service is not configured for table "{table}"', f"list proxy:{table} in main.cf:{name}")


def _opener(kind: str, spec: str) -> Opener:
    if kind not in TYPES:
        if kind in LATER:
            remedy = f"{spec}: tables in databases do not exist yet: write what it holds into a file, for hash:"
        else:
            remedy = f"{spec} must begin with one of: {' '.join(sorted(TYPES))}{did_you_mean(kind, TYPES)}"
        raise TableError(f"unsupported dictionary type: {kind}", remedy)
    module, _, attribute = TYPES[kind].partition(":")
    return cast(Opener, getattr(import_module(module), attribute))
