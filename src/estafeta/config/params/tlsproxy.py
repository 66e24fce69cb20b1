"""TLS by proxy: the settings of Postfix's tlsproxy(8), which follow those of smtpd and the SMTP client until set.

A `tlsproxy` entry in master.cf is accepted. The encryption happens in the process that speaks, and these settings
apply to the connections that tlsproxy would have served.
"""

from __future__ import annotations

from ..kinds import Value, mirror, seconds, text, words
from .client_group import ClientGroup
from .smtpd_tls import SmtpdTls


def _server(source: Value, name: str, topic: str, *, obsolete: bool = False) -> Value:
    manual = f"In postscreen's sessions, which tlsproxy encrypts in Postfix: {topic}. Follows {name} until it is set."
    return mirror(source, name, manual, obsolete=obsolete)


def _client(source: Value, name: str, topic: str, *, obsolete: bool = False) -> Value:
    manual = f"In connections that tlsproxy makes for the SMTP client: {topic}. It follows {name} until it is set."
    return mirror(source, name, manual, pending=True, obsolete=obsolete)


class TlsproxyServer:
    """TLS on behalf of servers."""

    tlsproxy_enforce_tls = _server(
        SmtpdTls.smtpd_enforce_tls, "smtpd_enforce_tls", "the older way to require TLS", obsolete=True
    )
    tlsproxy_tls_CAfile = _server(SmtpdTls.smtpd_tls_CAfile, "smtpd_tls_CAfile", "the file of CA certificates")
    tlsproxy_tls_CApath = _server(SmtpdTls.smtpd_tls_CApath, "smtpd_tls_CApath", "the folder of CA certificates")
    tlsproxy_tls_always_issue_session_ids = _server(
        SmtpdTls.smtpd_tls_always_issue_session_ids,
        "smtpd_tls_always_issue_session_ids",
        "whether clients always get a session id",
    )
    tlsproxy_tls_ask_ccert = _server(
        SmtpdTls.smtpd_tls_ask_ccert, "smtpd_tls_ask_ccert", "whether clients are asked for a certificate"
    )
    tlsproxy_tls_ccert_verifydepth = _server(
        SmtpdTls.smtpd_tls_ccert_verifydepth,
        "smtpd_tls_ccert_verifydepth",
        "how long the chain of a client certificate may be",
    )
    tlsproxy_tls_cert_file = _server(SmtpdTls.smtpd_tls_cert_file, "smtpd_tls_cert_file", "the RSA certificate")
    tlsproxy_tls_chain_files = _server(
        SmtpdTls.smtpd_tls_chain_files, "smtpd_tls_chain_files", "the files of keys and certificate chains"
    )
    tlsproxy_tls_ciphers = _server(
        SmtpdTls.smtpd_tls_ciphers, "smtpd_tls_ciphers", "the weakest cipher grade where TLS is optional"
    )
    tlsproxy_tls_dcert_file = _server(
        SmtpdTls.smtpd_tls_dcert_file, "smtpd_tls_dcert_file", "the DSA certificate", obsolete=True
    )
    tlsproxy_tls_dh1024_param_file = _server(
        SmtpdTls.smtpd_tls_dh1024_param_file, "smtpd_tls_dh1024_param_file", "the Diffie-Hellman parameters"
    )
    tlsproxy_tls_dh512_param_file = _server(
        SmtpdTls.smtpd_tls_dh512_param_file,
        "smtpd_tls_dh512_param_file",
        "the export grade Diffie-Hellman parameters",
        obsolete=True,
    )
    tlsproxy_tls_dkey_file = _server(
        SmtpdTls.smtpd_tls_dkey_file, "smtpd_tls_dkey_file", "the key of the DSA certificate", obsolete=True
    )
    tlsproxy_tls_eccert_file = _server(SmtpdTls.smtpd_tls_eccert_file, "smtpd_tls_eccert_file", "the ECDSA certificate")
    tlsproxy_tls_eckey_file = _server(
        SmtpdTls.smtpd_tls_eckey_file, "smtpd_tls_eckey_file", "the key of the ECDSA certificate"
    )
    tlsproxy_tls_eecdh_grade = _server(
        SmtpdTls.smtpd_tls_eecdh_grade, "smtpd_tls_eecdh_grade", "the choice of elliptic curves"
    )
    tlsproxy_tls_enable_rpk = _server(
        SmtpdTls.smtpd_tls_enable_rpk, "smtpd_tls_enable_rpk", "whether bare public keys are accepted"
    )
    tlsproxy_tls_exclude_ciphers = _server(
        SmtpdTls.smtpd_tls_exclude_ciphers, "smtpd_tls_exclude_ciphers", "the ciphers never used"
    )
    tlsproxy_tls_fingerprint_digest = _server(
        SmtpdTls.smtpd_tls_fingerprint_digest, "smtpd_tls_fingerprint_digest", "the hash of fingerprints"
    )
    tlsproxy_tls_key_file = _server(SmtpdTls.smtpd_tls_key_file, "smtpd_tls_key_file", "the key of the RSA certificate")
    tlsproxy_tls_loglevel = _server(SmtpdTls.smtpd_tls_loglevel, "smtpd_tls_loglevel", "how much is logged about TLS")
    tlsproxy_tls_mandatory_ciphers = _server(
        SmtpdTls.smtpd_tls_mandatory_ciphers,
        "smtpd_tls_mandatory_ciphers",
        "the weakest cipher grade where TLS is required",
    )
    tlsproxy_tls_mandatory_exclude_ciphers = _server(
        SmtpdTls.smtpd_tls_mandatory_exclude_ciphers,
        "smtpd_tls_mandatory_exclude_ciphers",
        "the further ciphers not used where TLS is required",
    )
    tlsproxy_tls_mandatory_protocols = _server(
        SmtpdTls.smtpd_tls_mandatory_protocols,
        "smtpd_tls_mandatory_protocols",
        "the TLS versions where TLS is required",
    )
    tlsproxy_tls_protocols = _server(
        SmtpdTls.smtpd_tls_protocols, "smtpd_tls_protocols", "the TLS versions where TLS is optional"
    )
    tlsproxy_tls_req_ccert = _server(
        SmtpdTls.smtpd_tls_req_ccert, "smtpd_tls_req_ccert", "whether a trusted client certificate is required"
    )
    tlsproxy_tls_security_level = _server(
        SmtpdTls.smtpd_tls_security_level,
        "smtpd_tls_security_level",
        "how much TLS clients get. postscreen_tls_security_level says this, so it is not used",
    )
    tlsproxy_use_tls = _server(SmtpdTls.smtpd_use_tls, "smtpd_use_tls", "the older way to offer TLS", obsolete=True)
    tlsproxy_watchdog_timeout = seconds(
        "10s",
        "How long Postfix's tlsproxy may be stuck before it is ended and started again. There is no such process "
        "here, so this has no effect.",
        least=10,
    )


class TlsproxyClient:
    """TLS on behalf of the SMTP client."""

    tlsproxy_client_CAfile = _client(ClientGroup.tls_CAfile, "smtp_tls_CAfile", "the file of CA certificates")
    tlsproxy_client_CApath = _client(ClientGroup.tls_CApath, "smtp_tls_CApath", "the folder of CA certificates")
    tlsproxy_client_cert_file = _client(ClientGroup.tls_cert_file, "smtp_tls_cert_file", "the RSA certificate")
    tlsproxy_client_chain_files = _client(
        ClientGroup.tls_chain_files, "smtp_tls_chain_files", "the files of keys and certificate chains"
    )
    tlsproxy_client_dcert_file = _client(
        ClientGroup.tls_dcert_file, "smtp_tls_dcert_file", "the DSA certificate", obsolete=True
    )
    tlsproxy_client_dkey_file = _client(
        ClientGroup.tls_dkey_file, "smtp_tls_dkey_file", "the key of the DSA certificate", obsolete=True
    )
    tlsproxy_client_eccert_file = _client(ClientGroup.tls_eccert_file, "smtp_tls_eccert_file", "the ECDSA certificate")
    tlsproxy_client_eckey_file = _client(
        ClientGroup.tls_eckey_file, "smtp_tls_eckey_file", "the key of the ECDSA certificate"
    )
    tlsproxy_client_enforce_tls = _client(
        ClientGroup.enforce_tls, "smtp_enforce_tls", "the older way to require TLS", obsolete=True
    )
    tlsproxy_client_fingerprint_digest = _client(
        ClientGroup.tls_fingerprint_digest, "smtp_tls_fingerprint_digest", "the hash of fingerprints"
    )
    tlsproxy_client_key_file = _client(ClientGroup.tls_key_file, "smtp_tls_key_file", "the key of the RSA certificate")
    tlsproxy_client_loglevel = _client(ClientGroup.tls_loglevel, "smtp_tls_loglevel", "how much is logged about TLS")
    tlsproxy_client_per_site = _client(
        ClientGroup.tls_per_site, "smtp_tls_per_site", "the older table of TLS use by destination", obsolete=True
    )
    tlsproxy_client_scert_verifydepth = _client(
        ClientGroup.tls_scert_verifydepth,
        "smtp_tls_scert_verifydepth",
        "how long the chain of a server certificate may be",
    )
    tlsproxy_client_use_tls = _client(
        ClientGroup.use_tls, "smtp_use_tls", "the older way to use TLS when offered", obsolete=True
    )
    tlsproxy_client_policy_maps = words(
        "${tlsproxy_client_policy?{$tlsproxy_client_policy}:{$smtp_tls_policy_maps}}",
        "In connections that tlsproxy makes for the SMTP client: the table of TLS levels by destination.",
        pending=True,
    )
    tlsproxy_client_security_level = text(
        "${tlsproxy_client_level?{$tlsproxy_client_level}:{$smtp_tls_security_level}}",
        "In connections that tlsproxy makes for the SMTP client: how much TLS destinations get.",
        pending=True,
    )
