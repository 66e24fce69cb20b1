"""postscreen's settings, worked out once when the process starts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.config.main_cf import ConfigError
from estafeta.net.tls.openssl import TlsError
from estafeta.net.tls.server import ServerTls, server_settings
from estafeta.tables.maps import Maps
from estafeta.tables.match import MatchList
from estafeta.tables.table import Flags
from estafeta.wire.smtp.reply import multiline

from .access import AccessList
from .record import Rules
from .replies import Dressing

if TYPE_CHECKING:
    from estafeta.config.instance import Config

IGNORE, ENFORCE, DROP = "ignore", "enforce", "drop"
TLS_LEVELS = {"none", "may", "encrypt"}


class Patience:
    """The settings that are smaller while there are many clients."""

    __slots__ = ("command", "greeting")

    def __init__(self, conf: Config) -> None:
        self.greeting = conf.postscreen_greet_wait
        self.command = conf.postscreen_command_time_limit


class Policy:
    """Attributes are read-only."""

    def __init__(self, conf: Config, stressed: Config) -> None:
        """`stressed` is the same with stress = yes. Raises ConfigError, TableError."""
        self.conf = conf
        self.rules = Rules(conf)
        self.access = AccessList(conf)
        self.interfaces = MatchList.open(
            conf.postscreen_allowlist_interfaces, name="postscreen_allowlist_interfaces", strict=True
        )
        self.dressing = Dressing(conf)
        self.calm, self.stressed = Patience(conf), Patience(stressed)
        self.stress_begins = 9 * conf.postscreen_pre_queue_limit // 10
        self.stress_ends = 7 * conf.postscreen_pre_queue_limit // 10
        self.allow, self.deny = ("ALLOW", "DENY") if conf.respectful_logging else ("WHITE", "BLACK")
        self.teaser = f"220-{conf.postscreen_greet_banner}\r\n".encode("utf-8", "surrogateescape")
        self.greeting = f"220 {conf.smtpd_banner}"
        self.command_filter = Maps.open(
            conf.postscreen_command_filter,
            name="postscreen_command_filter",
            flags=Flags(fold=False),
        )
        words = conf.postscreen_forbidden_commands
        self.forbidden = frozenset(word.upper() for word in words if ":" not in word)
        self.forbidden_maps = Maps.open([word for word in words if ":" in word], name="postscreen_forbidden_commands")
        self.discard = _keywords(conf.postscreen_discard_ehlo_keywords)
        self.discard_maps = Maps.open(
            conf.postscreen_discard_ehlo_keyword_address_maps, name="postscreen_discard_ehlo_keyword_address_maps"
        )
        self.tls_level = _tls_level(conf)
        self.tls = _open_tls(conf) if self.tls_level != "none" else None

    def ehlo(self, discard: frozenset[str], *, encrypted: bool) -> str:
        """The reply to EHLO. No pipelining: whoever sends ahead gives itself away."""
        conf = self.conf
        offered = {"SIZE": f"SIZE {conf.message_size_limit}" if conf.message_size_limit else "SIZE"}
        if not conf.disable_vrfy_command:  # postscreen_disable_vrfy_command concerns the command alone
            offered["VRFY"] = "VRFY"
        offered["ETRN"] = "ETRN"
        if self.tls_level != "none" and not encrypted:
            offered["STARTTLS"] = "STARTTLS"
        offered |= {keyword: keyword for keyword in ("ENHANCEDSTATUSCODES", "8BITMIME", "DSN")}
        if conf.smtputf8_enable:
            offered["SMTPUTF8"] = "SMTPUTF8"
        offered["CHUNKING"] = "CHUNKING"
        return multiline(250, [conf.myhostname, *(text for word, text in offered.items() if word not in discard)])

    def keywords(self, value: str) -> frozenset[str]:
        """What a table says is to be left out."""
        return _keywords(value.replace(",", " ").split())


def _keywords(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word.upper() for word in words)


def _tls_level(conf: Config) -> str:
    level = conf.postscreen_tls_security_level
    if level in TLS_LEVELS:
        return level
    if level:
        raise ConfigError(f'postscreen_tls_security_level: invalid TLS level "{level}": use none, may or encrypt')
    return "encrypt" if conf.postscreen_enforce_tls else "may" if conf.postscreen_use_tls else "none"


def _open_tls(conf: Config) -> ServerTls | None:
    """None, and logged: keys are missing or bad. STARTTLS is answered 454 then."""
    try:
        settings = server_settings(conf, service="postscreen")
        if not (settings.certificates or settings.chain_files):
            return None
        server = ServerTls.open(settings)
    except TlsError as problem:
        log.warning(f"{problem}: disabling TLS support")
        for line in problem.lines:
            log.warning(f"TLS library problem: {line}")
        return None
    if settings.sni_maps:
        server.sni = Maps.open(settings.sni_maps, name="tls_server_sni_maps", flags=Flags(base64_files=True))
    return server
