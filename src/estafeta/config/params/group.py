"""Parameters that come as a family: one declaration, one name for each prefix.

`smtp_mail_timeout` and `lmtp_mail_timeout` are one parameter for two programs, and every transport that master.cf
names has a `<transport>_destination_rate_delay` of its own. Such a family is declared once, in a class whose
attributes are the suffixes; a value is read as `conf.client("smtp").mail_timeout` or
`conf.transport("slow").destination_rate_delay`.

In a default, `<prefix>` stands for the prefix: `"$<prefix>tls_cert_file"`. Where members of the family differ, the
class says so: `renamed` (full name as built -> its real name), `defaults` (real full name -> its own default) and
`only` (suffix -> the one prefix that has it as a parameter; for the others the attribute holds the default).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from ..kinds import Parameter


class Group:
    """The base of every family."""

    prefixes: ClassVar[tuple[str, ...]] = ()
    renamed: ClassVar[dict[str, str]] = {}
    defaults: ClassVar[dict[str, str]] = {}
    only: ClassVar[dict[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Member:
    """One attribute of a group object for one prefix. An empty `name`: no such parameter, the default always holds."""

    attribute: str
    name: str
    parameter: Parameter


def declarations(subject: type) -> Iterator[tuple[str, Parameter]]:
    """(attribute, declaration) of a subject or group class, those of its base classes first."""
    for part in reversed(subject.__mro__):
        for attribute, value in vars(part).items():
            if isinstance(value, Parameter):
                yield attribute, value


_members_of: dict[tuple[type[Group], str], tuple[Member, ...]] = {}


def members(group: type[Group], prefix: str) -> tuple[Member, ...]:
    """What the group is for one prefix, as in `smtp_`, with real names and this prefix's defaults.

    Remembered, since every entry of master.cf has its own configuration and all of them ask the same.
    """
    found = _members_of.get((group, prefix))
    if found is None:
        found = _members_of[group, prefix] = tuple(_members(group, prefix))
    return found


def _members(group: type[Group], prefix: str) -> Iterator[Member]:
    for attribute, parameter in declarations(group):
        built = prefix + attribute
        name = group.renamed.get(built, built)
        default = group.defaults.get(name, parameter.default).replace("<prefix>", prefix)
        if group.only.get(attribute, prefix) != prefix:
            name = ""
        yield Member(attribute, name, replace(parameter, default=default))
