"""Logging in to smtpd: which mechanisms are offered, to whom, and who checks passwords."""

from __future__ import annotations

from ..kinds import flag, number, text, words


class SmtpdSasl:
    """SASL on the server's side (RFC 4954)."""

    smtpd_sasl_auth_enable = flag("no", "Whether clients may log in with AUTH.")
    smtpd_sasl_type = text(
        "cyrus",
        "Who checks logins: cyrus (a Cyrus configuration and its password files), dovecot (a Dovecot server's "
        "socket) or estafeta (our own).",
        least=1,
    )
    smtpd_sasl_path = text(
        "smtpd",
        "For dovecot, the socket to ask, relative to the queue directory; for cyrus, the name of the configuration "
        'file without ".conf"; for estafeta, the sources of passwords in order, such as '
        "passwd-file:/etc/estafeta/users pam:smtp (docs/accounts.md), and without a setting the file "
        "users beside main.cf.",
        least=1,
    )
    cyrus_sasl_config_path = words(
        "",
        "Directories in which the Cyrus configuration file is looked for first, before sasl/ beside main.cf, "
        "/etc/postfix/sasl, /etc/sasl2, /etc/sasl and /usr/lib/sasl2.",
    )
    smtpd_sasl_service = text("smtp", "The service name that is passed to the login mechanisms.", least=1)
    smtpd_sasl_local_domain = text(
        "",
        "The realm that is given to logins that name none, for mechanisms that have realms.",
    )
    smtpd_sasl_security_options = words(
        "noanonymous",
        "Kinds of login mechanism not to offer without TLS: noplaintext, noactive, nodictionary, noanonymous, "
        "forward_secrecy, mutual_auth.",
    )
    smtpd_sasl_tls_security_options = words(
        "$smtpd_sasl_security_options",
        "Kinds of login mechanism not to offer on an encrypted connection.",
    )
    smtpd_sasl_mechanism_filter = words(
        "!external, static:rest",
        "Which login mechanisms may be offered: names, !names or tables.",
    )
    smtpd_sasl_exceptions_networks = words(
        "",
        "Clients that are not offered a login, since they ask their user for a password when they see the offer.",
    )
    smtpd_sasl_authenticated_header = flag("no", "Whether the login name appears in the Received header.")
    smtpd_sasl_response_limit = number(
        "12288",
        "How long one answer of a client in a login may be, in bytes.",
        least=12288,
    )
    broken_sasl_auth_clients = flag(
        "no",
        'Whether the offer of AUTH is made a second time in an old form, "AUTH=", which a few old programs need.',
    )
    send_cyrus_sasl_authzid = flag(
        "no",
        "Whether the Cyrus login code of the SMTP client sends an authorisation name besides the login name.",
        pending=True,
        obsolete=True,
    )
