"""Parameter texts by name, before any of them is checked.

`Config` is built on this; postconf(1) uses it alone, since it must show and mend a configuration that no daemon
would start with. Names are looked up in this order: the overrides of a master.cf entry, main.cf, what is computed
from the machine, the declared default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from . import identity
from .expand import ExpandError, expand
from .main_cf import ConfigError, MainCf
from .params.index import declared

NO_OVERRIDES: Mapping[str, str] = {}


class Texts:
    """One configuration as text. `service` is the name of the master.cf entry, '' for none."""

    settings: MainCf
    service: str

    def __init__(self, settings: MainCf, overrides: Mapping[str, str] = NO_OVERRIDES, service: str = "") -> None:
        self.settings = settings
        self.service = service
        self._overrides = dict(overrides)
        self._expanded: dict[str, str] = {}
        self._in_file: dict[str, str] = {}
        """Values for which main.cf names a file. `Config` reads them; postconf shows what main.cf says."""
        self._specials = identity.Specials(self, service)

    def raw_value(self, name: str) -> str:
        """The text of any parameter as written in master.cf, main.cf or its declaration; '' for an unknown name."""
        return self._lookup(name) or ""

    def value(self, name: str) -> str:
        """The text of any parameter, `$name` expanded; '' for an unknown name. Raises ConfigError."""
        known = self._expanded.get(name)
        if known is None:
            known = self._expanded[name] = self._expand(self.raw_value(name), name)
        return known

    def expand(self, text: str) -> str:
        """`text` with `$name` replaced by this configuration's values. Raises ExpandError."""
        return expand(text, self._lookup)

    def default(self, name: str) -> str | None:
        """The text that holds when nobody sets `name`; None for an unknown name."""
        found = self._specials.get(name)
        if found is not None:
            return found
        parameter = declared().get(name)
        return parameter.default if parameter else None

    def is_set(self, name: str) -> bool:
        """Whether main.cf or master.cf sets `name`, to anything."""
        return name in self._overrides or name in self.settings.values

    def origin(self, name: str) -> str:
        """Where the value comes from: `/etc/postfix/main.cf, line 7`, the master.cf entry, or the built-in default."""
        if name in self._overrides:
            entry = f", service {self.service}" if self.service else ""
            return f"{os.path.join(self.settings.directory, 'master.cf')}{entry}: -o {name}"
        return self.settings.origin(name) or "built-in default"

    def _lookup(self, name: str) -> str | None:
        """The text before expansion; None for a name that nobody knows."""
        found = self._in_file.get(name)
        if found is None:
            found = self._overrides.get(name)
        if found is None:
            found = self.settings.values.get(name)
        if found is None and name == "config_directory":
            found = self.settings.directory
        return found if found is not None else self.default(name)

    def _expand(self, text: str, name: str) -> str:
        try:
            return expand(text, self._lookup)
        except ExpandError as reason:
            raise ConfigError(f"{self.origin(name)}: {name} = {text}: {reason}") from reason
