"""TLS in postscreen's own sessions: smtpd's settings, in which its own take their places (net/tls/screened.py).

In Postfix the encryption of these sessions is tlsproxy(8)'s, with settings of its own that follow smtpd's until they
are set. Here it is postscreen's; what is set for either of the two counts, postscreen's first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.net.stream import PeerGone, Stream
from estafeta.net.tls import screened
from estafeta.net.tls.openssl import TlsError
from estafeta.net.tls.server import ServerTls, read_file, report, server_settings, warn_of_level
from estafeta.net.tls.trace import Trace
from estafeta.tables.maps import Maps
from estafeta.tables.server_names import ServerNames
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from estafeta.net.tls.identity import Read

    from .visitor import Visitor

TLSPROXY = "tlsproxy"
"""Whose name these log lines bear in Postfix."""


class Tls:
    """`level`: none, may or encrypt. `server` is None where there is no TLS, or something is wrong with our keys."""

    def __init__(self, conf: Config, overrides: Mapping[str, str], read: Read = read_file) -> None:
        """`overrides`: the -o settings of the entry."""
        self.level = screened.level(conf)
        warn_of_level("postscreen_tls_security_level", conf.postscreen_tls_security_level)
        self.server: ServerTls | None = None
        self.timeout: float = conf.postscreen_starttls_timeout
        self._log_level = 0
        if self.level == "none":
            return
        own = screened.as_smtpd(conf, overrides)
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


def _opened(conf: Config, main: Config, read: Read) -> ServerTls | None:
    """None, and logged: keys are missing or bad. STARTTLS is answered 454 then. `main`: what the administrator said."""
    settings = replace(server_settings(conf, service="postscreen"), origin=lambda names: screened.origin(main, names))
    try:
        server = ServerTls.open(settings, read)
    except TlsError as problem:
        report(problem, settings)
        return None
    if settings.sni_maps:
        server.sni = ServerNames(settings.sni_maps)
    return server
