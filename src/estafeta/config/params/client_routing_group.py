"""How the SMTP and LMTP client finds the servers for a destination, and what it does to content on the way out.

Read as `conf.client("smtp")`; `client_group.py` puts the parts together.
"""

from __future__ import annotations

from ..kinds import choice, flag, number, seconds, text, words
from .group import Group


class ClientRoutingGroup(Group):
    """From a next hop to a list of addresses to try."""

    address_preference = choice(
        "any",
        "Which addresses to try first when a server has both kinds: ipv4, ipv6, or any for no preference.",
        "any ipv4 ipv6",
    )
    balance_inet_protocols = flag(
        "yes",
        "Whether the addresses that survive the limit on their number are a mix of IPv4 and IPv6, so that one "
        "broken protocol does not take all the places.",
    )
    bind_address = text(
        "",
        "The IPv4 address that connections start from. Empty leaves it to the system.",
    )
    bind_address6 = text(
        "",
        "The IPv6 address that connections start from. Empty leaves it to the system.",
    )
    bind_address_enforce = flag(
        "no",
        "Whether to put mail off when the chosen start address cannot be used, instead of connecting from another one.",
    )
    host_lookup = words(
        "dns",
        "Where server names are looked up: dns, native (the system's hosts file and services), or both in this order.",
        least=1,
        among="dns native",
    )
    dns_support_level = choice(
        "",
        "How much DNS the client uses: disabled, enabled, or dnssec, which asks for validated answers. Empty means "
        "enabled, unless disable_dns_lookups is set.",
        "disabled enabled dnssec",
    )
    dns_resolver_options = words(
        "",
        "Resolver options for server lookups: res_defnames and res_dnsrch, which complete short names.",
        among="res_defnames res_dnsrch",
    )
    dns_reply_filter = words(
        "",
        "Tables that change or drop DNS records found for servers, record by record, before they are used.",
    )
    cname_overrides_servername = flag(
        "no",
        "Whether a CNAME's target takes the place of the server's name in logs, logins and TLS checks.",
    )
    randomize_addresses = flag(
        "yes",
        "Whether servers of equal preference are tried in random order, which spreads the load.",
    )
    mx_address_limit = number(
        "5",
        "How many server addresses a delivery tries at the most. 0 sets no limit.",
    )
    mx_session_limit = number(
        "2",
        "How many servers a delivery tries that get as far as a greeting. 0 sets no limit.",
    )
    defer_if_no_mx_address_found = flag(
        "no",
        "Whether mail waits when no MX host of the destination has an address. With no, it is returned.",
    )
    fallback_relay = words(
        "$fallback_relay",
        "Servers to try last, when a destination's own cannot be found or reached; the same forms as a next hop.",
    )
    address_verify_target = choice(
        "rcpt",
        "The step at which a probe of an address stops and counts: after RCPT TO (rcpt) or after DATA (data).",
        "rcpt data",
    )
    delivery_status_filter = words(
        "$default_delivery_status_filter",
        "Tables that change the status code and text of a delivery's outcome before it is logged and acted upon.",
    )
    requiretls_policy = words(
        "inline:{{${domain_to_ascii{$mydomain}}=opportunistic}, "
        "{.${domain_to_ascii{$mydomain}}=opportunistic}, {localhost=opportunistic}}, cidr:{{0.0.0.0/0 "
        "opportunistic}, {::/0 opportunistic}}, enforce",
        "What to do with a message whose sender demands TLS all the way when a server does not offer REQUIRETLS: "
        "enforce or opportunistic, by destination.",
        pending=True,
    )


class ClientContentGroup(Group):
    """Changes to headers and content as a message leaves."""

    generic_maps = words(
        "",
        "Tables that turn internal addresses into ones that are valid elsewhere, in envelope and headers of "
        "outgoing mail.",
    )
    header_checks = words(
        "",
        "Tables of patterns for the message headers of outgoing mail; a match can replace, remove or log a header.",
        pending=True,
    )
    mime_header_checks = words("", "Tables of patterns for the MIME headers of outgoing mail.", pending=True)
    nested_header_checks = words(
        "",
        "Tables of patterns for the headers of messages attached to outgoing mail.",
        pending=True,
    )
    body_checks = words("", "Tables of patterns for the body lines of outgoing mail.", pending=True)


class ClientSaslGroup(Group):
    """Logging in at a server."""

    sasl_auth_enable = flag(
        "no",
        "Whether the client logs in at servers that offer AUTH, with the passwords of the password table.",
        pending=True,
    )
    sasl_password_maps = words(
        "",
        'Tables with a user name and password by destination or server name, as in "user:password".',
        pending=True,
    )
    sasl_password_result_delimiter = text(
        ":",
        "The character between user name and password in the results of the password table.",
        pending=True,
    )
    sender_dependent_authentication = flag(
        "no",
        "Whether the password table is also searched by the sender's address. Connections are then not shared "
        "between senders.",
        pending=True,
    )
    sasl_mechanism_filter = words(
        "",
        "Which of the server's login mechanisms may be used: names, !names or tables. Empty allows all.",
        pending=True,
    )
    sasl_security_options = words(
        "noplaintext, noanonymous",
        "Kinds of login mechanism to refuse without TLS: noplaintext, noactive, nodictionary, noanonymous, "
        "mutual_auth.",
        pending=True,
    )
    sasl_tls_security_options = words(
        "$<prefix>sasl_security_options",
        "Kinds of login mechanism to refuse on an encrypted connection.",
        pending=True,
    )
    sasl_tls_verified_security_options = words(
        "$<prefix>sasl_tls_security_options",
        "Kinds of login mechanism to refuse on an encrypted connection whose certificate was verified.",
        pending=True,
    )
    sasl_type = text(
        "cyrus",
        "Which login code the client uses. All names lead to our own implementation.",
        least=1,
        pending=True,
    )
    sasl_path = text(
        "",
        "A setting for the login code, such as where its configuration is. Our own implementation needs none.",
        pending=True,
    )
    sasl_auth_cache_name = text(
        "",
        "A table that remembers logins that failed, so that the same password is not tried again and again. Empty "
        "remembers none.",
        pending=True,
    )
    sasl_auth_cache_time = seconds("90d", "How long a failed login is remembered.", pending=True)
    sasl_auth_soft_bounce = flag(
        "yes",
        "Whether mail waits after a server refused the login. With no, it is returned.",
        pending=True,
    )
