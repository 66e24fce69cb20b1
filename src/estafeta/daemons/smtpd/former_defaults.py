"""Which clients and recipients live by a default that a newer compatibility_level changes: COMPATIBILITY_README.

With an old level the former defaults are in force. Whenever one of them has decided, the log says which, in the words
that people search for, so that the administrator can make it permanent before raising the level. Nothing of this exists
where the level is new or the parameters are set: `FormerDefaults.of` is None then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.config.compatibility import uses_legacy_default
from estafeta.daemons.smtpd.shown import printable
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from estafeta.config.instance import Config
    from estafeta.daemons.smtpd.restrictions.evaluate import Check
    from estafeta.daemons.smtpd.session import Session

USING = "using backwards-compatible default setting"


class FormerDefaults:
    """Which of them are in force here."""

    def __init__(self, conf: Config) -> None:
        self.relay = uses_legacy_default(conf, "smtpd_relay_restrictions")
        self.order = uses_legacy_default(conf, "smtpd_relay_before_recipient_restrictions")
        self.utf8 = uses_legacy_default(conf, "smtputf8_enable")
        self.relay_domains = uses_legacy_default(conf, "relay_domains")
        self.flush = self.relay_domains and not conf.is_set("fast_flush_domains")
        self.networks = uses_legacy_default(conf, "mynetworks_style") and not conf.is_set("mynetworks")
        asks = conf.smtpd_tls_ask_ccert or conf.smtpd_tls_req_ccert
        self.fingerprints = asks and uses_legacy_default(conf, "smtpd_tls_fingerprint_digest")

    @classmethod
    def of(cls, conf: Config) -> FormerDefaults | None:
        found = cls(conf)
        return found if any(vars(found).values()) else None

    def network(self, check: Check) -> None:
        """permit_mynetworks permits: would it, if only this host itself were in mynetworks?"""
        if self.networks and not check.session.is_own_host():
            style, client = check.policy.conf.mynetworks_style, check.session.client.namaddr
            log.info(f'{USING} mynetworks_style={style} to permit request from client "{client}"')

    def destination(self, check: Check, address_class: str) -> None:
        """The recipient's domain is taken for one of ours."""
        if self.relay_domains and address_class == "relay":
            domain = (check.recipient or "").rpartition("@")[2]
            log.info(f'{USING} relay_domains=$mydestination to accept mail for domain "{printable(domain)}"')

    def refused(self, check: Check) -> None:
        """smtpd_recipient_restrictions refuse somebody, and were asked first. Logged after the refusal itself."""
        if self.order:
            check.afterwards = (
                f"{USING} smtpd_relay_before_recipient_restrictions=no to reject recipient "
                f'"{printable(check.recipient or "")}" from client "{check.session.client.namaddr}"'
            )

    def sender(self, session: Session, sender: str) -> None:
        """A sender is accepted."""
        if self.utf8 and not sender.isascii():
            self._utf8(session, "sender", sender)

    async def recipient(self, check: Check) -> None:
        """A recipient is accepted."""
        recipient, session, policy = check.recipient or "", check.session, check.policy
        if self.utf8 and not recipient.isascii():
            self._utf8(session, "recipient", recipient)
        if not self.relay_domains and not self.relay:
            return
        try:
            resolved, stranger = await policy.resolve(recipient), not await session.in_mynetworks()
        except TableDown:
            return  # only the hint depends on it
        if self.relay and stranger:
            self.destination(check, resolved.address_class)
            if resolved.address_class == "default":
                log.info(
                    f'{USING} "smtpd_relay_restrictions = (empty)" to avoid "Relay access denied" error for recipient '
                    f'"{printable(recipient)}" from client "{session.client.namaddr}"'
                )
        if self.relay_domains and resolved.address_class == "relay":
            log.info(f'{USING} relay_domains=$mydestination to accept mail for address "{printable(recipient)}"')

    def fingerprint(self, conf: Config) -> None:
        """The fingerprint of a client's certificate or key is about to be used."""
        if self.fingerprints:
            digest = conf.smtpd_tls_fingerprint_digest
            log.info(f"{USING} smtpd_tls_fingerprint_digest={digest} to compute certificate fingerprints")

    def flushed(self, site: str) -> None:
        """Mail for a site is tried at its request (ETRN)."""
        if self.flush:
            log.info(f'{USING} relay_domains=$mydestination to flush mail for domain "{printable(site)}"')

    @staticmethod
    def _utf8(session: Session, what: str, address: str) -> None:
        address = session.policy.in_log(printable(address))
        log.info(
            f'{USING} smtputf8_enable=no to accept non-ASCII {what} address "{address}" from {session.client.namaddr}'
        )
