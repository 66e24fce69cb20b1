"""The SMTP and LMTP client's conversation with a server: names it uses, patience it has, connections it keeps.

Read as `conf.client("smtp")`; `client_group.py` puts the parts together.
"""

from __future__ import annotations

from ..kinds import flag, number, seconds, text, words
from .group import Group


class ClientSessionGroup(Group):
    """One conversation, from connecting to QUIT."""

    helo_name = text("$myhostname", "The host name that the client introduces itself with.", least=1)
    tcp_port = text(
        "smtp",
        "The port that the client connects to when a next hop names none: a number or a service name.",
    )
    always_send_ehlo = flag("yes", "Whether to begin with EHLO even when the server's greeting does not mention ESMTP.")
    never_send_ehlo = flag(
        "no",
        "Whether to use plain HELO only. Nothing that EHLO offers is available then: no STARTTLS, no login, no DSN "
        "options.",
    )
    assume_final = flag(
        "no",
        'Whether to take the server for the last stop and report success to the sender (DSN "delivered") when the '
        "server does not announce DSN.",
    )
    connect_timeout = seconds(
        "30s",
        "How long to wait for a TCP connection to be made. With 0 only the operating system's own limit applies.",
    )
    helo_timeout = seconds(
        "300s",
        "How long to wait for the greeting of the server, and then for its answer to EHLO, HELO or LHLO.",
        least=1,
    )
    xforward_timeout = seconds("300s", "How long to wait for the server's answer to XFORWARD.", least=1)
    mail_timeout = seconds("300s", "How long to wait for the server's answer to MAIL FROM.", least=1)
    rcpt_timeout = seconds("300s", "How long to wait for the server's answer to RCPT TO.", least=1)
    data_init_timeout = seconds("120s", "How long to wait for the server's answer to DATA.", least=1)
    data_xfer_timeout = seconds("180s", "How long sending content may stand still before the client gives up.", least=1)
    data_done_timeout = seconds(
        "600s",
        "How long to wait for the server's answer to the end of the message. Giving up early here means sending it "
        "twice, so this is generous.",
        least=1,
    )
    rset_timeout = seconds(
        "20s",
        "How long to wait for the server's answer to RSET, which the client sends to check a kept connection and to "
        "end a probe.",
        least=1,
    )
    quit_timeout = seconds("300s", "How long to wait for the server's answer to QUIT.", least=1)
    starttls_timeout = seconds(
        "300s",
        "How long reads and writes of the TLS handshake may take.",
        least=1,
        pending=True,
    )
    per_request_deadline = flag(
        "${<prefix>per_record_deadline?{$<prefix>per_record_deadline}:{no}}",
        "Whether the time limits above cover a whole request or reply instead of each read and write, so that a "
        "server cannot hold the client by sending a byte now and then.",
    )
    min_data_rate = number(
        "500",
        "With deadlines per request: how many bytes a second the content must move at the least, beyond its time "
        "limit.",
        least=1,
    )
    skip_5xx_greeting = flag(
        "yes",
        "Whether a server that greets with 5xx is passed over for the next one. With no, the mail is returned at once.",
    )
    skip_quit_response = flag("yes", "Whether to hang up after QUIT without waiting for the answer.")
    quote_rfc821_envelope = flag(
        "yes",
        "Whether unusual local parts are quoted in MAIL FROM and RCPT TO as the standard wants.",
    )
    line_length_limit = number(
        "998",
        "The longest line of content that the client sends, in bytes; longer ones are folded. 0 for no limit.",
    )
    pix_workarounds = words(
        "disable_esmtp,delay_dotcrlf",
        "What to do against firewalls of the PIX family that break SMTP: disable_esmtp, delay_dotcrlf, or nothing.",
    )
    pix_workaround_maps = words(
        "",
        "Tables that give the PIX workarounds for one server, by its address.",
    )
    pix_workaround_threshold_time = seconds(
        "500s",
        "How long a message must have waited in the queue before delay_dotcrlf is used against such a firewall.",
    )
    pix_workaround_delay_time = seconds(
        "10s",
        "How long delay_dotcrlf waits before it sends the final dot.",
        least=1,
    )
    discard_ehlo_keywords = words(
        "",
        "EHLO keywords of the server that the client acts as if it had not seen, such as pipelining or dsn.",
    )
    discard_ehlo_keyword_address_maps = words(
        "",
        "Tables that give the EHLO keywords to overlook, by the server's address.",
    )
    send_xforward_command = flag(
        "no",
        "Whether to tell a server that offers XFORWARD where the message came from: client name, address, protocol, "
        "HELO name.",
    )
    send_dummy_mail_auth = flag("no", "Whether to add an empty AUTH=<> to MAIL FROM after a login.", pending=True)
    reply_filter = words(
        "",
        "Tables that rewrite a server's replies, line by line, before the client reads them.",
    )

    # Connections that are kept for the next message. Each worker process keeps its own.

    connection_cache_on_demand = flag(
        "yes",
        "Whether a connection is kept for a moment after a delivery when more mail waits for the same destination.",
    )
    connection_cache_destinations = words(
        "",
        "Destinations whose connections are always kept for a moment: domains, hosts, [addresses] or tables.",
    )
    connection_cache_time_limit = seconds(
        "2s",
        "How long an idle connection is kept open for the next message.",
        least=1,
    )
    connection_reuse_time_limit = seconds(
        "300s",
        "How old a connection may become before it is not used for another message.",
        least=1,
    )
    connection_reuse_count_limit = number("0", "How many messages may go through one connection. 0 sets no limit.")
