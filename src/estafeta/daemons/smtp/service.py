"""smtp(8) and lmtp(8): one process of the transport, many deliveries at a time.

The program's name says which of the two it is; what they share is declared once in `config/params/client_group.py`.
Everything that outlives a delivery (resolver, idle connections, open journals) hangs on the `Office` that is set up
here.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from estafeta.base import log
from estafeta.base.networks import number_of
from estafeta.config.instance import ClientSettings, Config
from estafeta.daemons.smtp.attempt import Attempt, Office
from estafeta.daemons.smtp.connection import UNUSABLE, Manner
from estafeta.daemons.smtp.habits import Habits
from estafeta.daemons.smtp.letter import Letter
from estafeta.daemons.smtp.mx import Directory, Settings
from estafeta.daemons.smtp.nexthop import known_ports, services_file
from estafeta.daemons.smtp.pool import Pool
from estafeta.daemons.smtp.unmet import Unmet
from estafeta.mail.address import quote
from estafeta.mail.envelope import TRACE_VERIFY
from estafeta.mail.outcome import Bounced, Deferred, Outcome
from estafeta.net.dns import Resolver
from estafeta.net.dnssec_probe import DnssecProbe
from estafeta.queue.record import Damaged
from estafeta.queue.spool import Reader
from estafeta.routing.domains import own_addresses
from estafeta.routing.generic import Generic
from estafeta.services.delivery import Delivery
from estafeta.services.pass_on import PassOn
from estafeta.services.postmaster import PROTOCOL, Postmaster
from estafeta.skeleton.agent import Answer, DeliveryAgent
from estafeta.skeleton.service import Context
from estafeta.skeleton.status_filter import StatusFilter
from estafeta.tables.dns_filter import DnsReplyFilter
from estafeta.tables.match import MatchList
from estafeta.tables.table import TableDown

FLAGS = frozenset("DORX")


class SmtpService(DeliveryAgent):
    """Serves master.cf entries of both programs, `smtp` and `lmtp`."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.lmtp = context.entry.program == "lmtp"
        self.client_conf = self.conf.client("lmtp" if self.lmtp else "smtp")
        self.flags = _flags(context.entry.args, context.entry.where)

    async def open(self) -> None:
        settings, conf = self.client_conf, self.conf
        client = "lmtp" if self.lmtp else "smtp"
        self.status_filter = StatusFilter.open(settings.delivery_status_filter, name=f"{client}_delivery_status_filter")
        if self.lmtp and settings.assume_final:
            log.warning('lmtp_assume_final is obsolete; instead, specify "flags=X" in master.cf')
        self.habits = Habits(conf, settings, lmtp=self.lmtp, verbose=self.context.entry.verbose > 0)
        self.keep_for = MatchList.open(
            settings.connection_cache_destinations,
            name=f"{client}_connection_cache_destinations",
        )
        self.bind = bind_addresses(settings, own_addresses(conf.inet_interfaces, ()), client=client)
        self.generic = Generic(conf, settings.generic_maps, ("lmtp" if self.lmtp else "smtp") + "_generic_maps")
        self.resolver = Resolver()
        if settings.dns_support_level == "dnssec":
            self.resolver.probe = DnssecProbe(conf.dnssec_probe)
        self.resolver.complete = frozenset(settings.dns_resolver_options)
        self.resolver.reply_filter = DnsReplyFilter.open(settings.dns_reply_filter, name=f"{client}_dns_reply_filter")
        # Read now: a chroot has no services(5), and the loop must not wait for a disk later.
        self.ports = services_file() | known_ports(conf.known_tcp_ports)
        self.unmet = Unmet(conf, settings, client)
        own = frozenset(
            number
            for each in own_addresses(conf.inet_interfaces, conf.proxy_interfaces)
            if (number := number_of(str(each))) is not None
        )
        self.directory = Directory(self.resolver, directory_settings(conf, settings, own), random.Random())

    async def start(self) -> None:
        settings = self.client_conf
        self.postmaster = Postmaster(self.conf)
        manner = manner_of(self.conf, settings, self.bind, lmtp=self.lmtp)
        manner = replace(manner, transcripts=bool(self.postmaster.wanted & PROTOCOL))
        self.pool = Pool(
            manner,
            idle=min(settings.connection_cache_time_limit, self.conf.connection_cache_ttl_limit),
            age=settings.connection_reuse_time_limit,
            uses=settings.connection_reuse_count_limit,
        )
        self.reader = Reader()
        self.office = Office(
            manner,
            self.directory,
            self.pool,
            self.reader,
            self.habits,
            port=settings.tcp_port,
            ports=self.ports,
            unmet=self.unmet,
            session_limit=settings.mx_session_limit,
            postmaster=self.postmaster,
            relayhost=self.conf.value("relayhost").strip(),
            fallback=settings.fallback_relay,
            best_mx=self.conf.best_mx_transport.strip(),
            pass_on=PassOn(timeout=self.conf.ipc_timeout),
            # Whoever logs in by sender must not carry the next sender's mail.
            keep=settings.connection_cache_on_demand and not settings.sender_dependent_authentication,
            keep_for=None if settings.sender_dependent_authentication else self.keep_for,
        )

    async def deliver(self, delivery: Delivery) -> Answer:
        prefix = b""
        if self.flags:
            if "D" in self.flags and len(delivery.recipients) == 1 and self._delivered_before(delivery):
                text = f"mail forwarding loop for {delivery.recipients[0].address}"
                return self.settle_all(delivery, Bounced("5.4.6", text, delivery.transport))
            prefix = prefix_of(delivery, self.flags)
        letter = Letter(
            delivery,
            self._settle,
            prefix=prefix,
            probe=bool(delivery.trace & TRACE_VERIFY),
            final="X" in self.flags or (self.lmtp and self.client_conf.assume_final),
        )
        if self.generic:
            trouble = await self._made_generic(letter)
            if trouble is not None:
                return self.settle_all(delivery, trouble)
        dead = await Attempt(self.office, letter).run()
        return Answer([outcome for outcome in letter.outcomes if outcome is not None], dead)

    async def _made_generic(self, letter: Letter) -> Deferred | None:
        """Replace addresses that mean something here only: generic(5). A reason to wait if that cannot be done now."""
        delivery, generic = letter.delivery, self.generic
        try:
            sender = await generic.address(delivery.sender)
            addresses = [await generic.address(each.address) for each in delivery.recipients]
            head = await generic.head(self.reader.head(delivery.place))
        except TableDown as down:
            return Deferred("4.3.0", f"address mapping is unavailable: {down}")
        except (OSError, Damaged) as error:
            return Deferred("4.3.0", f"message content is unreadable: {error}")
        letter.replace(sender, addresses, head)
        return None

    def _settle(self, letter: Letter, index: int, outcome: Outcome) -> Outcome:
        delivery = letter.delivery
        return self.settle(
            delivery,
            delivery.recipients[index],
            outcome,
            connected=letter.connected or time.time(),
            conn_use=letter.uses,
        )

    def _delivered_before(self, delivery: Delivery) -> bool:
        """Whether the header says that this recipient has had this message already. smtp(8), flag D."""
        wanted = delivery.recipients[0].address.lower()
        for line in self.reader.head(delivery.place).lower().split(b"\r\n"):
            if line.startswith(b"delivered-to:"):
                value = line[13:].strip().decode("utf-8", "surrogateescape")
                if value in (wanted, quote(wanted)):
                    return True
        return False

    async def stop(self) -> None:
        await self.postmaster.stop()
        await self.pool.close()
        await self.resolver.close()
        self.reader.close()


def prefix_of(delivery: Delivery, flags: frozenset[str]) -> bytes:
    """Header lines that `flags=` puts before the message: Return-Path, X-Original-To, Delivered-To."""
    lines = []
    recipient = delivery.recipients[0]
    if "R" in flags:
        lines.append(f"Return-Path: <{quote(delivery.sender)}>")
    if "O" in flags and len(delivery.recipients) == 1:
        lines.append(f"X-Original-To: {quote(recipient.original or recipient.address)}")
    if "D" in flags and len(delivery.recipients) == 1:
        lines.append(f"Delivered-To: {quote(recipient.address)}")
    return "".join(line + "\r\n" for line in lines).encode("utf-8", "surrogateescape")


def _flags(args: list[str], where: str) -> frozenset[str]:
    found = ""
    for argument in args:
        name, equals, value = argument.partition("=")
        if name == "flags" and equals and set(value) <= FLAGS:
            found += value
        else:
            log.warning(
                f"{where}: argument {argument!r} is not known here and has no effect: flags= takes D, O, R and X"
            )
    return frozenset(found)


def bind_addresses(settings: ClientSettings, interfaces: frozenset[object], *, client: str = "smtp") -> dict[int, str]:
    """Where connections start from: as set, or the only address that this instance receives mail on. postconf(5).

    `interfaces` are the addresses of inet_interfaces, as ipaddress objects.
    """
    found = {4: settings.bind_address, 6: settings.bind_address6}
    for family, address in found.items():
        number = number_of(address) if address else None
        if address and (number is None or number[0] != family):
            name = f"{client}_bind_address6" if family == 6 else f"{client}_bind_address"
            log.error(f"bad {name} parameter: {address}: write an IPv{family} address, or mail over IPv{family} waits")
            found[family] = UNUSABLE
    for family, kind in ((4, IPv4Address), (6, IPv6Address)):
        mine = [each for each in interfaces if isinstance(each, kind)]
        if not found[family] and len(mine) == 1 and not mine[0].is_loopback:
            found[family] = str(mine[0])
    return found


def manner_of(conf: Config, settings: ClientSettings, bind: dict[int, str], *, lmtp: bool) -> Manner:
    """How to talk, from main.cf."""
    return Manner(
        lmtp=lmtp,
        helo_name=settings.helo_name,
        myhostname=conf.myhostname,
        always_ehlo=settings.always_send_ehlo,
        probe_data=settings.address_verify_target == "data",
        never_ehlo=settings.never_send_ehlo,
        skip_5xx_greeting=settings.skip_5xx_greeting,
        connect_timeout=settings.connect_timeout,
        helo_timeout=settings.helo_timeout,
        mail_timeout=settings.mail_timeout,
        rcpt_timeout=settings.rcpt_timeout,
        data_init_timeout=settings.data_init_timeout,
        data_xfer_timeout=settings.data_xfer_timeout,
        data_done_timeout=settings.data_done_timeout,
        rset_timeout=settings.rset_timeout,
        quit_timeout=settings.quit_timeout,
        skip_quit_response=settings.skip_quit_response,
        quoting=settings.quote_rfc821_envelope,
        xforward=settings.send_xforward_command,
        xforward_timeout=settings.xforward_timeout,
        deadline=settings.per_request_deadline,
        min_data_rate=settings.min_data_rate,
        pix_delay=settings.pix_workaround_delay_time,
        line_limit=settings.line_length_limit,
        convert=not conf.disable_mime_output_conversion,
        mime_nesting_limit=conf.mime_nesting_limit,
        mime_boundary_length_limit=conf.mime_boundary_length_limit,
        bind=bind,
        bind_enforce=settings.bind_address_enforce,
        window=conf.tcp_windowsize,
    )


def directory_settings(conf: Config, settings: ClientSettings, own: frozenset[tuple[int, int]]) -> Settings:
    """How to find servers, from main.cf."""
    protocols = {word.lower() for word in conf.inet_protocols}
    families = tuple(number for number, word in ((4, "ipv4"), (6, "ipv6")) if "all" in protocols or word in protocols)
    use_dns = not conf.disable_dns_lookups
    if settings.dns_support_level:
        use_dns = settings.dns_support_level != "disabled"
    return Settings(
        myhostname=conf.myhostname,
        families=families or (4,),
        own_addresses=own,
        use_dns=use_dns,
        lookup=settings.host_lookup if use_dns else ("native",),
        preference=settings.address_preference,
        balance=settings.balance_inet_protocols,
        randomize=settings.randomize_addresses,
        address_limit=settings.mx_address_limit,
        ignore_mx_error=conf.ignore_mx_lookup_error,
        defer_no_address=settings.defer_if_no_mx_address_found,
        srv=frozenset(conf.use_srv_lookup),
        srv_fallback=conf.allow_srv_lookup_fallback,
        ignore_srv_error=conf.ignore_srv_lookup_error,
        cname_overrides=settings.cname_overrides_servername,
        dnssec=settings.dns_support_level == "dnssec",
    )
