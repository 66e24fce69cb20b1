"""Other ways in and special services: the sendmail and queue commands, QMQP, and mail held for ETRN."""

from __future__ import annotations

from ..kinds import choice, flag, number, seconds, words


class Submission:
    """Local commands and who may use them."""

    authorized_submit_users = words(
        "static:anyone",
        "Who may send mail with the sendmail command: user names, !names or tables.",
    )
    authorized_mailq_users = words("static:anyone", "Who may look at the queue: user names, !names or tables.")
    authorized_flush_users = words(
        "static:anyone",
        "Who may ask for delivery of all waiting mail: user names, !names or tables.",
    )
    sendmail_fix_line_endings = choice(
        "always",
        "When sendmail takes CRLF for a line end: always on each line; strict, only if the first line ends so; never.",
        "always strict never",
    )


class Qmqp:
    """The QMQP server, with which trusted hosts hand mail to a common queue."""

    qmqpd_authorized_clients = words(
        "",
        "Clients that may use QMQP: networks, names or tables. Empty allows nobody.",
    )
    qmqpd_client_port_logging = flag(
        "no",
        "Whether the port number of a QMQP client is logged along with its address.",
    )
    qmqpd_error_delay = seconds(
        "1s",
        "How long a QMQP client waits for a refusal, which slows down one that goes wrong.",
    )
    qmqpd_timeout = seconds(
        "300s",
        "How long to wait for more data of a QMQP client, and for it to take the answer.",
        least=1,
    )


class FastFlush:
    """Mail that waits for a domain until its server asks, with ETRN (flush(8))."""

    fast_flush_domains = words(
        "$relay_domains",
        "Domains for which an account of waiting mail is kept, so that ETRN and `postqueue -s` can deliver it at once.",
    )
    fast_flush_purge_time = seconds(
        "7d",
        "After how long an account without entries is removed.",
        least=1,
    )
    fast_flush_refresh_time = seconds(
        "12h",
        "After how long the account of a domain that nobody asked for is tried by itself.",
        least=1,
    )


class TcpSettings:
    """Settings of TCP connections."""

    tcp_windowsize = number(
        "0",
        "The TCP window size to announce, in bytes, for networks that mishandle large ones. 0 leaves it to the system.",
    )
