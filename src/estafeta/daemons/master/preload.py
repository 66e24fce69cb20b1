"""Import everything that services may need, before the first fork.

It makes a fork cheap, and it is a necessity: a service that has given up its rights or lives in a chroot may not be
able to read the interpreter's and our own files any more, so that whatever Python imports on first use would fail
there.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable

from estafeta.base import log

ROOMS = [
    "base",
    "mail",
    "wire",
    "mailauth",
    "config",
    "net",
    "tables",
    "queue",
    "store",
    "accounts",
    "routing",
    "intake",
    "services",
    "skeleton",
]
"""The rooms of the package that services use; `daemons` is taken by what master.cf names."""

ON_FIRST_USE = (
    "concurrent.futures.thread",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.punycode",
    "encodings.utf_8",
    "stringprep",
    "unicodedata",
    "_strptime",
    "locale",
    "linecache",
    "traceback",
    "ssl",
    "uvloop",
    "idna",
    "idna.uts46data",
)
"""What the standard library and our dependencies import when it is first needed."""

_tried: set[str] = set()


def preload(targets: Iterable[str]) -> None:
    """Import the rooms, and the modules of the given services (`module:Class`). Warns about a service that cannot
    run."""
    for name in ON_FIRST_USE:
        _import_if_there(name)
    _load_record_types()
    for room in ROOMS:
        _walk(f"estafeta.{room}")
    for module in sorted({target.partition(":")[0] for target in targets}):
        _import_service(module)


def _walk(package: str) -> None:
    """A package and all below it. One that needs a package that is not installed (a database's) is passed over: its
    first use says what is missing."""
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(root.__path__, package + ".", onerror=lambda name: None):
        _import_if_there(found.name)


def _import_if_there(name: str) -> None:
    if name in _tried:
        return
    _tried.add(name)
    try:
        importlib.import_module(name)
    except ImportError:
        return


def _import_service(module: str) -> None:
    """A service's module, and what lies beside it if it is a folder of daemons/."""
    if module in _tried:
        return
    _tried.add(module)
    try:
        importlib.import_module(module)
    except Exception as reason:
        log.warning(f"cannot load {module}: {type(reason).__name__}: {reason}")
        return
    folder = module.rpartition(".")[0]
    if module.count(".") > 2:
        _walk(folder)


def _load_record_types() -> None:
    """dnspython imports each type of DNS record when it meets the first one."""
    rdata = importlib.import_module("dns.rdata")
    load = getattr(rdata, "load_all_types", None)
    if load is not None:
        load()
