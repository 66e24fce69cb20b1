"""TLS on the SMTP and LMTP client's side: how much of it a destination gets, whom to trust, own certificates.

Read as `conf.client("smtp")`; `client_group.py` puts the parts together.
"""

from __future__ import annotations

from ..kinds import choice, flag, number, seconds, text, words
from .group import Group


class ClientTlsPolicyGroup(Group):
    """How much TLS to ask for, and whom to believe."""

    tls_security_level = choice(
        "${{$compatibility_level} <level {3.11} ? {} : {may}}",
        "How much TLS deliveries use by default: none, may (when offered), encrypt (always), dane, dane-only, "
        "fingerprint, verify or secure. Empty leaves it to the older switches.",
        "none may encrypt dane dane-only fingerprint verify secure",
        empty=True,
        pending=True,
    )
    tls_policy_maps = words(
        "",
        'Tables that give the TLS level and its details by destination, as in "example.com secure match=.example.com".',
        pending=True,
    )
    tls_wrappermode = flag(
        "no",
        "Whether TLS starts with the first byte, as servers on port 465 expect. Needs the level encrypt or higher.",
        pending=True,
    )
    use_tls = flag(
        "no",
        "The older way to say that TLS is used when offered. Write a security level instead.",
        pending=True,
        obsolete=True,
    )
    enforce_tls = flag(
        "no",
        "The older way to say that TLS is required. Write a security level instead.",
        pending=True,
        obsolete=True,
    )
    tls_enforce_peername = flag(
        "yes",
        "With the older way of requiring TLS: whether the server's certificate must carry its name.",
        pending=True,
        obsolete=True,
    )
    tls_per_site = words(
        "",
        "The older kind of table that says by destination whether TLS is used. Write a policy table instead.",
        pending=True,
        obsolete=True,
    )
    tls_verify_cert_match = words(
        "hostname",
        "What name the certificate must carry at the level verify: hostname, nexthop, dot-nexthop, or names.",
        least=1,
        pending=True,
    )
    tls_secure_cert_match = words(
        "nexthop, dot-nexthop",
        "What name the certificate must carry at the level secure: nexthop, dot-nexthop, hostname, or names.",
        least=1,
        pending=True,
    )
    tls_fingerprint_cert_match = words(
        "",
        "Fingerprints of the certificates or keys to accept at the level fingerprint.",
        pending=True,
    )
    tls_fingerprint_digest = text(
        "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}",
        "The hash that certificate and key fingerprints are made with, such as sha256.",
        least=1,
        pending=True,
    )
    tls_servername = text(
        "",
        "The server name sent in the handshake (SNI): hostname, nexthop, or a name. Empty sends none, except with "
        "DANE.",
        pending=True,
    )
    tls_dane_insecure_mx_policy = choice(
        "dane",
        "At the DANE level, the level for servers found through MX records that were not signed.",
        "may encrypt dane",
        pending=True,
    )
    tls_force_insecure_host_tlsa_lookup = flag(
        "no",
        "Whether to look for TLSA records of a server whose address record is not signed. Not usually worth the query.",
        pending=True,
    )
    tls_enforce_sts_mx_patterns = flag(
        "yes",
        "Whether a server must match the MX patterns that an MTA-STS policy service returned with its policy.",
        pending=True,
    )
    tls_block_early_mail_reply = flag(
        "no",
        "Whether to treat replies that came before the handshake was complete as an attack and give up.",
        pending=True,
    )
    tls_note_starttls_offer = flag(
        "no",
        "Whether to log the names of servers that offer STARTTLS when TLS is not used for them yet.",
        pending=True,
    )
    tls_enable_rpk = flag(
        "no",
        "Whether to ask servers for a bare public key instead of a certificate, where keys are matched by "
        "fingerprint or DANE.",
        pending=True,
    )
    tls_scert_verifydepth = number(
        "9",
        "How many certificates a chain may have between a server's own and a trusted one.",
        pending=True,
    )
    tls_trust_anchor_file = words(
        "",
        "Files with certificates or keys to trust instead of the CA files, at the levels that check certificates.",
        pending=True,
    )
    tls_CAfile = text(
        "",
        "A file with the CA certificates to trust, in PEM form. It is read before the process enters a chroot.",
        pending=True,
    )
    tls_CApath = text("", "A folder with CA certificates to trust, named by hash.", pending=True)


class ClientTlsDetailsGroup(Group):
    """Own certificates, ciphers, sessions, reports."""

    tls_chain_files = words(
        "",
        "Files with the client's keys and certificate chains, each key before its certificates. They take the place "
        "of the separate files below.",
        pending=True,
    )
    tls_cert_file = text(
        "",
        "A file with the client's RSA certificate, for servers that ask for one. Empty for none, which is the rule.",
        pending=True,
    )
    tls_key_file = text(
        "$<prefix>tls_cert_file",
        "A file with the private key of the client's RSA certificate.",
        pending=True,
    )
    tls_dcert_file = text("", "A file with a DSA certificate. TLS no longer uses DSA.", pending=True, obsolete=True)
    tls_dkey_file = text(
        "$<prefix>tls_dcert_file",
        "A file with the private key of the DSA certificate.",
        pending=True,
        obsolete=True,
    )
    tls_eccert_file = text("", "A file with the client's ECDSA certificate.", pending=True)
    tls_eckey_file = text(
        "$<prefix>tls_eccert_file",
        "A file with the private key of the client's ECDSA certificate.",
        pending=True,
    )
    tls_ciphers = text(
        "medium",
        "The weakest cipher grade where TLS is used when offered: high, medium or null.",
        least=1,
        pending=True,
    )
    tls_mandatory_ciphers = text(
        "medium",
        "The weakest cipher grade where TLS is required: high, medium or null.",
        least=1,
        pending=True,
    )
    tls_exclude_ciphers = words("", "Ciphers or cipher kinds never to use.", pending=True)
    tls_mandatory_exclude_ciphers = words(
        "",
        "Further ciphers or cipher kinds not to use where TLS is required.",
        pending=True,
    )
    tls_protocols = words(
        ">=TLSv1",
        'TLS versions where TLS is used when offered: ">=TLSv1.2", or names, or !names to leave out.',
        pending=True,
    )
    tls_mandatory_protocols = words(">=TLSv1", "TLS versions where TLS is required, in the same form.", pending=True)
    tls_session_cache_database = text(
        "",
        "A table for TLS sessions to be resumed. Each worker keeps its sessions in memory; any value turns that on.",
        pending=True,
    )
    tls_session_cache_timeout = seconds("3600s", "How long a TLS session may be resumed.", most=8640000, pending=True)
    tls_connection_reuse = flag("no", "Whether an encrypted connection may be kept for the next message.", pending=True)
    tls_loglevel = number(
        "0",
        "How much to log about TLS: 0 nothing, 1 a summary of each handshake, up to 4, the whole exchange in "
        "hexadecimal.",
        pending=True,
    )
    tls_loglevel_maps = words("", "Tables that give another TLS log level by destination.", pending=True)
    tls_trace_size_limit = number(
        "102400",
        "How many bytes of TLS trace at the most are logged for one session at the high log levels.",
        pending=True,
    )
    log_tls_feature_status = flag(
        "yes",
        "Whether the log line of a delivery says which TLS protection was wanted and reached.",
        pending=True,
    )
    tlsrpt_enable = flag(
        "no",
        "Whether TLS successes and failures are handed to a TLSRPT collector (RFC 8460).",
        pending=True,
    )
    tlsrpt_socket_name = text(
        "",
        "The socket of the TLSRPT collector, relative to the queue directory or absolute.",
        pending=True,
    )
    tlsrpt_skip_reused_handshakes = flag(
        "no",
        "Whether resumed TLS sessions are left out of TLSRPT statistics.",
        pending=True,
    )
