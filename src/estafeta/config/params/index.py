"""Every parameter there is: the visible list of subject files.

`Config` takes its attributes from `SUBJECTS`, its `client()` and `transport()` objects from the two groups, and
postconf and the manual walk `declared()`. A new subject file is added here and nowhere else.
"""

from __future__ import annotations

from functools import cache

from ..kinds import Parameter
from .client_group import ClientGroup
from .group import declarations, members
from .transport_group import TransportGroup

SUBJECTS: tuple[type, ...] = ()

CLIENT_GROUP = ClientGroup
TRANSPORT_GROUP = TransportGroup

# Their defaults depend on the machine and the moment; whoever loads a configuration works them out.
COMPUTED = frozenset(
    {
        "mail_release_date",
        "mail_version",
        "mydomain",
        "myhostname",
        "mynetworks",
        "process_id",
        "process_name",
    }
)


@cache
def declared() -> dict[str, Parameter]:
    """Full parameter name -> declaration, in the order of the names. Raises ValueError when a name is there twice.

    Group names are spelled out for the prefixes that always exist; `transport_parameters` gives those of any other
    transport that master.cf names.
    """
    found: dict[str, Parameter] = {}
    for subject in SUBJECTS:
        for attribute, parameter in declarations(subject):
            _add(found, parameter.name or attribute, parameter)
    for group in (CLIENT_GROUP, TRANSPORT_GROUP):
        for prefix in group.prefixes:
            for member in members(group, prefix):
                if member.name:
                    _add(found, member.name, member.parameter)
    return dict(sorted(found.items()))


def transport_parameters(transport: str) -> dict[str, Parameter]:
    """The parameters that a transport in master.cf brings along: `slow` -> `slow_destination_rate_delay`, ..."""
    return {member.name: member.parameter for member in members(TRANSPORT_GROUP, transport + "_") if member.name}


def _add(found: dict[str, Parameter], name: str, parameter: Parameter) -> None:
    if name in found:
        raise ValueError(f"parameter {name} is declared twice: remove one of the declarations in config/params")
    found[name] = parameter
