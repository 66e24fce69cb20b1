"""Every parameter there is: the visible list of subject files.

`Config` takes its attributes from `Parameters`, its `client()` and `transport()` objects from the two groups, and
postconf and the manual walk `declared()`. A new subject file is added here and nowhere else.
"""

from __future__ import annotations

from functools import cache

from ..kinds import Parameter
from .accounts import Accounts
from .bounce import Bounce, Notices, Verp
from .client_group import ClientGroup
from .group import declarations, members
from .identity import Identity
from .intake import ContentChecks, Headers, MessageLimits, Mime, Smtputf8
from .local import Local, Mailboxes
from .log import Log
from .lookup_tables import BerkeleyMigration, LookupTables
from .milter import MilterMacros, Milters
from .paths import Instances, Paths
from .postscreen import Postscreen, PostscreenAfterGreeting, PostscreenBeforeGreeting, PostscreenSession
from .postscreen_tls import PostscreenTls
from .processes import ConnectionCache, Processes, ServiceNames
from .queue import Queue
from .rewriting import AddressForm, CanonicalMaps
from .routing import Routing
from .scheduling import Scheduling
from .smtpd_access import SmtpdPolicy, SmtpdReplies, SmtpdRestrictions
from .smtpd_limits import SmtpdClientLimits, SmtpdLimits, UserLimits
from .smtpd_sasl import SmtpdSasl
from .smtpd_session import SmtpdSession
from .smtpd_tls import SmtpdTls
from .submission import FastFlush, Qmqp, Submission, TcpSettings
from .tls_library import TlsLibrary
from .tlsproxy import TlsproxyClient, TlsproxyServer
from .transport_group import TransportGroup
from .verify import AddressVerification
from .virtual import VirtualAliases, VirtualMailboxes

__all__ = [
    "CLIENT_GROUP",
    "COMPUTED",
    "SUBJECTS",
    "TRANSPORT_GROUP",
    "ClientGroup",
    "Parameters",
    "TransportGroup",
    "declared",
    "transport_parameters",
]


class Parameters(
    Identity,
    Paths,
    Instances,
    Processes,
    ServiceNames,
    ConnectionCache,
    Log,
    AddressForm,
    CanonicalMaps,
    Routing,
    VirtualAliases,
    VirtualMailboxes,
    Local,
    Mailboxes,
    MessageLimits,
    Headers,
    ContentChecks,
    Mime,
    Smtputf8,
    Milters,
    MilterMacros,
    Queue,
    Scheduling,
    Bounce,
    Notices,
    Verp,
    SmtpdSession,
    SmtpdLimits,
    SmtpdClientLimits,
    UserLimits,
    SmtpdRestrictions,
    SmtpdReplies,
    SmtpdPolicy,
    SmtpdSasl,
    Accounts,
    SmtpdTls,
    TlsLibrary,
    LookupTables,
    BerkeleyMigration,
    Postscreen,
    PostscreenBeforeGreeting,
    PostscreenAfterGreeting,
    PostscreenSession,
    PostscreenTls,
    TlsproxyServer,
    TlsproxyClient,
    AddressVerification,
    Submission,
    Qmqp,
    FastFlush,
    TcpSettings,
):
    """All subjects in one: what a loaded configuration has as attributes."""


SUBJECTS: tuple[type, ...] = Parameters.__bases__

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
