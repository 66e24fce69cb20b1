"""TLS with clients, as smtpd offers it: `Policy.tls` is one of these, or None where there is none. TLS_README.

Keys are read when the policy is made, while the process is still root. If they cannot be, smtpd serves without TLS and
says so: STARTTLS is answered 454, and where TLS is required no mail comes in until somebody has mended it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.daemons.smtpd.shown import printable
from estafeta.net.stream import PeerGone
from estafeta.net.tls.identity import Read
from estafeta.net.tls.openssl import TlsError
from estafeta.net.tls.peer import TlsPeer
from estafeta.net.tls.server import ServerTls, read_file, report, security_level, server_settings, warn_of_level
from estafeta.net.tls.trace import Trace
from estafeta.tables.maps import Maps
from estafeta.tables.server_names import ServerNames
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from estafeta.daemons.smtpd.session import Session


UNKNOWN_ISSUER = frozenset({2, 20, 21, 27})
"""X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, ..._LOCALLY, ..._VERIFY_LEAF_SIGNATURE, X509_V_ERR_CERT_UNTRUSTED"""


class NoTls(Exception):
    """There is no handshake; the log has said why."""


class TlsOffer:
    """Attributes are read-only after `open`."""

    def __init__(self, conf: Config, server: ServerTls | None) -> None:
        self.server = server
        """None: it is offered, and something is wrong with our keys or with OpenSSL."""
        self.wrapper = conf.smtpd_tls_wrappermode
        """Whether a connection begins with the handshake."""
        self.required = security_level(conf) == "encrypt" or self.wrapper
        """Whether nothing else may come before."""
        self.demands = conf.smtpd_tls_req_ccert and self.required
        """Whether who has no trusted certificate has to leave."""
        self.asks = conf.smtpd_tls_ask_ccert or self.demands
        self.relay_certificates = Maps.open(conf.relay_clientcerts, name="relay_clientcerts")
        self.log_level = conf.smtpd_tls_loglevel
        self.log_levels = Maps.open(conf.smtpd_tls_loglevel_maps, name="smtpd_tls_loglevel_maps")
        self.trace_limit = conf.smtpd_tls_trace_size_limit
        self.trace_rate = conf.tls_trace_rate_limit

    @classmethod
    def open(cls, conf: Config, read: Read = read_file) -> TlsOffer | None:
        """None where TLS is not wanted."""
        if security_level(conf) == "none" and not conf.smtpd_tls_wrappermode:
            return None
        server = None
        warn_of_level("smtpd_tls_security_level", conf.smtpd_tls_security_level)
        if conf.smtpd_tls_loglevel >= 2:
            log.info("initializing the server-side TLS engine")
        settings = server_settings(conf)
        if not (settings.certificates or settings.chain_files) and settings.ask:
            log.warning("clients cannot be asked for certificates by a server that has none: set smtpd_tls_chain_files")
        try:
            server = ServerTls.open(settings, read)
        except TlsError as problem:
            report(problem, settings)
        if server is not None and settings.sni_maps:
            server.sni = ServerNames(settings.sni_maps)
        return cls(conf, server)

    async def level_for(self, session: Session) -> int:
        """smtpd_tls_loglevel, or what smtpd_tls_loglevel_maps say of the client."""
        if self.log_levels:
            for key in (session.client.name, session.client.address):
                try:
                    value = await self.log_levels.find(key)
                except TableDown as error:
                    log.warning(f"smtpd_tls_loglevel_maps: {error}")
                    break
                if value is not None and value.strip().isdigit():
                    return int(value)
        return self.log_level


async def wrap(session: Session) -> bytes:
    """smtpd_tls_wrappermode: the handshake comes before the greeting. Returns a refusal to say in the greeting's place,
    or b"". Raises PeerGone; NoTls, logged, if we cannot or may not."""
    if session.policy.tls is None or session.policy.tls.server is None:
        log.warning(
            f"Wrapper-mode request dropped from {session.client.namaddr} for service {session.policy.conf.service}. "
            "TLS context initialization failed. For details see earlier warnings in your logs."
        )
        raise NoTls
    limits = session.policy.limits
    if limits is not None and limits.new_tls and await limits.refuses_tls(session):
        raise NoTls
    await establish(session)
    session.must_encrypt = False
    return await counted(session) or demand_certificate(session)


async def establish(session: Session) -> None:
    """The handshake. Raises PeerGone when there is no connection afterwards; the reason is logged."""
    offer = session.policy.tls
    assert offer is not None and offer.server is not None
    namaddr = session.client.namaddr
    level = await offer.level_for(session) if offer.log_levels else offer.log_level
    trace: Trace | None = None
    if level >= 2:
        log.info(f"setting up TLS connection from {namaddr}")
        log.info(f'{namaddr}: TLS cipher list "{offer.server.ciphers}"')
        trace = Trace(offer.server, namaddr, level, offer.trace_limit, offer.trace_rate)
    try:
        tls = await session.stream.start_tls(offer.server, session.policy.conf.smtpd_starttls_timeout, trace)
    except TlsError as problem:
        log.info(f"SSL_accept error from {namaddr}: -1")
        for line in problem.lines or [str(problem)]:
            log.warning(f"TLS library problem: {line}")
        raise PeerGone("TLS handshake failed") from None
    except PeerGone:
        log.info(f"SSL_accept error from {namaddr}: lost connection")
        raise
    except TimeoutError:
        log.info(f"SSL_accept error from {namaddr}: Connection timed out")
        raise PeerGone("TLS handshake timed out") from None
    if tls.asked_name and not tls.server_name:
        log.info(f"TLS SNI {printable(tls.asked_name)} from {namaddr} not matched, using default chain")
    if tls.certificate and not tls.trusted and level and offer.demands:
        log.info(f"certificate verification failed for {namaddr}: {_why_untrusted(offer.server, tls)}")
    if level >= 1:
        _report(offer, tls, namaddr, level)


def _why_untrusted(server: ServerTls, tls: TlsPeer) -> str:
    if tls.problem in UNKNOWN_ISSUER:
        return f"untrusted issuer {printable(tls.issuer_line)}"
    text = server.library.lib.X509_verify_cert_error_string(tls.problem)
    return bytes(server.library.ffi.string(text)).decode("ascii", "replace")


async def counted(session: Session) -> bytes:
    """smtpd_client_new_tls_session_rate_limit: the reply to who has begun too many sessions; it ends this one. b"" for
    who may stay."""
    tls, limits = session.stream.tls, session.policy.limits
    if limits is None or not limits.new_tls or tls is None or tls.reused:
        return b""
    return await limits.new_tls_session(session) or b""


def demand_certificate(session: Session) -> bytes:
    """smtpd_tls_req_ccert: the reply to who has no trusted certificate; it ends the session. b"" for who may stay."""
    tls, offer = session.stream.tls, session.policy.tls
    if tls is None or offer is None or not offer.demands or tls.trusted:
        return b""
    problem = "Client certificate not trusted" if tls.certificate else "No client certificate presented"
    log.info(f"NOQUEUE: abort: TLS from {session.client.namaddr}: {problem}")
    return f"421 4.7.1 {session.policy.conf.myhostname} Error: {problem}\r\n".encode()


def _report(offer: TlsOffer, tls: TlsPeer, namaddr: str, level: int) -> None:
    if tls.certificate and level >= 2:
        log.info(f"subject={printable(tls.subject_line)}")
        log.info(f"issuer={printable(tls.issuer_line)}")
        log.info(
            f"{namaddr}: subject_CN={printable(tls.subject)}, issuer={printable(tls.issuer)}, "
            f"fingerprint={tls.certificate_fingerprint}, pkey_fingerprint={tls.public_key_fingerprint}"
        )
    trust = ("Trusted" if tls.trusted else "Untrusted") if tls.certificate else "Anonymous"
    name = f" to {tls.server_name}" if tls.server_name else ""
    log.info(f"{trust} TLS connection established from {namaddr}{name}: {summary(tls)}")


def summary(tls: TlsPeer) -> str:
    """`TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange ...`"""
    return f"{tls.protocol} with cipher {tls.cipher} ({tls.bits}/{tls.algorithm_bits} bits){tls.details}"


async def has_known_certificate(session: Session) -> bool:
    """Whether the client's certificate or key is in relay_clientcerts. Raises TableDown."""
    tls, offer, policy = session.stream.tls, session.policy.tls, session.policy
    if tls is None or not tls.certificate or offer is None:
        return False
    if policy.former is not None:
        policy.former.fingerprint(policy.conf)
    for fingerprint in (tls.certificate_fingerprint, tls.public_key_fingerprint):
        if await offer.relay_certificates.find(fingerprint) is not None:
            return True
    return False


def received_lines(session: Session) -> str:
    """What smtpd_tls_received_header adds to the Received header; ends with a line end."""
    tls, offer = session.stream.tls, session.policy.tls
    if tls is None or offer is None:
        return ""
    lines = f"\t(using {tls.protocol} with cipher {tls.cipher} ({tls.bits}/{tls.algorithm_bits} bits)"
    ours, client, theirs = tls.details.partition(" client-signature")
    lines += "".join(f"\r\n\t{part}" for part in (ours, client + theirs) if part) + ")\r\n"
    if tls.certificate:
        verified = "verified OK" if tls.trusted else "not verified"
        subject, issuer = _comment(tls.subject), _comment(tls.issuer)
        return f'{lines}\t(Client CN "{subject}", Issuer "{issuer}" ({verified}))\r\n'
    return lines + (
        "\t(Client did not present a certificate)\r\n" if offer.asks else "\t(No client certificate requested)\r\n"
    )


def _comment(text: str) -> str:
    """A name inside a comment of a header must not end it. RFC 5322 3.2.2"""
    shown = printable(text)
    return "".join("_" if char in '()\\"' else char for char in shown)
