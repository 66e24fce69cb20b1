"""One loaded configuration: main.cf, the overrides of one master.cf entry, and every default, as plain attributes.

`Config.build` works all values out once, so that reading `conf.smtpd_timeout` costs an attribute access. Text stays
available by name, for `$name` in tables and for names that the administrator made up (`conf.value("mua_rules")`).
A bad value raises ConfigError naming file, line and remedy before anything is in force, which is what makes a reload
atomic: the caller keeps the old object until the new one exists.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from ..base import log
from . import compatibility, identity
from .kinds import LimitError, Parameter
from .main_cf import ConfigError, MainCf, load_settings, parse_settings
from .params.group import Group, declarations, members
from .params.index import CLIENT_GROUP, SUBJECTS, TRANSPORT_GROUP, ClientGroup, Parameters, TransportGroup, declared
from .texts import NO_OVERRIDES, Texts

__all__ = ["ClientSettings", "Config", "ConfigError", "TransportSettings", "load_settings"]

DEFAULT_DIRECTORY = "/etc/postfix"

TransportSettings = TransportGroup
"""What `conf.transport(name)` returns: the members of the group as values."""
ClientSettings = ClientGroup
"""What `conf.client(name)` returns."""

_Group = TypeVar("_Group", bound=Group)

# Defaults are the same for every service, so their values are worked out once and shared. Values are immutable.
PARSED_LIMIT = 10_000
_parsed: dict[tuple[Callable[[str], Any], str], Any] = {}
_reported: set[str] = set()
_built: dict[tuple[frozenset[tuple[str, str]], str], Config] = {}
_built_for: MainCf | None = None


@cache
def _attributes() -> tuple[tuple[str, str, Parameter], ...]:
    """(attribute, parameter name, declaration) of everything that is not a member of a family."""
    return tuple(
        (attribute, parameter.name or attribute, parameter)
        for subject in SUBJECTS
        for attribute, parameter in declarations(subject)
    )


def changed(one: Config, other: Config) -> frozenset[str]:
    """The parameters whose values differ."""
    return frozenset(name for name, _, _ in _attributes() if getattr(one, name) != getattr(other, name))


def _mentions_service(settings: MainCf) -> bool:
    """Whether a value may depend on which entry of master.cf asks."""
    return any("service_name" in text for text in settings.values.values())


def default_directory() -> str:
    """The configuration directory when the command line names none."""
    return os.environ.get("MAIL_CONFIG") or DEFAULT_DIRECTORY


class Config(Texts, Parameters):
    """The values in force for one program. Made by `load`, `build` or `for_test`; not changed afterwards."""

    config_directory: str
    warnings: tuple[str, ...]
    """What the administrator should hear about this configuration, each with file and line where there is one."""

    def __init__(self, settings: MainCf, overrides: Mapping[str, str], service: str) -> None:
        """Use `build`."""
        super().__init__(settings, overrides, service)
        self._transports: dict[str, TransportGroup] = {}
        self._clients: dict[str, ClientGroup] = {}
        identity.check(self)
        origin = identity.origin_in_file(self)
        if origin is not None:
            self._in_file["myorigin"] = origin
            self._expanded.clear()
        self.__dict__.update(self._values())
        self.config_directory = settings.directory
        self.warnings = (*settings.warnings, *self._remarks())
        # Built now, so that a bad value in a transport's own limits is found when the configuration is read.
        for prefix in TRANSPORT_GROUP.prefixes:
            self.transport(prefix.rstrip("_"))
        for prefix in CLIENT_GROUP.prefixes:
            self.client(prefix.rstrip("_"))

    @classmethod
    def build(cls, settings: MainCf, overrides: Mapping[str, str] = NO_OVERRIDES, *, service: str = "") -> Config:
        """The configuration of the master.cf entry `service`; `overrides` are its `-o`. Raises ConfigError.

        The same question about the same main.cf gets the same object: what master built before a fork (its own and
        that of the entries whose options smtpd borrows), a new process does not build again.
        """
        global _built_for
        if settings is not _built_for:
            _built.clear()
            _built_for = settings
        key = (frozenset(overrides.items()), service)
        if key not in _built:
            if service and not overrides and not _mentions_service(settings):
                _built[key] = cls.build(settings)._called(service)
            else:
                _built[key] = cls(settings, overrides, service)
        return _built[key]

    def _called(self, service: str) -> Config:
        """The same for an entry of that name that sets nothing of its own: most entries of most master.cf files."""
        conf = object.__new__(type(self))
        conf.__dict__.update(self.__dict__)
        conf.service = service
        conf._expanded = {}
        conf._specials = identity.Specials(conf, service)
        return conf

    @classmethod
    def load(cls, directory: str | None = None, overrides: Mapping[str, str] = NO_OVERRIDES) -> Config:
        """Read main.cf in `directory`; None for $MAIL_CONFIG, or else /etc/postfix. Raises ConfigError."""
        return cls.build(load_settings(directory or default_directory()), overrides)

    @classmethod
    def for_test(cls, **values: str) -> Config:
        """Defaults with `values` on top, without reading a file. The host is called `host.example.com`."""
        settings = parse_settings("myhostname = host.example.com\nmynetworks = 127.0.0.0/8 [::1]/128\n", "/test")
        settings.values |= values
        return cls.build(settings)

    # --- families -------------------------------------------------------------------------------------------

    def transport(self, name: str) -> TransportSettings:
        """Limits of one transport: `<name>_<suffix>`, or else the default of the family. Raises ConfigError."""
        if name not in self._transports:
            self._transports[name] = self._family(TRANSPORT_GROUP, name + "_")
        return self._transports[name]

    def client(self, name: str) -> ClientSettings:
        """Settings of the `smtp` or the `lmtp` client. Raises ConfigError."""
        if name not in self._clients:
            self._clients[name] = self._family(CLIENT_GROUP, name + "_")
        return self._clients[name]

    def _family(self, group: type[_Group], prefix: str) -> _Group:
        family = group()
        for member in members(group, prefix):
            text = self._lookup(member.name) if member.name else None
            if text is None:
                text = member.parameter.default
            setattr(family, member.attribute, self._parse(member.name, member.parameter, text))
        return family

    # --- working it out -------------------------------------------------------------------------------------

    def _values(self) -> dict[str, Any]:
        """Attribute -> value, for every parameter that is not a member of a family."""
        return {
            attribute: self._parse(name, parameter, self._lookup(name) or "")
            for attribute, name, parameter in _attributes()
        }

    def _parse(self, name: str, parameter: Parameter, text: str) -> Any:
        expanded = self._expand(text, name) if parameter.expand and "$" in text else text
        key = (parameter.parse, expanded)
        if key in _parsed:
            return _parsed[key]
        try:
            value = parameter.parse(expanded)
        except ValueError as reason:
            if isinstance(reason, LimitError) and not self.is_set(name):
                # A default that follows another parameter (a small default_process_limit, say) is nobody's mistake.
                return reason.nearest
            shown = expanded if expanded == text else f"{text} (which is {expanded})"
            raise ConfigError(f"{self.origin(name)}: {name} = {shown}: {reason}") from reason
        if len(_parsed) < PARSED_LIMIT:
            _parsed[key] = value
        return value

    def _remarks(self) -> list[str]:
        """Parameters that are set and do nothing, or do what another parameter should say."""
        remarks = []
        known = declared()
        for name in (*self.settings.values, *self._overrides):
            parameter = known.get(name)
            if parameter and parameter.pending and self.raw_value(name) != parameter.default:
                remarks.append(f"{self.origin(name)}: parameter {name} has no effect yet")
        return remarks + compatibility.overlaps(self)

    def report(self) -> None:
        """Log what `warnings` holds, each text once in the life of this process."""
        for text in self.warnings:
            if text not in _reported:
                _reported.add(text)
                log.warning(text)
