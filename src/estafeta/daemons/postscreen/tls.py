"""TLS in postscreen's own sessions: smtpd's settings, in which postscreen_tls_* and tlsproxy_tls_* take their places.

In Postfix the encryption of these sessions is tlsproxy(8)'s, with settings of its own that follow smtpd's until they
are set. Here it is postscreen's; what is set for either of the two counts, postscreen's first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.net.stream import PeerGone, Stream
from estafeta.net.tls.openssl import TlsError
from estafeta.net.tls.server import (
    UNSUPPORTED_LEVELS,
    ServerTls,
    origin,
    read_file,
    report,
    server_settings,
    warn_of_level,
)
from estafeta.net.tls.trace import Trace
from estafeta.tables.maps import Maps
from estafeta.tables.server_names import ServerNames
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from estafeta.net.tls.identity import Read

    from .visitor import Visitor

TLSPROXY = "tlsproxy"
"""Whose name these log lines bear in Postfix."""

FOLLOWING = {
    "smtpd_starttls_timeout": ("postscreen_starttls_timeout",),
    "smtpd_tls_CAfile": ("postscreen_tls_CAfile", "tlsproxy_tls_CAfile"),
    "smtpd_tls_CApath": ("postscreen_tls_CApath", "tlsproxy_tls_CApath"),
    "smtpd_tls_always_issue_session_ids": (
        "postscreen_tls_always_issue_session_ids",
        "tlsproxy_tls_always_issue_session_ids",
    ),
    "smtpd_tls_ask_ccert": ("postscreen_tls_ask_ccert", "tlsproxy_tls_ask_ccert"),
    "smtpd_tls_ccert_verifydepth": ("postscreen_tls_ccert_verifydepth", "tlsproxy_tls_ccert_verifydepth"),
    "smtpd_tls_cert_file": ("postscreen_tls_cert_file", "tlsproxy_tls_cert_file"),
    "smtpd_tls_chain_files": ("postscreen_tls_chain_files", "tlsproxy_tls_chain_files"),
    "smtpd_tls_ciphers": ("postscreen_tls_ciphers", "tlsproxy_tls_ciphers"),
    "smtpd_tls_dcert_file": ("postscreen_tls_dcert_file", "tlsproxy_tls_dcert_file"),
    "smtpd_tls_dh1024_param_file": ("postscreen_tls_dh1024_param_file", "tlsproxy_tls_dh1024_param_file"),
    "smtpd_tls_dkey_file": ("postscreen_tls_dkey_file", "tlsproxy_tls_dkey_file"),
    "smtpd_tls_eccert_file": ("postscreen_tls_eccert_file", "tlsproxy_tls_eccert_file"),
    "smtpd_tls_eckey_file": ("postscreen_tls_eckey_file", "tlsproxy_tls_eckey_file"),
    "smtpd_tls_dh512_param_file": ("postscreen_tls_dh512_param_file", "tlsproxy_tls_dh512_param_file"),
    "smtpd_tls_eecdh_grade": ("postscreen_tls_eecdh_grade", "tlsproxy_tls_eecdh_grade"),
    "smtpd_tls_enable_rpk": ("postscreen_tls_enable_rpk", "tlsproxy_tls_enable_rpk"),
    "smtpd_tls_exclude_ciphers": ("postscreen_tls_exclude_ciphers", "tlsproxy_tls_exclude_ciphers"),
    "smtpd_tls_fingerprint_digest": ("postscreen_tls_fingerprint_digest", "tlsproxy_tls_fingerprint_digest"),
    "smtpd_tls_key_file": ("postscreen_tls_key_file", "tlsproxy_tls_key_file"),
    "smtpd_tls_loglevel": ("postscreen_tls_loglevel", "tlsproxy_tls_loglevel"),
    "smtpd_tls_loglevel_maps": ("postscreen_tls_loglevel_maps",),
    "smtpd_tls_mandatory_ciphers": ("postscreen_tls_mandatory_ciphers", "tlsproxy_tls_mandatory_ciphers"),
    "smtpd_tls_mandatory_exclude_ciphers": (
        "postscreen_tls_mandatory_exclude_ciphers",
        "tlsproxy_tls_mandatory_exclude_ciphers",
    ),
    "smtpd_tls_mandatory_protocols": ("postscreen_tls_mandatory_protocols", "tlsproxy_tls_mandatory_protocols"),
    "smtpd_tls_protocols": ("postscreen_tls_protocols", "tlsproxy_tls_protocols"),
    "smtpd_tls_req_ccert": ("postscreen_tls_req_ccert", "tlsproxy_tls_req_ccert"),
    "smtpd_tls_trace_size_limit": ("postscreen_tls_trace_size_limit",),
}
"""smtpd's parameters, and those that follow them."""


class Tls:
    """`level`: none, may or encrypt. `server` is None where there is no TLS, or something is wrong with our keys."""

    def __init__(self, conf: Config, overrides: Mapping[str, str], read: Read = read_file) -> None:
        """`overrides`: the -o settings of the entry."""
        self.level = _level(conf)
        self.server: ServerTls | None = None
        self.timeout: float = conf.postscreen_starttls_timeout
        self._log_level = 0
        if self.level == "none":
            return
        own = _settings(conf, overrides, self.level)
        self._log_level = own.smtpd_tls_loglevel
        self._log_levels = Maps.open(own.smtpd_tls_loglevel_maps, name="postscreen_tls_loglevel_maps")
        self._trace_limit, self._trace_rate = own.smtpd_tls_trace_size_limit, own.tls_trace_rate_limit
        self.server = _opened(own, conf, read)

    async def establish(self, stream: Stream, visitor: Visitor) -> None:
        """The handshake. Raises PeerGone when there is no connection afterwards; the reason is logged."""
        assert self.server is not None
        log.info(f"CONNECT from {visitor.name}", TLSPROXY)
        level, name = await self._level_for(visitor), visitor.name
        trace: Trace | None = None
        if level >= 2:
            log.info(f"setting up TLS connection from {name}", TLSPROXY)
            trace = Trace(self.server, name, level, self._trace_limit, self._trace_rate)
        try:
            tls = await stream.start_tls(self.server, self.timeout, trace)
        except (TlsError, TimeoutError, PeerGone) as problem:
            for line in getattr(problem, "lines", ()):
                log.warning(f"TLS library problem: {line}", TLSPROXY)
            log.info(f"TLS handshake failed for service=smtpd peer={name}", TLSPROXY)
            self.ended(visitor)
            raise PeerGone("TLS handshake failed") from None
        if level >= 1:
            strength = f"{tls.protocol} with cipher {tls.cipher} ({tls.bits}/{tls.algorithm_bits} bits){tls.details}"
            trust = ("Trusted" if tls.trusted else "Untrusted") if tls.certificate else "Anonymous"
            log.info(f"{trust} TLS connection established from {name}: {strength}", TLSPROXY)

    def ended(self, visitor: Visitor) -> None:
        """The encrypted connection is over."""
        log.info(f"DISCONNECT {visitor.name}", TLSPROXY)

    async def _level_for(self, visitor: Visitor) -> int:
        if self._log_levels:
            try:
                value = await self._log_levels.find(visitor.address)
            except TableDown as error:
                log.warning(f"postscreen_tls_loglevel_maps: {error}")
                return self._log_level
            if value is not None and value.strip().isdigit():
                return int(value)
        return self._log_level


def _level(conf: Config) -> str:
    """none, may or encrypt."""
    level = conf.postscreen_tls_security_level
    warn_of_level("postscreen_tls_security_level", level)
    if level:
        return "encrypt" if level in UNSUPPORTED_LEVELS else level
    return "encrypt" if conf.postscreen_enforce_tls else "may" if conf.postscreen_use_tls else "none"


def _settings(conf: Config, overrides: Mapping[str, str], level: str) -> Config:
    """The configuration as if smtpd's TLS settings were ours."""
    changes = {"smtpd_tls_security_level": level}
    for name, following in FOLLOWING.items():
        own = _set_by(conf, following)
        if own is not None:
            changes[name] = conf.value(own)
    return Config.build(conf.settings, {**overrides, **changes}, service=conf.service)


def _set_by(conf: Config, following: Sequence[str]) -> str | None:
    """The first of these parameters that is set."""
    return next((each for each in following if conf.is_set(each)), None)


def _origin(conf: Config, names: Sequence[str]) -> str:
    """As `server.origin`; of our own parameters, where they take the places of smtpd's."""
    return origin(conf, [_set_by(conf, FOLLOWING.get(name, ())) or name for name in names])


def _opened(conf: Config, main: Config, read: Read) -> ServerTls | None:
    """None, and logged: keys are missing or bad. STARTTLS is answered 454 then. `main`: what the administrator said."""
    settings = replace(server_settings(conf, service="postscreen"), origin=lambda names: _origin(main, names))
    try:
        server = ServerTls.open(settings, read)
    except TlsError as problem:
        report(problem, settings)
        return None
    if settings.sni_maps:
        server.sni = ServerNames(settings.sni_maps)
    return server
