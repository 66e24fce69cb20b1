"""Which logins smtpd offers, and to whom: what it has worked out from the smtpd_sasl_* parameters. SASL_README.

`Policy.sasl` is one of these, or None where clients cannot log in. Who checks the logins is behind
`accounts.authenticator.Authenticator`; here is only what they may try, and when.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from estafeta.accounts.authenticator import (
    ACTIVE,
    ANONYMOUS,
    DICTIONARY,
    FORWARD_SECRECY,
    MUTUAL_AUTH,
    PLAINTEXT,
    Authenticator,
    Circumstances,
    Mechanism,
)
from estafeta.accounts.index import open_authenticator
from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError
from estafeta.net.tls.peer import TlsPeer
from estafeta.tables.match import MatchList
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from estafeta.daemons.smtpd.session import Session

FORBIDS = {"noplaintext": PLAINTEXT, "noanonymous": ANONYMOUS, "nodictionary": DICTIONARY, "noactive": ACTIVE}
BOUND = "-PLUS"
"""Ends the names of mechanisms that bind the login to the TLS connection."""
REQUIRES = {"forward_secrecy": FORWARD_SECRECY, "mutual_auth": MUTUAL_AUTH}


class Demands:
    """smtpd_sasl_security_options or smtpd_sasl_tls_security_options. Raises ConfigError for a word that is none."""

    def __init__(self, parameter: str, words: Sequence[str]) -> None:
        lower = [word.lower() for word in words]
        for word in lower:
            if word not in FORBIDS and word not in REQUIRES:
                known = ", ".join((*FORBIDS, *REQUIRES))
                raise ConfigError(f'{parameter}: unknown SASL security option "{word}": write some of {known}')
        self._forbidden = frozenset(FORBIDS[word] for word in lower if word in FORBIDS)
        self._required = frozenset(REQUIRES[word] for word in lower if word in REQUIRES)

    @property
    def forbids_plaintext(self) -> bool:
        return PLAINTEXT in self._forbidden

    def met_by(self, mechanism: Mechanism) -> bool:
        return not (self._forbidden & mechanism.traits) and self._required <= mechanism.traits


class Sasl:
    """Attributes are read-only after `open`."""

    def __init__(self, conf: Config, authenticator: Authenticator) -> None:
        self.authenticator = authenticator
        self._conf = conf
        parents = "smtpd_sasl_exceptions_networks" in conf.parent_domain_matches_subdomains
        self._exceptions = (
            MatchList.open(
                conf.smtpd_sasl_exceptions_networks,
                parent_matches_subdomains=parents,
                name="smtpd_sasl_exceptions_networks",
            )
            if conf.smtpd_sasl_exceptions_networks
            else None
        )
        self._filter = (
            MatchList.open(conf.smtpd_sasl_mechanism_filter, name="smtpd_sasl_mechanism_filter")
            if conf.smtpd_sasl_mechanism_filter
            else None
        )
        self._plain = Demands("smtpd_sasl_security_options", conf.smtpd_sasl_security_options)
        self._tls = Demands("smtpd_sasl_tls_security_options", conf.smtpd_sasl_tls_security_options)
        self._allowed: dict[tuple[bool, bool, bool], tuple[Sequence[Mechanism], tuple[str, ...]]] = {}
        """By whether there is TLS, whether a login can be bound to it, and whether the client's certificate is trusted:
        what the authenticator had to offer, and what is left of it."""

    @classmethod
    def open(cls, conf: Config) -> Sasl | None:
        """None where smtpd_sasl_auth_enable is off. Raises ConfigError."""
        if not conf.smtpd_sasl_auth_enable:
            return None
        try:
            return cls(conf, open_authenticator(conf.smtpd_sasl_type, conf.smtpd_sasl_path, conf))
        except (ValueError, OSError) as error:
            kind = "smtpd_sasl_type"
            at_fault = kind if str(error).startswith(kind) or not conf.is_set("smtpd_sasl_path") else "smtpd_sasl_path"
            raise ConfigError(f"{conf.origin(at_fault)}: smtpd_sasl_type, smtpd_sasl_path: {error}") from None

    def active(self, session: Session) -> bool:
        """Whether there is anything to log in with on this connection as it is now: smtpd_tls_auth_only, which is
        implied where TLS is required."""
        return session.stream.tls is not None or not (self._conf.smtpd_tls_auth_only or session.must_encrypt)

    async def mechanisms(self, tls: TlsPeer | None) -> tuple[str, ...]:
        """The names that a client may use now. Raises OSError if that cannot be known, TableDown."""
        known = await self.authenticator.mechanisms()
        bound = tls is not None and bool(tls.channel_binding)
        vouched = tls is not None and tls.trusted
        case = tls is not None, bound, vouched
        kept = self._allowed.get(case)
        if kept is None or kept[0] is not known:
            demands = self._plain if tls is None else self._tls
            names = [mechanism.name for mechanism in known if demands.met_by(mechanism)]
            names = [name for name in names if bound or not name.endswith(BOUND)]
            names = [name for name in names if vouched or name != "EXTERNAL"]
            if self._filter is not None:
                names = [name for name in names if await self._filter.matches_name(name.lower())]
            kept = known, tuple(names)
            self._allowed[case] = kept
        return kept[1]

    async def unavailable(self, name: str, *, tls: bool) -> str:
        """Why a client cannot use a mechanism that `mechanisms` does not name."""
        demands = self._tls if tls else self._plain
        offered = {mechanism.name: mechanism for mechanism in await self.authenticator.mechanisms()}
        plaintext = name in offered and PLAINTEXT in offered[name].traits and demands.forbids_plaintext
        return self.authenticator.unavailable(name, needs_encryption=plaintext)

    async def keywords(self, session: Session) -> list[str]:
        """The lines for the reply to EHLO. Raises TableDown, logged."""
        if not self.active(session) or await self._is_excepted(session):
            return []
        try:
            names = " ".join(await self.mechanisms(session.stream.tls))
        except OSError:
            return []  # its reason is in the log; who only brings mail for us can do without
        if not names:
            log.warning(f"{session.client.namaddr}: no SASL authentication mechanisms")
            return []
        return [f"AUTH {names}", f"AUTH={names}"] if self._conf.broken_sasl_auth_clients else [f"AUTH {names}"]

    async def _is_excepted(self, session: Session) -> bool:
        if self._exceptions is None:
            return False
        try:
            return await self._exceptions.matches_address(session.client.name, session.client.address)
        except TableDown as error:
            log.warning(f"smtpd_sasl_exceptions_networks: {error}")
            raise

    def circumstances(self, session: Session, mechanism: str, offered: Sequence[str]) -> Circumstances:
        """For a login by `mechanism`. Of channel binding it hears only if the client was offered it: a client that
        could bind and was not asked to must not look like one whose offer was tampered with. RFC 5802 6"""
        conf, tls = self._conf, session.stream.tls
        bound = mechanism.removesuffix(BOUND) + BOUND
        return Circumstances(
            service=conf.smtpd_sasl_service,
            realm=conf.smtpd_sasl_local_domain,
            client_address=session.client.address,
            client_port=session.client.port,
            own_address=session.own_address,
            own_port=session.own_port,
            own_name=conf.myhostname,
            tls=tls is not None,
            certificate_name=tls.subject if tls is not None and tls.trusted else "",
            channel_binding=tls.channel_binding if tls is not None and bound in offered else b"",
        )
