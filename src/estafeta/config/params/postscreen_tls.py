"""TLS in sessions that postscreen leads itself: smtpd's settings, which these follow until they are set."""

from __future__ import annotations

from ..kinds import Value, mirror
from .smtpd_tls import SmtpdTls


def _postscreen(source: Value, name: str, topic: str, *, obsolete: bool = False) -> Value:
    manual = f"In postscreen's own sessions: {topic}. It follows {name} until it is set."
    return mirror(source, name, manual, obsolete=obsolete)


class PostscreenTls:
    """TLS between a client and postscreen."""

    postscreen_enforce_tls = _postscreen(
        SmtpdTls.smtpd_enforce_tls, "smtpd_enforce_tls", "the older way to require TLS", obsolete=True
    )
    postscreen_starttls_timeout = _postscreen(
        SmtpdTls.smtpd_starttls_timeout, "smtpd_starttls_timeout", "how long the TLS handshake may take"
    )
    postscreen_tls_CAfile = _postscreen(SmtpdTls.smtpd_tls_CAfile, "smtpd_tls_CAfile", "the file of CA certificates")
    postscreen_tls_CApath = _postscreen(SmtpdTls.smtpd_tls_CApath, "smtpd_tls_CApath", "the folder of CA certificates")
    postscreen_tls_always_issue_session_ids = _postscreen(
        SmtpdTls.smtpd_tls_always_issue_session_ids,
        "smtpd_tls_always_issue_session_ids",
        "whether clients always get a session id",
    )
    postscreen_tls_ask_ccert = _postscreen(
        SmtpdTls.smtpd_tls_ask_ccert, "smtpd_tls_ask_ccert", "whether clients are asked for a certificate"
    )
    postscreen_tls_ccert_verifydepth = _postscreen(
        SmtpdTls.smtpd_tls_ccert_verifydepth,
        "smtpd_tls_ccert_verifydepth",
        "how long the chain of a client certificate may be",
    )
    postscreen_tls_cert_file = _postscreen(SmtpdTls.smtpd_tls_cert_file, "smtpd_tls_cert_file", "the RSA certificate")
    postscreen_tls_chain_files = _postscreen(
        SmtpdTls.smtpd_tls_chain_files, "smtpd_tls_chain_files", "the files of keys and certificate chains"
    )
    postscreen_tls_ciphers = _postscreen(
        SmtpdTls.smtpd_tls_ciphers, "smtpd_tls_ciphers", "the weakest cipher grade where TLS is optional"
    )
    postscreen_tls_dcert_file = _postscreen(
        SmtpdTls.smtpd_tls_dcert_file, "smtpd_tls_dcert_file", "the DSA certificate", obsolete=True
    )
    postscreen_tls_dh1024_param_file = _postscreen(
        SmtpdTls.smtpd_tls_dh1024_param_file, "smtpd_tls_dh1024_param_file", "the Diffie-Hellman parameters"
    )
    postscreen_tls_dh512_param_file = _postscreen(
        SmtpdTls.smtpd_tls_dh512_param_file,
        "smtpd_tls_dh512_param_file",
        "the export grade Diffie-Hellman parameters",
        obsolete=True,
    )
    postscreen_tls_dkey_file = _postscreen(
        SmtpdTls.smtpd_tls_dkey_file, "smtpd_tls_dkey_file", "the key of the DSA certificate", obsolete=True
    )
    postscreen_tls_eccert_file = _postscreen(
        SmtpdTls.smtpd_tls_eccert_file, "smtpd_tls_eccert_file", "the ECDSA certificate"
    )
    postscreen_tls_eckey_file = _postscreen(
        SmtpdTls.smtpd_tls_eckey_file, "smtpd_tls_eckey_file", "the key of the ECDSA certificate"
    )
    postscreen_tls_eecdh_grade = _postscreen(
        SmtpdTls.smtpd_tls_eecdh_grade, "smtpd_tls_eecdh_grade", "the choice of elliptic curves"
    )
    postscreen_tls_enable_rpk = _postscreen(
        SmtpdTls.smtpd_tls_enable_rpk, "smtpd_tls_enable_rpk", "whether bare public keys are accepted"
    )
    postscreen_tls_exclude_ciphers = _postscreen(
        SmtpdTls.smtpd_tls_exclude_ciphers, "smtpd_tls_exclude_ciphers", "the ciphers never used"
    )
    postscreen_tls_fingerprint_digest = _postscreen(
        SmtpdTls.smtpd_tls_fingerprint_digest, "smtpd_tls_fingerprint_digest", "the hash of fingerprints"
    )
    postscreen_tls_key_file = _postscreen(
        SmtpdTls.smtpd_tls_key_file, "smtpd_tls_key_file", "the key of the RSA certificate"
    )
    postscreen_tls_loglevel = _postscreen(
        SmtpdTls.smtpd_tls_loglevel, "smtpd_tls_loglevel", "how much is logged about TLS"
    )
    postscreen_tls_loglevel_maps = _postscreen(
        SmtpdTls.smtpd_tls_loglevel_maps, "smtpd_tls_loglevel_maps", "the log level by client"
    )
    postscreen_tls_mandatory_ciphers = _postscreen(
        SmtpdTls.smtpd_tls_mandatory_ciphers,
        "smtpd_tls_mandatory_ciphers",
        "the weakest cipher grade where TLS is required",
    )
    postscreen_tls_mandatory_exclude_ciphers = _postscreen(
        SmtpdTls.smtpd_tls_mandatory_exclude_ciphers,
        "smtpd_tls_mandatory_exclude_ciphers",
        "the further ciphers not used where TLS is required",
    )
    postscreen_tls_mandatory_protocols = _postscreen(
        SmtpdTls.smtpd_tls_mandatory_protocols,
        "smtpd_tls_mandatory_protocols",
        "the TLS versions where TLS is required",
    )
    postscreen_tls_protocols = _postscreen(
        SmtpdTls.smtpd_tls_protocols, "smtpd_tls_protocols", "the TLS versions where TLS is optional"
    )
    postscreen_tls_req_ccert = _postscreen(
        SmtpdTls.smtpd_tls_req_ccert, "smtpd_tls_req_ccert", "whether a trusted client certificate is required"
    )
    postscreen_tls_security_level = _postscreen(
        SmtpdTls.smtpd_tls_security_level, "smtpd_tls_security_level", "how much TLS clients get"
    )
    postscreen_tls_trace_size_limit = _postscreen(
        SmtpdTls.smtpd_tls_trace_size_limit, "smtpd_tls_trace_size_limit", "how many bytes of TLS trace are logged"
    )
    postscreen_use_tls = _postscreen(
        SmtpdTls.smtpd_use_tls, "smtpd_use_tls", "the older way to offer TLS", obsolete=True
    )
