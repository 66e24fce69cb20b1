"""Milters: mail filters beside the mail system, spoken to over the Sendmail Milter protocol."""

from __future__ import annotations

from ..kinds import choice, seconds, text, words


class Milters:
    """Which filters there are, and how patient to be with them."""

    smtpd_milters = words(
        "",
        "Filters for mail that comes in over SMTP, as in inet:host:port or unix:path, each with settings in braces "
        "where wanted.",
        pending=True,
    )
    smtpd_milter_maps = words("", "Tables that give other filters by client address; DISABLE means none.", pending=True)
    non_smtpd_milters = words("", "Filters for mail that comes in by the sendmail command or QMQP.", pending=True)
    milter_default_action = choice(
        "shutdown",
        "What to do when a filter fails: accept (go on without it), reject, tempfail, quarantine (accept into the "
        "hold queue) or shutdown (tempfail and hang up).",
        "accept reject tempfail quarantine shutdown",
        pending=True,
    )
    milter_protocol = text(
        "6",
        "The version of the filter protocol, with options such as no_header_reply. 6 suits all present filters.",
        least=1,
        pending=True,
    )
    milter_connect_timeout = seconds(
        "30s",
        "How long to wait for a filter to accept a connection and agree on options.",
        least=1,
        pending=True,
    )
    milter_command_timeout = seconds(
        "30s",
        "How long to wait for a filter's answer to one step of a mail's envelope or one header.",
        least=1,
        pending=True,
    )
    milter_content_timeout = seconds(
        "300s",
        "How long to wait for a filter's answer once it has the whole message.",
        least=1,
        pending=True,
    )
    milter_header_checks = words(
        "",
        "Tables of patterns for headers that filters add; they can act on a filter's verdict, such as HOLD.",
        pending=True,
    )


class MilterMacros:
    """Values that filters are told at each step."""

    milter_macro_daemon_name = text(
        "$myhostname",
        "What filters get to see as the name of this mail server, {daemon_name}.",
        least=1,
        pending=True,
    )
    milter_macro_v = text(
        "$mail_name $mail_version",
        "What filters get to see as the version of the mail system, v.",
        least=1,
        pending=True,
    )
    milter_macro_defaults = words(
        "",
        "Values for macros that have none of their own, as in auth_type=none.",
        pending=True,
    )
    milter_connect_macros = words(
        "j {daemon_name} {daemon_addr} v _",
        "Macros that filters are told when a client connects.",
        pending=True,
    )
    milter_helo_macros = words(
        "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}",
        "Macros that filters are told after HELO or EHLO.",
        pending=True,
    )
    milter_mail_macros = words(
        "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}",
        "Macros that filters are told after MAIL FROM.",
        pending=True,
    )
    milter_rcpt_macros = words(
        "i {rcpt_addr} {rcpt_host} {rcpt_mailer}",
        "Macros that filters are told after RCPT TO.",
        pending=True,
    )
    milter_data_macros = words("i", "Macros that filters are told after DATA.", pending=True)
    milter_end_of_header_macros = words("i", "Macros that filters are told at the end of the headers.", pending=True)
    milter_end_of_data_macros = words("i", "Macros that filters are told at the end of the message.", pending=True)
    milter_unknown_command_macros = words(
        "",
        "Macros that filters are told when a client sends an unknown command.",
        pending=True,
    )
