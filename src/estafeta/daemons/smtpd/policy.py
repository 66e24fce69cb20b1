"""What one smtpd process has worked out from its configuration: lists, tables, compiled restrictions, EHLO keywords.

Made once by the service before the first client, and read by every session. Everything that a session would otherwise
compute for each client or message is computed here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

from estafeta.base import log, verbose
from estafeta.config.instance import Config, changed
from estafeta.config.kinds import parse_words
from estafeta.config.main_cf import ConfigError
from estafeta.daemons.smtpd.footer import Dressing
from estafeta.daemons.smtpd.former_defaults import FormerDefaults
from estafeta.daemons.smtpd.limits import ClientLimits
from estafeta.daemons.smtpd.ports import Gate, Resolved, Router
from estafeta.daemons.smtpd.rbl_replies import RblReplies
from estafeta.daemons.smtpd.restrictions import index
from estafeta.daemons.smtpd.restrictions.evaluate import (
    Step,
    Steps,
    compile_list,
    misconfigured,
)
from estafeta.daemons.smtpd.sasl import Sasl
from estafeta.daemons.smtpd.space import Space
from estafeta.daemons.smtpd.tls import TlsOffer
from estafeta.daemons.smtpd.user_limits import UserLimits
from estafeta.net.dns import Resolver
from estafeta.net.dnsbl import DnsLists
from estafeta.net.peer import Peers
from estafeta.net.policy_client import PolicyClient, PolicyService
from estafeta.net.tls.identity import Read
from estafeta.net.tls.server import read_file
from estafeta.routing.domains import own_addresses
from estafeta.services.flush import FlushClient
from estafeta.services.postmaster import Postmaster
from estafeta.services.verify import ProbeSender, Verifier
from estafeta.tables.maps import Maps
from estafeta.tables.match import MatchList
from estafeta.tables.table import Flags
from estafeta.wire.smtp.attributes import XCLIENT, XFORWARD

RELAY_GUARDS = frozenset(
    {
        "reject_unauth_destination",
        "defer_unauth_destination",
        "reject",
        "defer",
        "defer_if_permit",
        "check_relay_domains",
    }
)
"""One of these must be in smtpd_relay_restrictions or smtpd_recipient_restrictions, or the host is an open relay."""

ASKED_FOR_IN_SESSIONS = frozenset(
    {
        "address_verify_poll_count",
        "process_id",
        "service_name",
        "smtpd_hard_error_limit",
        "smtpd_junk_command_limit",
        "smtpd_per_request_deadline",
        "smtpd_soft_error_limit",
        "smtpd_error_sleep_time",
        "smtpd_starttls_timeout",
        "smtpd_timeout",
        "stress",
    }
)
"""Parameters of which nothing here is made beforehand."""

_NO_CONTROLS = bytes(0x20 if byte < 0x20 or byte == 0x7F else byte for byte in range(256))
_NO_8BIT = bytes(byte if byte < 0x80 else 0x20 for byte in range(256))


def _texts(addresses: Iterable[object]) -> frozenset[str]:
    return frozenset(map(str, addresses))


class OpenRelay(ConfigError):
    """The configuration would let strangers relay mail; says which parameter to mend."""


class Policy:
    """Attributes are read-only after `open`."""

    def __init__(
        self, conf: Config, *, intake: Gate, routing: Router, resolver: Resolver, read: Read = read_file
    ) -> None:
        self.conf = conf
        self.intake = intake
        self.routing = routing
        self.resolver = resolver
        self._read = read
        self._access: dict[str, Maps] = {}
        self._policy_clients: dict[PolicyService, PolicyClient] = {}
        self._classes: dict[str, Steps] = {}
        self._outdated: set[str] = set()
        self.nobody_unknown = "no_unknown_recipient_checks" in conf.receive_override_options
        """Whether addresses count as listed without a look: behind a filter, who exists was asked in front of it."""
        self.ipv6 = any(word.lower() in ("all", "ipv6") for word in conf.inet_protocols)
        """Whether a client may have an IPv6 address."""
        ipv4 = any(word.lower() in ("all", "ipv4") for word in conf.inet_protocols)
        self.family = 0 if ipv4 and self.ipv6 else 6 if self.ipv6 else 4
        """Of hosts that this one connects to: 4 or 6, 0 for both."""
        self.dns_lists = DnsLists(resolver)
        self.rbl_replies = RblReplies(conf)
        self.value_lists: dict[tuple[str, str], Steps] = {}
        """Restriction lists that access tables gave as values."""
        index.load()
        parents = conf.parent_domain_matches_subdomains
        self.access_parents = "smtpd_access_maps" in parents
        self.mynetworks = MatchList.open(
            conf.mynetworks, parent_matches_subdomains="mynetworks" in parents, name="mynetworks"
        )
        self.mx_backup_networks = self._clients("permit_mx_backup_networks")
        self.bare_newline_exclusions = MatchList.open(
            conf.smtpd_forbid_bare_newline_exclusions,
            parent_matches_subdomains="mynetworks" in parents,
            name="smtpd_forbid_bare_newline_exclusions",
        )
        self.bare_newline_rule = conf.smtpd_forbid_bare_newline.replace("yes", "normalize")
        self.space = Space(".")  # the working directory is the queue directory, in a chroot too
        self.least_space = max(conf.queue_minfree, conf.message_size_limit * 3 // 2)
        """Free bytes without which no message is taken."""
        self.verifier = Verifier(f"private/{conf.address_verify_service_name}", conf.ipc_timeout)
        self.probe_sender = ProbeSender(conf)
        self.postmaster = Postmaster(conf)
        self.former = FormerDefaults.of(conf)
        """Whose consequences the log tells; None where no former default is in force."""
        self.peers = Peers(resolver, lookup=conf.smtpd_peername_lookup)
        self.class_names = frozenset(conf.smtpd_restriction_classes)
        self.client = self._compile("smtpd_client_restrictions", "check_client_access")
        self.helo = self._compile("smtpd_helo_restrictions", "check_helo_access")
        self.sender = self._compile("smtpd_sender_restrictions", "check_sender_access")
        self.relay = self._compile("smtpd_relay_restrictions", "check_recipient_access")
        self.recipient = self._compile("smtpd_recipient_restrictions", "check_recipient_access")
        self.data = self._compile("smtpd_data_restrictions", None)
        self.end_of_data = self._compile("smtpd_end_of_data_restrictions", None)
        self.etrn = self._compile("smtpd_etrn_restrictions", "check_etrn_access")
        for name in self.class_names:
            self.restriction_class(name)
        self._forbid_open_relay()
        first, second = self.relay, self.recipient
        if not conf.smtpd_relay_before_recipient_restrictions:
            first, second = second, first
        self.recipient_lists = tuple(steps for steps in (first, second) if steps)
        self.delayed = conf.smtpd_delay_reject and bool(
            self.client or self.helo or self.sender or conf.smtpd_reject_unlisted_sender
        )
        """Whether RCPT has to ask lists that belong to earlier commands."""
        self.sasl = Sasl.open(conf)
        """How clients log in; None where they cannot."""
        self.login_maps = Maps.open(conf.smtpd_sender_login_maps, name="smtpd_sender_login_maps")
        """Who owns which sender address."""
        self.discard_keywords = frozenset(word.upper() for word in conf.smtpd_discard_ehlo_keywords)
        self.discard_maps = Maps.open(
            conf.smtpd_discard_ehlo_keyword_address_maps, name="smtpd_discard_ehlo_keyword_address_maps"
        )
        self.noop_commands = MatchList.open(conf.smtpd_noop_commands, name="smtpd_noop_commands")
        self.forbidden_commands = MatchList.open(conf.smtpd_forbidden_commands, name="smtpd_forbidden_commands")
        self.command_filter = Maps.open(conf.smtpd_command_filter, name="smtpd_command_filter", flags=Flags(fold=False))
        self.limits: ClientLimits | None = None
        """What one client may ask for, and ..."""
        self.user_limits: UserLimits | None = None
        """... what one user may send; None for no limits. The service sets them, which knows whether anvil(8) runs."""
        self.flush = FlushClient.open(conf)
        """Whom ETRN asks."""
        self.tls = TlsOffer.open(conf, read)
        """TLS for clients; None for none."""
        self.dressing = Dressing.of(conf)
        """What is done to refusals on their way out; None for nothing."""
        self.odd_bytes = "strict" if conf.smtputf8_enable else "surrogateescape"
        """What decoding a line does with bytes that are not UTF-8: refused, or kept as in the days before RFC 6531."""
        self.verp_clients = self._clients("smtpd_authorized_verp_clients")
        self.xclient_hosts = self._clients("smtpd_authorized_xclient_hosts")
        self.xforward_hosts = self._clients("smtpd_authorized_xforward_hosts")
        self.watch = self._clients("debug_peer_list")
        if verbose.level:  # with -v in master.cf, everybody is watched
            self.watch = MatchList.open(("0.0.0.0/0", "[::]/0"), name="debug_peer_list")
        self.permit_log = (
            MatchList.open(conf.smtpd_log_access_permit_actions, name="smtpd_log_access_permit_actions")
            if conf.smtpd_log_access_permit_actions
            else None
        )
        """Permissions that are logged; None for none."""
        self.own_addresses = _texts(own_addresses(conf.inet_interfaces, (), conf.inet_protocols))
        """Clients with one of these addresses are this host itself."""
        self.mail_addresses = self.own_addresses | _texts(own_addresses((), conf.proxy_interfaces, conf.inet_protocols))
        """Where mail for this host may be sent to: the same, and what a proxy before it has."""
        self.greeting = f"220 {conf.smtpd_banner}\r\n".encode("utf-8", "surrogateescape")
        self.helo_reply = f"250 {conf.myhostname}\r\n".encode()

    def under_stress(self, conf: Config) -> Policy:
        """The same with the values that parameters have under stress. Tables and lists are shared where they do not
        depend on it."""
        differing = {name for name in changed(self.conf, conf) if not name.startswith("postscreen_")}
        if differing <= ASKED_FOR_IN_SESSIONS:
            policy = copy.copy(self)
            policy.conf = conf
            return policy
        return Policy(conf, intake=self.intake, routing=self.routing, resolver=self.resolver, read=self._read)

    def _compile(self, parameter: str, bare_table: str | None) -> Steps:
        names: Sequence[str] = getattr(self.conf, parameter)
        return compile_list(names, self, parameter, bare_table)

    def _clients(self, parameter: str) -> MatchList:
        parents = parameter in self.conf.parent_domain_matches_subdomains
        return MatchList.open(getattr(self.conf, parameter), parent_matches_subdomains=parents, name=parameter)

    def in_log(self, text: str) -> str:
        """A client's text as it is logged: without SMTPUTF8, what is not ASCII is a `?` for each byte."""
        if text.isascii() or self.conf.smtputf8_enable:
            return text
        return text.encode("utf-8", "surrogateescape").decode("ascii", "replace").replace("\ufffd", "?")

    def reply_in_log(self, reply: str) -> str:
        """A reply as the line about a refusal quotes it: as it was sent, so without SMTPUTF8 with blanks."""
        if reply.isascii() or self.conf.smtputf8_enable:
            return reply
        return reply.encode("utf-8", "surrogateescape").translate(_NO_8BIT).decode("ascii")

    def to_wire(self, reply: str) -> bytes:
        """A reply that quotes a client: control characters, and without SMTPUTF8 all that is not ASCII, are blanks."""
        if reply.isprintable() and reply.isascii():
            return reply.encode() + b"\r\n"
        raw = reply.encode("utf-8", "surrogateescape").translate(_NO_CONTROLS)
        return (raw if self.conf.smtputf8_enable else raw.translate(_NO_8BIT)) + b"\r\n"

    def open_access(self, spec: str) -> Maps:
        """The access table `spec`, opened once for all restrictions that name it."""
        maps = self._access.get(spec)
        if maps is None:
            maps = self._access[spec] = Maps.open([spec], name=spec)
        return maps

    def outdated(self, name: str, instead: str) -> None:
        """Say once that a restriction has a successor."""
        if name not in self._outdated:
            self._outdated.add(name)
            log.warning(f'support for restriction "{name}" will be removed from Postfix; use "{instead}" instead')

    def policy_client(self, service: PolicyService) -> PolicyClient:
        """The connections to a policy server, shared by all restrictions that name it with the same settings."""
        client = self._policy_clients.get(service)
        if client is None:
            client = self._policy_clients[service] = PolicyClient(service, self.resolver, family=self.family)
        return client

    def hang_up(self) -> None:
        """Close the connections to policy servers."""
        for client in self._policy_clients.values():
            client.close()

    async def resolve(self, address: str) -> Resolved:
        """Where mail for an address as the client gave it would go. Raises TableDown."""
        return await self.routing.resolve(self.routing.rewritten(address) or address)  # `@` is not the empty address

    def restriction_class(self, name: str) -> Steps:
        """The restrictions of a class that smtpd_restriction_classes names: the value of the parameter `name`."""
        steps = self._classes.get(name)
        if steps is None:
            words = parse_words(self.conf.value(name) or "")
            self._classes[name] = ()  # a class within itself is found when it runs
            if words:
                steps = compile_list(words, self, name, None)
            else:  # nothing to check would be permission
                problem = f"restriction class `{name}' needs a definition: write {name} = restrictions"
                log.warning(f"smtpd_restriction_classes: {problem}")
                steps = (Step(name, misconfigured(name, problem)),)
            self._classes[name] = steps
        return steps

    def _forbid_open_relay(self) -> None:
        if self._guards((*self.relay, *self.recipient), frozenset()):
            return
        raise OpenRelay(
            "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working "
            "instance of: reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or "
            "check_relay_domains"
        )

    def _guards(self, steps: Steps, within: frozenset[str]) -> bool:
        """Whether one of them keeps relaying from strangers, perhaps in a class. `within`: classes around them."""
        for step in steps:
            if step.warn or step.name in within:
                continue
            if step.name in RELAY_GUARDS:
                return True
            is_class = step.name in self.class_names
            if is_class and self._guards(self.restriction_class(step.name), within | {step.name}):
                return True
        return False

    def ehlo_keywords(
        self,
        discard: frozenset[str],
        *,
        xclient: bool = False,
        xforward: bool = False,
        xverp: bool = False,
        starttls: bool = False,
        auth: Sequence[str] = (),
    ) -> list[str]:
        """The lines after the host name in the reply to EHLO."""
        conf = self.conf
        offered = {"PIPELINING": "", "SIZE": f"SIZE {conf.message_size_limit}" if conf.message_size_limit else "SIZE"}
        if not conf.disable_vrfy_command:
            offered["VRFY"] = ""
        offered["ETRN"] = ""
        if starttls:
            offered["STARTTLS"] = ""
        offered |= dict.fromkeys(auth, "")
        if xverp:
            offered["XVERP"] = ""
        if xclient:
            offered["XCLIENT"] = f"XCLIENT {' '.join(XCLIENT)}"
        if xforward:
            offered["XFORWARD"] = f"XFORWARD {' '.join(XFORWARD)}"
        offered |= {"ENHANCEDSTATUSCODES": "", "8BITMIME": "", "DSN": ""}
        if conf.smtputf8_enable:
            offered["SMTPUTF8"] = ""
        offered["CHUNKING"] = ""
        return [line or keyword for keyword, line in offered.items() if keyword == "XVERP" or keyword not in discard]
