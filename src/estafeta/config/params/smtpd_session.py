"""smtpd's conversation with a client: what it says, what it insists on, what it looks up."""

from __future__ import annotations

from ..kinds import choice, code, flag, seconds, text, words


class SmtpdSession:
    """Greeting, commands and the strictness about them."""

    smtpd_banner = text(
        "$myhostname ESMTP $mail_name",
        "The text after 220 in the greeting. The standard wants this machine's full host name first.",
        least=1,
    )
    smtpd_helo_required = flag("no", "Whether a client must introduce itself with HELO or EHLO before MAIL.")
    disable_vrfy_command = flag(
        "no",
        "Whether VRFY is refused, which keeps strangers from finding out addresses that way.",
    )
    strict_rfc821_envelopes = flag(
        "no",
        "Whether addresses in MAIL FROM and RCPT TO must be in angle brackets and without comments, as the standard "
        "says.",
    )
    smtpd_discard_ehlo_keywords = words(
        "",
        "EHLO keywords that are not offered, such as dsn or chunking. Add silent-discard to keep this out of the log.",
    )
    smtpd_discard_ehlo_keyword_address_maps = words(
        "",
        "Tables that give the EHLO keywords not to offer, by client address.",
    )
    smtpd_noop_commands = words(
        "",
        "Commands that are answered with 250 and otherwise taken no notice of.",
    )
    smtpd_forbidden_commands = words(
        "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}",
        "Commands, or tables of them, at which smtpd hangs up at once, since they come from programs that do not "
        "speak SMTP.",
    )
    smtpd_command_filter = words(
        "",
        "Tables that rewrite a client's command lines before smtpd reads them.",
    )
    smtpd_forbid_unauth_pipelining = flag(
        "yes",
        "Whether a client is cut off that sends commands ahead where the protocol does not allow it, as smuggled "
        "mail does.",
    )
    smtpd_forbid_bare_newline = choice(
        "normalize",
        "What to do about lines that end in a bare newline: normalize (or yes) takes them as lines but only "
        "CRLF.CRLF as the end of the message, reject refuses, note only logs, no accepts them as before.",
        "yes no normalize reject note",
    )
    smtpd_forbid_bare_newline_exclusions = words(
        "$mynetworks",
        "Clients that the strictness about bare newlines does not apply to: networks, addresses or tables.",
    )
    smtpd_forbid_bare_newline_reject_code = code(
        "550",
        "The reply code with which mail with bare newlines is refused. 521 also hangs up.",
    )
    smtpd_peername_lookup = flag(
        "yes",
        'Whether a client\'s host name is looked up and verified. With no, every client is "unknown".',
    )
    smtpd_client_port_logging = flag(
        "no",
        "Whether the client's port number is logged along with its address.",
    )
    smtpd_hide_client_session = flag(
        "no",
        "Whether the Received header leaves out the client's name, address and protocol. For mail from this "
        "system's own users only.",
    )
    smtpd_delay_open_until_valid_rcpt = flag(
        "yes",
        "Whether Postfix waits for a valid recipient before it opens a queue file. Here nothing is written before "
        "the message is complete, so only the queue id in the log depends on this.",
    )
    smtpd_upstream_proxy_protocol = choice(
        "",
        "The protocol by which a proxy in front of smtpd says who the client is: haproxy, or empty for no proxy.",
        "haproxy",
        empty=True,
    )
    smtpd_upstream_proxy_timeout = seconds("5s", "How long to wait for the proxy to say so.", least=1)
    smtpd_authorized_xclient_hosts = words(
        "",
        "Clients that may use XCLIENT to speak for another client: networks, names or tables.",
    )
    smtpd_authorized_xforward_hosts = words(
        "",
        "Clients that may use XFORWARD to tell where mail came from: networks, names or tables.",
    )
    smtpd_authorized_verp_clients = words(
        "$authorized_verp_clients",
        "Clients that may ask for a sender address for each recipient with XVERP.",
    )
    smtpd_dns_reply_filter = words(
        "",
        "Tables that change or drop DNS records that smtpd's checks get to see.",
    )
    smtpd_proxy_filter = text(
        "",
        "A content filter that smtpd passes each message through while the client waits: host:port or "
        "inet:host:port. Empty for none.",
        pending=True,
    )
    smtpd_proxy_ehlo = text("$myhostname", "The name that smtpd introduces itself with to that filter.", pending=True)
    smtpd_proxy_timeout = seconds("100s", "How long to wait for each answer of that filter.", least=1, pending=True)
    smtpd_proxy_options = words(
        "",
        "How smtpd talks to that filter; speed_adjust takes in the whole message before it connects.",
        pending=True,
    )
    requiretls_enable = flag(
        "yes",
        "Whether clients are offered REQUIRETLS (RFC 8689), with which a sender demands TLS on the whole way.",
        pending=True,
    )
    requiretls_esmtp_header = flag(
        "yes",
        "Whether a demand for TLS on the whole way is noted in a header of the message.",
        pending=True,
    )
    requiretls_redact_dsn = flag(
        "yes",
        "Whether a bounce of such a message leaves out its content, so that it does not travel unprotected.",
        pending=True,
    )
    tls_required_enable = flag(
        "yes",
        'Whether the header "TLS-Required: no" of a message is heeded, with which a sender puts delivery above '
        "protection.",
        pending=True,
    )
