"""TLS in general: cipher grades, curves, session tickets, randomness. For servers and clients alike."""

from __future__ import annotations

from ..kinds import flag, number, seconds, text, words


class TlsLibrary:
    """What every TLS connection is made with."""

    tls_high_cipherlist = text(
        "aNULL:-aNULL:HIGH:!SEED:!IDEA:!3DES:!RC2:!RC4:!RC5:!kDH:!kECDH:!aDSS:!MD5:@STRENGTH",
        'The ciphers of the grade "high", in OpenSSL\'s notation. Grades are best left as they are.',
        least=1,
    )
    tls_medium_cipherlist = text(
        "aNULL:-aNULL:HIGH:MEDIUM:!SEED:!IDEA:!3DES:!RC2:!RC4:!RC5:!kDH:!kECDH:!aDSS:!MD5:+RC4:@STRENGTH",
        'The ciphers of the grade "medium" and better, in OpenSSL\'s notation.',
        least=1,
    )
    tls_low_cipherlist = text(
        "",
        'The ciphers of the former grade "low". Empty in recent releases, since no cipher of that grade is left.',
        obsolete=True,
    )
    tls_export_cipherlist = text(
        "",
        'The ciphers of the former grade "export". Empty in recent releases, since no cipher of that grade is left.',
        obsolete=True,
    )
    tls_null_cipherlist = text(
        "eNULL:!kDH:!kECDH:!aDSS:!MD5:!aNULL",
        'The ciphers of the grade "null", which prove who is speaking but hide nothing.',
        least=1,
    )
    tls_preempt_cipherlist = flag("no", "Whether the server's order of ciphers goes before the client's.")
    tls_eecdh_auto_curves = words(
        "X25519 X448 prime256v1 secp384r1 secp521r1",
        "The elliptic curves offered for key exchange where client and server agree on one, best first.",
        least=1,
    )
    tls_eecdh_strong_curve = text(
        "prime256v1",
        'The elliptic curve of the grade "strong".',
        least=1,
        obsolete=True,
    )
    tls_eecdh_ultra_curve = text(
        "secp384r1",
        'The elliptic curve of the grade "ultra".',
        least=1,
        obsolete=True,
    )
    tls_ffdhe_auto_groups = words(
        "ffdhe2048 ffdhe3072",
        "The well-known Diffie-Hellman groups offered for key exchange beside elliptic curves. Empty offers none.",
    )
    tls_dane_digests = words(
        "sha512 sha256",
        "The hash functions for DANE records that are supported, strongest first.",
        least=1,
        pending=True,
    )
    tls_trust_server_ccerts = flag(
        "no",
        "Whether client certificates that were issued for servers are accepted as well.",
        pending=True,
    )
    tls_append_default_CA = flag(
        "no",
        "Whether the system's own CA certificates are trusted beside those of the configured files. Fewer is safer "
        "where certificates give rights.",
    )
    tls_wildcard_matches_multiple_labels = flag(
        "yes",
        'Whether the "*" in a certificate\'s name stands for several labels, so that *.example.com matches '
        "a.b.example.com.",
        pending=True,
    )
    tls_disable_workarounds = words(
        "",
        "Workarounds for errors in other TLS implementations to turn off, by OpenSSL's names or a number in "
        "hexadecimal.",
    )
    tls_ssl_options = words(
        "",
        "Further OpenSSL options to turn on, such as no_ticket or no_compression.",
    )
    tls_config_file = text("default", "The OpenSSL configuration file to use: default, none, or a path.")
    tls_config_name = text(
        "",
        "The name of the section in that file that is meant for this program. Empty uses OpenSSL's own.",
    )
    tls_fast_shutdown_enable = flag(
        "yes",
        "Whether a TLS connection is closed without waiting for the other side's farewell. Ours always is, so this has "
        "no effect.",
    )
    tls_session_ticket_cipher = text(
        "aes-256-cbc",
        "The cipher that session tickets are sealed with; empty gives out no tickets.",
    )
    tls_trace_rate_limit = number(
        "1",
        "How many TLS sessions a second at the most are traced in full at the high log levels.",
    )
    tls_random_source = text(
        "dev:/dev/urandom",
        "Where Postfix takes randomness from. Ours comes from the system through OpenSSL, so this has no effect.",
    )
    tls_random_bytes = number(
        "32",
        "How much randomness Postfix reads at a time. Ours comes from the system through OpenSSL, so this has no "
        "effect.",
        least=1,
    )
    tls_daemon_random_bytes = number(
        "32",
        "How much randomness each Postfix process asks for. Ours comes from the system through OpenSSL, so this has "
        "no effect.",
        least=1,
    )
    tls_random_exchange_name = text(
        "${data_directory}/prng_exch",
        "The file that keeps Postfix's randomness over a restart. Ours comes from the system through OpenSSL, so "
        "this has no effect.",
    )
    tls_random_prng_update_period = seconds(
        "3600s",
        "How often Postfix saves its randomness to that file. Ours comes from the system through OpenSSL, so this "
        "has no effect.",
        least=1,
    )
    tls_random_reseed_period = seconds(
        "3600s",
        "How often Postfix renews its randomness. Ours comes from the system through OpenSSL, so this has no effect.",
        least=1,
    )
