"""postscreen's settings, worked out once when the process starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from estafeta.net.tls.server import read_file
from estafeta.tables.maps import Maps
from estafeta.tables.match import MatchList
from estafeta.tables.table import Flags
from estafeta.wire.smtp.reply import multiline

from .access import AccessList
from .record import Rules
from .replies import Dressing
from .tls import Tls

if TYPE_CHECKING:
    from estafeta.config.instance import Config
    from estafeta.net.tls.identity import Read

IGNORE, ENFORCE, DROP = "ignore", "enforce", "drop"


class Patience:
    """The settings that are smaller while there are many clients."""

    __slots__ = ("command", "greeting")

    def __init__(self, conf: Config) -> None:
        self.greeting = conf.postscreen_greet_wait
        self.command = conf.postscreen_command_time_limit


class Policy:
    """Attributes are read-only."""

    def __init__(self, conf: Config, stressed: Config, overrides: Mapping[str, str], read: Read = read_file) -> None:
        """`stressed` is the same with stress = yes, `overrides` are the -o settings. Raises ConfigError, TableError."""
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
        self.former_words = not conf.respectful_logging and not conf.is_set("respectful_logging")
        self.teaser = f"220-{conf.postscreen_greet_banner}\r\n".encode("utf-8", "surrogateescape")
        self.greeting = f"220 {conf.smtpd_banner}"
        self.command_filter = Maps.open(
            conf.postscreen_command_filter,
            name="postscreen_command_filter",
            flags=Flags(fold=False),
        )
        self.forbidden = MatchList.open(conf.postscreen_forbidden_commands, name="postscreen_forbidden_commands")
        self.discard = _keywords(conf.postscreen_discard_ehlo_keywords)
        self.discard_maps = Maps.open(
            conf.postscreen_discard_ehlo_keyword_address_maps, name="postscreen_discard_ehlo_keyword_address_maps"
        )
        self.tls = Tls(conf, overrides, read)

    def ehlo(self, discard: frozenset[str], *, encrypted: bool) -> str:
        """The reply to EHLO. No pipelining: whoever sends ahead gives itself away."""
        conf = self.conf
        offered = {"SIZE": f"SIZE {conf.message_size_limit}" if conf.message_size_limit else "SIZE"}
        if not conf.disable_vrfy_command:  # postscreen_disable_vrfy_command concerns the command alone
            offered["VRFY"] = "VRFY"
        offered["ETRN"] = "ETRN"
        if self.tls.level != "none" and not encrypted:
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
