"""Rewrite an address to standard form, and resolve it to transport and next hop: trivial-rewrite(8) as a library.

One `Routing` a process, made from its configuration with the -o options of the `rewrite` entry. Resolution asks tables,
so it is async; without tables it never suspends. TableDown (from tables/table.py) passes through: the caller defers.

An address is first freed of what is ours: `user%other@here`, `"user@other"@here` and `user@here.` are looked at from
inside until a domain is found that is not ours, or a plain local user. Then the domain's class gives transport and
next hop, and transport_maps and relocated_maps may change them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from estafeta.config.instance import Config
from estafeta.mail.address import MAILER_DAEMON, quote_local, valid_address_text, valid_domain
from estafeta.routing.answer import ALIAS, BAD_SYNTAX, DEFAULT, LOCAL, MAILBOX, RELAY, Resolved, Unlisted
from estafeta.routing.classes import ClassRoutes
from estafeta.routing.domains import Domains
from estafeta.routing.recipients import Recipients
from estafeta.routing.relocated import Relocated
from estafeta.routing.rewrite import Rewriter
from estafeta.routing.transports import Transports

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ALIAS", "DEFAULT", "LOCAL", "MAILBOX", "RELAY", "Resolved", "Routing", "Unlisted"]

_PLAIN = re.compile(r"[^\x00-\x20()<>@,:;\\\"\[\]!%-][^\x00-\x20()<>@,:;\\\"\[\]!%]*@([^\x00-\x20@\[\]!%]+)")
_OPERATORS = re.compile(r"[@%!]")

NO_REASON = "Address is undeliverable"
"""What error: and retry: say when the table does not."""

CACHE_LIMIT = 4096
"""Domains remembered, where no table has a say."""

ROUNDS = 100
"""Layers of an address that are ours (`a@here@here@...`) before it is refused."""


class Routing:
    """All of routing for one configuration."""

    def __init__(self, conf: Config, *, listing: bool = True) -> None:
        self._rewriter = Rewriter(conf)
        self.domains = Domains(conf)
        self._routes = ClassRoutes(conf)
        self._transports = Transports(conf)
        self._relocated = Relocated(conf, self.domains)
        self._recipients = Recipients(conf, self) if listing else None
        self._myhostname = conf.myhostname
        self._empty_recipient = conf.empty_address_recipient
        self._dequoted = conf.resolve_dequoted_address
        self._null_domain = conf.resolve_null_domain
        self._numeric_domain = conf.resolve_numeric_domain
        """Whether `user@192.0.2.1` is taken for `user@[192.0.2.1]`."""
        self._min_user = conf.allow_min_user
        self._cacheable = (
            self.domains.constant
            and not self._transports
            and not self._relocated
            and not self._routes.depends_on_sender
        )
        self._by_domain: dict[str, Resolved] = {}

    @classmethod
    def open(cls, conf: Config, overrides: Mapping[str, str] | None = None, *, listing: bool = True) -> Routing:
        """Open the tables. `overrides`: the -o settings of the `rewrite` entry, used in place of those in `conf`.

        `listing`: open the tables of who exists, for `unlisted_recipient` and `unlisted_sender`. A list or table that
        cannot be read is logged and answers TableDown when it is asked. Raises ConfigError.
        """
        if overrides is None:
            return cls(conf, listing=listing)
        return cls(Config.build(conf.settings, overrides, service="rewrite"), listing=listing)

    @classmethod
    def open_for_probes(cls, conf: Config, overrides: Mapping[str, str] | None = None) -> Routing | None:
        """The routing of address probes, by the address_verify_* parameters; None where it is that of other mail.

        Raises ConfigError.
        """
        base = conf if overrides is None else Config.build(conf.settings, overrides, service="rewrite")
        wanted = {
            "default_transport": base.value("address_verify_default_transport"),
            "local_transport": base.value("address_verify_local_transport"),
            "relay_transport": base.value("address_verify_relay_transport"),
            "relayhost": base.value("address_verify_relayhost"),
            "sender_dependent_default_transport_maps": base.value(
                "address_verify_sender_dependent_default_transport_maps"
            ),
            "sender_dependent_relayhost_maps": base.value("address_verify_sender_dependent_relayhost_maps"),
            "transport_maps": base.value("address_verify_transport_maps"),
            "virtual_transport": base.value("address_verify_virtual_transport"),
        }
        other = {name: text for name, text in wanted.items() if text != base.value(name)}
        if not other:
            return None
        return cls(Config.build(conf.settings, {**(overrides or {}), **other}, service="rewrite"), listing=False)

    # --- rewrite

    def rewritten(self, address: str, context: str = "local", *, quoted: bool = False) -> str:
        """The address in standard form: internal form in, internal form out. See rewrite.py."""
        return self._rewriter.rewrite(address, context, quoted=quoted)

    async def rewrite(self, address: str, context: str = "local", *, quoted: bool = False) -> str:
        """As `rewritten`. `context`: local or remote. `quoted`: it stood in quotes, so `!` and `%` mean nothing."""
        return self._rewriter.rewrite(address, context, quoted=quoted)

    # --- resolve

    async def resolve(self, address: str, sender: str = "") -> Resolved:
        """Where mail for `address` (internal form) goes; `sender` is for sender-dependent tables. Raises TableDown."""
        if self._cacheable:
            match = _PLAIN.fullmatch(address)
            if match is not None:
                known = self._by_domain.get(match[1])
                if known is not None:
                    return Resolved(known.transport, known.nexthop, address, known.address_class, known.error)
                answer = await self._resolve(address, sender)
                if not answer.invalid and answer.recipient == address:
                    if len(self._by_domain) >= CACHE_LIMIT:
                        self._by_domain.clear()
                    self._by_domain[match[1]] = answer
                return answer
        return await self._resolve(address, sender)

    async def _resolve(self, address: str, sender: str) -> Resolved:
        local, domain, is_local = await self._innermost(address)
        if domain is None or is_local:
            return await self._to_local(local, domain, sender)
        if domain.endswith(".") and len(domain) > 1 and domain[-2] != ".":
            domain = domain[:-1]
        if domain.startswith("[") and not domain.endswith("]"):
            domain += "]"
        if self._numeric_domain and valid_address_text(domain):
            domain = f"[{domain}]" if ":" not in domain else f"[IPv6:{domain}]"
            if await self.domains.is_local(domain):
                return await self._to_local(local, domain, sender)
        recipient = f"{local}@{domain}"
        if not valid_domain(domain):
            return _invalid(recipient)
        address_class = await self.domains.class_of(domain, local=False)
        transport, nexthop = await self._routes.route(address_class, domain, sender)
        return await self._finish(local, domain, transport, nexthop, address_class)

    async def _innermost(self, address: str) -> tuple[str, str | None, bool]:
        """(local part, domain, whether it is ours) when everything outside that is ours is taken off."""
        local, at, rest = (address or self._empty_recipient).rpartition("@")
        domain: str | None = None
        if at:
            domain = rest.strip()
        else:
            local = rest
        outer: str | None = None  # the domain of ours that was taken off last
        for _ in range(ROUNDS):
            if domain is None:
                ours = True
            else:
                ours = await self.domains.is_local(domain) if domain else self._null_domain
            if domain and not ours:
                return local, domain, False
            if local.startswith("@") and ":" in local:
                local = local.partition(":")[2]  # @a,@b:user: a route is to be ignored. RFC 5321 Appendix C
            inside = self._inside(local)
            if inside is None:
                # user@ with nothing behind it is no address, unless resolve_null_domain = yes
                return local, (domain or outer) if ours else "", ours
            outer = domain or outer
            local, domain = inside[0], inside[1].strip()
        return address, "", False

    def _inside(self, local: str) -> tuple[str, str] | None:
        """The address that a local part of ours contains, as (local, domain); None for a plain user."""
        if _OPERATORS.search(local) is None:
            return None
        if not self._dequoted and quote_local(local) != local:
            return None
        inner = self._rewriter.without_domain(local)
        user, at, domain = inner.rpartition("@")
        return (user, domain) if at else None

    async def _to_local(self, local: str, domain: str | None, sender: str) -> Resolved:
        domain = (domain or self._myhostname).removesuffix(".")
        if domain.startswith("[") and not domain.endswith("]"):
            domain += "]"
        transport, nexthop = await self._routes.route(LOCAL, self._myhostname, sender)
        address_class = await self.domains.class_of(domain, local=True)
        return await self._finish(local or MAILER_DAEMON, domain, transport, nexthop, address_class)

    async def _finish(self, local: str, domain: str, transport: str, nexthop: str, address_class: str) -> Resolved:
        recipient = f"{local}@{domain}"
        if address_class != ALIAS:
            if self._transports:
                wanted = await self._transports.find(local, domain)
                if wanted is not None:
                    transport, nexthop = _overridden(wanted, transport, nexthop, domain)
            if self._relocated:
                moved = await self._relocated.find(recipient)
                if moved is not None:
                    transport, nexthop = "error", moved
        routed = _OPERATORS.search(local) is not None
        if local.startswith("-") and not self._min_user:
            return Resolved("error", BAD_SYNTAX, recipient, address_class, BAD_SYNTAX, routed, True)
        return Resolved(transport, nexthop, recipient, address_class, _error_text(transport, nexthop), routed)

    # --- who exists

    async def completes_bare_names(self, domain: str) -> bool:
        """Whether an address in this domain may be looked up by its local part alone. Raises TableDown."""
        return await self.domains.completes_bare_names(domain)

    async def unlisted_recipient(self, address: str) -> Unlisted | None:
        """Why a recipient is refused under reject_unlisted_recipient; None if it is listed. Raises TableDown."""
        return await self._listing().unlisted_recipient(address)

    async def unlisted_sender(self, address: str) -> Unlisted | None:
        """The same for a sender, reject_unlisted_sender. Raises TableDown."""
        return await self._listing().unlisted_sender(address)

    def _listing(self) -> Recipients:
        if self._recipients is None:
            raise RuntimeError("this Routing was opened with listing=False")
        return self._recipients


def _overridden(wanted: tuple[str, str], transport: str, nexthop: str, domain: str) -> tuple[str, str]:
    if wanted[0]:
        return wanted[0], wanted[1] or (NO_REASON if wanted[0] in _OWN_STATUS else domain)
    return transport, wanted[1] or nexthop


def _invalid(recipient: str) -> Resolved:
    routed = _OPERATORS.search(recipient.rpartition("@")[0]) is not None
    return Resolved("error", BAD_SYNTAX, recipient, DEFAULT, BAD_SYNTAX, routed, True)


_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?:\s|\Z)")
_OWN_STATUS = {"error": "5.0.0", "retry": "4.0.0"}


def _error_text(transport: str, nexthop: str) -> str:
    status = _OWN_STATUS.get(transport)
    if status is None:
        return ""
    return nexthop if _STATUS.match(nexthop) else f"{status} {nexthop}"
