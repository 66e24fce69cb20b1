"""TLS in smtpd: whether it is offered or required, certificates, ciphers, clients' certificates."""

from __future__ import annotations

from ..kinds import choice, flag, number, seconds, text, words


class SmtpdTls:
    """STARTTLS and TLS from the first byte, for clients."""

    smtpd_tls_security_level = choice(
        "",
        "How much TLS clients get: none, may (offered), encrypt (required, for services that are not public). Empty "
        "leaves it to the older switches. The levels fingerprint, verify and secure are about servers, and mean "
        "encrypt here.",
        "none may encrypt fingerprint verify secure",
        empty=True,
    )
    smtpd_tls_wrappermode = flag(
        "no",
        "Whether TLS starts with the first byte, as on port 465, instead of after STARTTLS.",
    )
    smtpd_tls_auth_only = flag("no", "Whether a login is possible on encrypted connections only.")
    smtpd_use_tls = flag(
        "no",
        "The older way to offer TLS. Write a security level instead.",
        obsolete=True,
    )
    smtpd_enforce_tls = flag(
        "no",
        "The older way to require TLS. Write a security level instead.",
        obsolete=True,
    )
    smtpd_starttls_timeout = seconds(
        "${stress?{10}:{300}}s",
        "How long reads and writes of the TLS handshake with a client may take.",
        least=1,
    )
    smtpd_tls_chain_files = words(
        "",
        "Files with the server's keys and certificate chains, each key before its certificates. They take the place "
        "of the separate files below.",
    )
    smtpd_tls_cert_file = text(
        "",
        "A file with the server's RSA certificate, followed by those of its issuers, in PEM form; none for no "
        "certificate at all.",
    )
    smtpd_tls_key_file = text(
        "$smtpd_tls_cert_file",
        "A file with the private key of the server's RSA certificate. It must not have a pass phrase, and nobody "
        "but root should be able to read it.",
    )
    smtpd_tls_dcert_file = text(
        "",
        "A file with a DSA certificate for smtpd. TLS no longer uses DSA.",
        obsolete=True,
    )
    smtpd_tls_dkey_file = text(
        "$smtpd_tls_dcert_file",
        "A file with the private key of smtpd's DSA certificate.",
        obsolete=True,
    )
    smtpd_tls_eccert_file = text(
        "",
        "A file with the server's ECDSA certificate, which may stand beside an RSA one.",
    )
    smtpd_tls_eckey_file = text(
        "$smtpd_tls_eccert_file",
        "A file with the private key of the server's ECDSA certificate.",
    )
    smtpd_tls_CAfile = text(
        "",
        "A file with the CA certificates that clients' certificates are checked against.",
    )
    smtpd_tls_CApath = text(
        "",
        "A folder with the CA certificates that clients' certificates are checked against, named by hash.",
    )
    smtpd_tls_ask_ccert = flag(
        "no",
        "Whether clients are asked for a certificate, without being refused when they have none.",
    )
    smtpd_tls_req_ccert = flag(
        "no",
        "Whether clients must show a certificate that is trusted. Works only where TLS is required.",
    )
    smtpd_tls_ccert_verifydepth = number(
        "9",
        "How many certificates a chain may have between a client's own and a trusted one.",
    )
    smtpd_tls_fingerprint_digest = text(
        "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}",
        "The hash that fingerprints of clients' certificates and keys are made with, such as sha256.",
        least=1,
    )
    smtpd_tls_enable_rpk = flag(
        "no",
        "Whether clients may show a bare public key instead of a certificate. That needs a later OpenSSL than Debian "
        "has, so it has no effect: clients show certificates.",
    )
    smtpd_tls_ciphers = text(
        "medium",
        "The weakest cipher grade where TLS is offered: high, medium or null.",
        least=1,
    )
    smtpd_tls_mandatory_ciphers = text(
        "medium",
        "The weakest cipher grade where clients must use TLS: high, medium or null.",
        least=1,
    )
    smtpd_tls_exclude_ciphers = words("", "Ciphers or cipher kinds that smtpd never uses.")
    smtpd_tls_mandatory_exclude_ciphers = words(
        "",
        "Further ciphers or cipher kinds that smtpd does not use where TLS is required.",
    )
    smtpd_tls_protocols = words(
        ">=TLSv1",
        'TLS versions where TLS is offered: ">=TLSv1.2", or names, or !names to leave out.',
    )
    smtpd_tls_mandatory_protocols = words(
        ">=TLSv1",
        "TLS versions where clients must use TLS, in the same form.",
    )
    smtpd_tls_eecdh_grade = text(
        "auto",
        "How elliptic curves for key exchange used to be chosen. Whatever is written, client and server agree on a "
        "curve, as with auto.",
        obsolete=True,
    )
    smtpd_tls_dh1024_param_file = text(
        "",
        "A file with parameters for Diffie-Hellman key exchange, 2048 bits or more whatever the name says; auto or "
        "empty uses well-known ones.",
    )
    smtpd_tls_dh512_param_file = text(
        "",
        "A file with parameters for export grade key exchange, which no longer exists.",
        obsolete=True,
    )
    smtpd_tls_session_cache_database = text(
        "",
        "A table for TLS sessions to be resumed. We use session tickets with keys common to all workers, so no "
        "table is written.",
    )
    smtpd_tls_session_cache_timeout = seconds(
        "3600s",
        "How long a client may resume a TLS session. 0 turns that off.",
        most=8640000,
    )
    smtpd_tls_always_issue_session_ids = flag(
        "yes",
        "Whether clients get a session id even when sessions are not kept, which some clients need to go on.",
    )
    smtpd_tls_received_header = flag(
        "no",
        "Whether the Received header says which protocol and cipher were used, and what certificate the client had.",
    )
    smtpd_tls_loglevel = number(
        "0",
        "How much smtpd logs about TLS: 0 nothing, 1 a summary of each handshake, up to 4, the whole exchange in "
        "hexadecimal.",
    )
    smtpd_tls_loglevel_maps = words("", "Tables that give smtpd another TLS log level by client.")
    smtpd_tls_trace_size_limit = number(
        "102400",
        "How many bytes of TLS trace at the most smtpd logs for one session at the high log levels.",
    )
    tls_server_sni_maps = words(
        "",
        "Tables that give key and certificate files by the server name that a client asks for.",
    )
