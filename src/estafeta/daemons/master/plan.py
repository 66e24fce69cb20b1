"""What is to run: main.cf and master.cf, read and checked as a whole before anything is in force.

A reload makes a new plan; only when that succeeded is the old one given up.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from estafeta.base import log
from estafeta.config.instance import Config, load_settings
from estafeta.config.main_cf import ConfigError, MainCf
from estafeta.config.master_cf import Row, ServiceEntry, load_services, repeated
from estafeta.config.processes import worker_processes
from estafeta.skeleton import privileges

from ..index import AGENTS, LATER, PROGRAMS, SINGLE, UNAVAILABLE_AGENT
from .sockets import is_public

Key = tuple[str, str]
"""(name, type) of a service."""


@dataclass(slots=True)
class Plan:
    """One configuration. `confs` holds main.cf as each entry sees it, made once so that no process has to."""

    settings: MainCf
    conf: Config
    entries: tuple[ServiceEntry, ...]
    disabled: frozenset[Key] = frozenset()
    confs: dict[Key, Config] = field(default_factory=dict)
    replaced: tuple[Row, ...] = ()
    """Lines of master.cf that a later one for the same service replaces."""

    def conf_of(self, entry: ServiceEntry) -> Config:
        """main.cf as the entry sees it. Raises ConfigError the first time, which is when the plan is made."""
        key = (entry.name, entry.type)
        if key not in self.confs:
            conf = Config.build(self.settings, entry.overrides, service=entry.name)
            if conf.stress and "stress" not in entry.overrides and entry.maxproc != 1 and is_public(entry, conf):
                # Of a public service it is known whether it is under stress: what main.cf says does not count.
                conf = Config.build(self.settings, entry.overrides | {"stress": ""}, service=entry.name)
            self.confs[key] = conf
        return self.confs[key]


def make_plan(directory: str) -> Plan:
    """Read the configuration. Raises ConfigError, with nothing changed."""
    settings = load_settings(directory)
    conf = Config.build(settings)
    entries = tuple(load_services(directory, conf))
    if not entries:
        raise ConfigError(f"{os.path.join(directory, 'master.cf')}: no services: restore the file from the examples")
    disabled = frozenset(
        (entry.name, entry.type) for entry in entries if is_disabled(entry, conf.master_service_disable)
    )
    plan = Plan(settings, conf, entries, disabled, replaced=tuple(repeated(directory)))
    for entry in entries:
        try:
            plan.conf_of(entry)
        except ConfigError as reason:
            raise ConfigError(f"{entry.where}: {reason}") from reason
    if privileges.is_root():
        privileges.mail_owner(conf.mail_owner)
    return plan


def is_disabled(entry: ServiceEntry, patterns: tuple[str, ...]) -> bool:
    """Whether master_service_disable names the entry: `inet`, `smtp/inet`; `!` before a pattern makes an exception."""
    for pattern in patterns:
        wanted, name = not pattern.startswith("!"), pattern.lstrip("!")
        if name in (entry.type, f"{entry.name}/{entry.type}"):
            return wanted
    return False


def target_of(program: str) -> str | None:
    """`module:Class` of what serves a program; None if no process runs for it."""
    if program in PROGRAMS:
        return PROGRAMS[program]
    return UNAVAILABLE_AGENT if program in LATER and program in AGENTS else None


def is_served(entry: ServiceEntry) -> bool:
    """Whether the entry gets a socket. One that is of no use yet gets none, so that its clients are refused."""
    return entry.program in PROGRAMS or target_of(entry.program) is not None


def worker_count(entry: ServiceEntry, conf: Config) -> int:
    """How many processes share the service."""
    if entry.program in SINGLE:
        return 1
    return worker_processes(conf, entry.maxproc)


_warned: set[str] = set()


def warn_about_programs(plan: Plan) -> None:
    """Name the entries whose work is not done, once for each program and once in the life of master; and those that a
    later one replaces."""
    for row in plan.replaced:
        name, kind, private = row.columns[:3]
        shown = name if kind == "inet" else f"{'public' if private == 'n' else 'private'}/{name}"
        log.warning(f'duplicate master.cf entry for service "{name}" ({shown}) -- using the last entry')
    for entry in plan.entries:
        if entry.program in PROGRAMS or entry.program in _warned:
            continue
        _warned.add(entry.program)
        if entry.program in LATER:
            log.warning(f"{entry.where}: {entry.program} ({LATER[entry.program]}) is not available yet")
        else:
            log.warning(f"{entry.where}: unknown program '{entry.program}': service {entry.name} does not run")


def targets_of(plan: Plan) -> set[str]:
    """`module:Class` of everything that the plan may start."""
    return {target_of(entry.program) or "" for entry in plan.entries} - {""}
