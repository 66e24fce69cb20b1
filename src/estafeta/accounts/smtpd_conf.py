"""Cyrus SASL's configuration of one program: `smtpd.conf`, lines `option: value`.

Where it is looked for is Debian's way: the folders of cyrus_sasl_config_path, `sasl/` beside main.cf, then the places
of the library. Options that mean nothing here are named in a warning, once: none is silently passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from estafeta.base import log

USUAL = (
    "/etc/postfix/sasl",
    "/etc/sasl2",
    "/etc/sasl",
    "/usr/lib/sasl2",
    "/usr/lib/sasl",
    "/usr/local/lib/sasl2",
    "/usr/local/lib/sasl",
)

SUPPORTED = frozenset(
    {
        "pwcheck_method",
        "auxprop_plugin",
        "mech_list",
        "sasldb_path",
        "saslauthd_path",
        "log_level",
        "sql_engine",
        "sql_hostnames",
        "sql_user",
        "sql_passwd",
        "sql_database",
        "sql_select",
        "sql_usessl",
        "sql_verbose",
    }
)
WITHOUT_EFFECT = frozenset({"sql_insert", "sql_update", "auto_transition", "plugin_list", "srvtab", "log_level"})
"""Options about what is not done here: storing secrets, loading libraries."""
LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Options:
    path: str
    """Where they were found; empty if there is no file."""
    values: dict[str, str] = field(default_factory=dict, repr=False)  # sql_passwd is in there
    lines: dict[str, int] = field(default_factory=dict)
    """Where each stands."""

    def text(self, name: str, default: str = "") -> str:
        return self.values.get(name, default)

    def place(self, name: str) -> str:
        """`/etc/postfix/sasl/smtpd.conf, line 3`; without a line for what is not there."""
        return f"{self.path}, line {self.lines[name]}" if name in self.lines else self.path

    def words(self, name: str, default: str = "") -> list[str]:
        return self.values.get(name, default).replace(",", " ").split()


def folders(configured: Iterable[str], config_directory: str) -> list[str]:
    """Where to look, in order. Members of `configured` may be several folders with colons between them."""
    own = [folder for word in configured for folder in word.split(":") if folder]
    return list(dict.fromkeys([*own, os.path.join(config_directory, "sasl"), *USUAL]))


def find(name: str, places: Iterable[str]) -> Options:
    """Read `NAME.conf`, the first that is there. Raises OSError for one that cannot be read."""
    for place in places:
        path = os.path.join(place, f"{name}.conf")
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                return parse(file.read(LONGEST), path)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return Options("")


def parse(text: str, path: str) -> Options:
    """`option: value` lines; the last one of a name counts. What is wrong is a warning."""
    found = Options(path)
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, colon, value = stripped.partition(":")
        if not colon or not name.strip():
            log.warning(f"{path}, line {number}: expected option: value -- ignoring this line")
            continue
        name = name.strip().lower()
        if name not in SUPPORTED and name not in WITHOUT_EFFECT:
            log.warning(f"{path}, line {number}: option {name} is not supported and has no effect")
        elif name in WITHOUT_EFFECT and name != "log_level":
            log.info(f"{path}, line {number}: option {name} has no effect here")
        found.values[name], found.lines[name] = value.strip(), number
    return found
