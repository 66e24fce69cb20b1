"""Routing: which transport takes a recipient's mail, and where to.

A domain is of one class: local (mydestination), virtual alias, virtual mailbox, relay, or anything else (default).
"""

from __future__ import annotations

from ..kinds import flag, text, words


class Routing:
    """From a recipient to a transport and a next hop."""

    transport_maps = words(
        "",
        "Tables that give transport and next hop by recipient or domain, in the form transport:nexthop. They go "
        "before everything else here.",
    )
    relayhost = words(
        "",
        "The next hop for all mail that is not for this system's own domains: example.com, [host]:port, or several "
        "to try in order. While none can be found, mail waits. Empty sends each message to its own destination.",
    )
    default_transport = text(
        "smtp",
        "The transport, with or without a next hop, for mail to domains that are not of any class of this system.",
        least=1,
    )
    local_transport = text(
        "local:$myhostname",
        "The transport for the local class: the domains of mydestination and addresses at this machine's own IP "
        "addresses.",
        least=1,
    )
    relay_transport = text(
        "relay",
        "The transport for the relay class, whose mail this system accepts for others.",
        least=1,
    )
    virtual_transport = text("virtual", "The transport for the virtual mailbox class.", least=1)
    relay_domains = words(
        "${{$compatibility_level} <level {2} ? {$mydestination} : {}}",
        "Domains of the relay class: this system accepts their mail from anyone and passes it on. Names, files or "
        "tables.",
    )
    relay_recipient_maps = words(
        "",
        "Tables with all valid recipients in relay domains; others are refused. Empty accepts any recipient there, "
        "and the bounces that follow.",
    )
    local_recipient_maps = words(
        "proxy:unix:passwd.byname $alias_maps",
        "Tables with all valid recipients of the local class; mail for others is refused. Empty accepts any.",
    )
    relocated_maps = words(
        "",
        'Tables of users who have gone; their mail is returned with the note "user has moved to" and the text found.',
    )
    relocated_prefix_enable = flag(
        "yes",
        'Whether the text from the relocated table is put after a status code and the words "User has moved to". '
        "With no, it is used alone.",
    )
    defer_transports = words(
        "",
        "Transports whose mail stays in the queue until somebody asks for its delivery, such as a dial-up link.",
    )
    best_mx_transport = text(
        "",
        "The transport for domains whose best MX host is this machine although they are not listed as its own. "
        "Empty returns such mail with a loop notice.",
    )
    owner_request_special = flag(
        "yes",
        'Whether owner-list and list-request addresses are kept from being split at a "-" delimiter.',
    )
    sender_dependent_relayhost_maps = words(
        "",
        "Tables that give another relay host by sender address or @domain.",
    )
    sender_dependent_default_transport_maps = words(
        "",
        "Tables that give another default transport by sender address or @domain.",
    )
    empty_address_relayhost_maps_lookup_key = text(
        "<>",
        "What to look up in place of the empty sender in the table of relay hosts by sender.",
        least=1,
    )
    empty_address_default_transport_maps_lookup_key = text(
        "<>",
        "What to look up in place of the empty sender in the table of default transports by sender.",
        least=1,
    )
    disable_dns_lookups = flag(
        "no",
        "Whether the SMTP and LMTP clients do without DNS. Next hops are then found through the system's own host "
        "name lookup, without MX records. smtp_dns_support_level = disabled is the present way to say this.",
        obsolete=True,
    )
    ignore_mx_lookup_error = flag(
        "no",
        "Whether a failing MX lookup is passed over by looking for an address instead. Otherwise the mail waits, as "
        "it should.",
    )
    use_srv_lookup = words(
        "",
        "Service names for which a destination's SRV records are looked up before MX records, such as submission.",
    )
    allow_srv_lookup_fallback = flag(
        "no",
        "Whether to look for MX and address records when a destination has no SRV record.",
    )
    ignore_srv_lookup_error = flag(
        "no",
        "Whether a failing SRV lookup is passed over by looking for MX and address records instead.",
    )
    dns_ncache_ttl_fix_enable = flag(
        "no",
        "A workaround for C libraries that hide the answer when a record does not exist. Our resolver reads the "
        "answers itself, so this has no effect.",
    )
    dnssec_probe = text(
        "ns:.",
        "A query, as in ns:example.com, that tells whether the resolver checks signatures. It is made once, "
        "when a client asks for signed answers (smtp_dns_support_level = dnssec) and gets others; if it brings nothing "
        "signed either, a warning says so. Empty makes none.",
    )
    enable_idna2003_compatibility = flag(
        "no",
        "Whether international domain names follow the older IDNA rules, where a few letters are spelled differently.",
    )
