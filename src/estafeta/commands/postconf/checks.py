"""What looks mistyped in a configuration: names that nobody reads, and names that nobody sets.

A name of the administrator's own making is good when some value refers to it: as `$name`, as a member of
smtpd_restriction_classes, or as `<table>_<suffix>` of a database table that is configured in main.cf.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from ...config.expand import ExpandError, names
from ...config.master_cf import Row
from ...config.params.group import members
from ...config.params.index import TRANSPORT_GROUP, declared, transport_parameters
from ...config.texts import Texts

DELIVERY_PROGRAMS = frozenset({"smtp", "lmtp", "local", "virtual", "pipe", "error"})
COMMAND_PROGRAMS = frozenset({"pipe", "spawn"})
DATABASE_TYPES = frozenset({"ldap", "memcache", "mysql", "pgsql", "sqlite"})
_TABLE = re.compile(r"\b([a-z]+):([A-Za-z0-9_-]+)(?![A-Za-z0-9_/.:-])")
_DATABASE_NAMES = """
additional_conditions additional_key backup bind bind_dn bind_pw cache cache_expiry cache_size chase_referrals
charset data_offset dbname dbpath debuglevel dereference domain encoding expansion_limit flags hosts
idle_interval key_format leaf_result_attribute line_size_limit max_data max_tries memcache option_file
option_group password query query_filter recursion_limit require_result_set result_attribute result_filter
result_format retry_interval retry_pause sasl sasl_authz_id sasl_mechs sasl_minssf sasl_realm scope
search_base select_field select_function server_host server_port size_limit special_result_attribute start_tls
stored_procedure table terminal_result_attribute timeout tls_CAfile tls_ca_cert_dir tls_ca_cert_file tls_cert
tls_cert_file tls_cipher_suite tls_ciphers tls_key tls_key_file tls_random_file tls_require_cert
tls_verify_cert ttl user version where_field
"""
_DATABASE_SUFFIXES = frozenset(_DATABASE_NAMES.split())


def is_raw(name: str) -> bool:
    """Whether `$name` in this parameter is none of main.cf's, as in forward_path."""
    one = declared().get(name)
    return one is not None and not one.expand


@cache
def builtin_names() -> frozenset[str]:
    """Parameters that exist whatever master.cf says."""
    grouped = {member.name for prefix in TRANSPORT_GROUP.prefixes for member in members(TRANSPORT_GROUP, prefix)}
    return frozenset(declared()) - (grouped - frozenset(TRANSPORT_GROUP.defaults))


def service_parameters(rows: list[Row]) -> dict[str, str]:
    """Name -> default of the parameters that the services of master.cf bring along."""
    found: dict[str, str] = {}
    for row in rows:
        name, program = row.columns[0], row.command[0]
        every = transport_parameters(name)
        if program in DELIVERY_PROGRAMS:
            found |= {key: one.default for key, one in every.items() if not key.endswith("_time_limit")}
        if program in COMMAND_PROGRAMS:
            found[f"{name}_time_limit"] = "$command_time_limit"
    return found


def settings_of(row: Row) -> dict[str, str]:
    """The `-o name=value` of a service as written; words that are no setting are left out."""
    found: dict[str, str] = {}
    waiting = list(row.command[1:])
    while waiting and waiting[0].startswith("-"):
        word = waiting.pop(0)
        if not word.startswith("-o"):
            continue
        text = word[2:] if word != "-o" else waiting.pop(0) if waiting else ""
        name, equals, value = text.partition("=")
        if equals and name.strip():
            found[name.strip()] = value.strip()
    return found


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that looks mistyped; as text it is what postconf prints."""

    path: str
    said: str
    setting: str
    """The parameter in whose line it is."""
    name: str = ""
    """The name that nobody knows, if it is one."""

    def __str__(self) -> str:
        return f"{self.path}: {self.said}"


@dataclass(slots=True)
class Findings:
    """Warnings in the order in which postconf prints them, and the administrator's own names that are in use."""

    undefined: list[Finding] = field(default_factory=list)
    unused: list[Finding] = field(default_factory=list)
    user_names: set[str] = field(default_factory=set)


def examine(texts: Texts, rows: list[Row], master_path: str, *, of_services: bool = False) -> Findings:
    """Look through main.cf and the -o settings of `rows`. `of_services`: names that nobody reads, in `rows` only."""
    findings = Findings()
    service = service_parameters(rows)
    values = texts.settings.values
    known = builtin_names() | set(service) | set(values)
    used = _default_references() | set(_references(values, texts, known, texts.settings.path, findings))
    for row in rows:
        own = settings_of(row)
        seen = set(_references(own, texts, known | set(own), master_path, findings))
        used |= seen
        findings.unused += [
            Finding(master_path, f"unused parameter: {name}={value}", name, name)
            for name, value in own.items()
            if name not in builtin_names() and name not in service and name not in seen
        ]
    findings.user_names = {name for name in values if name in used} - builtin_names() - set(service)
    in_main = [] if of_services else values
    findings.unused = [
        Finding(texts.settings.path, f"unused parameter: {name}={values[name]}", name, name)
        for name in in_main
        if name not in builtin_names() and name not in service and name not in used
    ] + findings.unused
    findings.undefined = list({str(one): one for one in findings.undefined}.values())
    findings.unused = list(dict.fromkeys(findings.unused))
    return findings


@cache
def _default_references() -> frozenset[str]:
    """Names that built-in defaults refer to, such as former names of a parameter. A raw text is not read here."""
    return frozenset(name for one in declared().values() if one.expand for name in names(one.default))


def _references(
    values: Mapping[str, str], texts: Texts, known: frozenset[str] | set[str], path: str, findings: Findings
) -> Iterator[str]:
    """Every name that `values` refer to; those that nobody defines become findings."""
    for key, value in values.items():
        if is_raw(key):
            continue
        mentioned: list[str] = []
        try:
            mentioned += names(value)
            expanded = texts.expand(value)
        except ExpandError as reason:
            findings.undefined.append(Finding(path, f"{key}: {reason}", key))
            expanded = value
        if key == "smtpd_restriction_classes":
            mentioned += expanded.replace(",", " ").split()
        findings.undefined += [
            Finding(path, f"undefined parameter: {name}", key, name) for name in mentioned if name not in known
        ]
        yield from mentioned
        yield from _database_names(expanded)


def _database_names(value: str) -> Iterator[str]:
    """`ldap:people` -> `people_server_host` and so on. A table that is a file has its settings there."""
    for kind, table in _TABLE.findall(value):
        if kind in DATABASE_TYPES:
            yield from (f"{table}_{suffix}" for suffix in _DATABASE_SUFFIXES)


def comment_findings(texts: Texts) -> list[str]:
    """Values with a # behind other text, which is no comment there."""
    return [
        f"{texts.settings.path}, line {one.line}: #comment after other text is not allowed: {one.name} = {one.value}"
        for one in texts.settings.assignments
        if re.search(r"(?:\s|^)#", one.value)
    ]


def is_setting(text: str) -> bool:
    """Whether `text` is `name=value`."""
    name, equals, _ = text.partition("=")
    return bool(equals and name.strip())
