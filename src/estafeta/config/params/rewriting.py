"""Rewriting addresses: completing them, and replacing them by tables."""

from __future__ import annotations

from ..kinds import flag, text, words


class AddressForm:
    """What is done to the form of an address before anything looks at it."""

    append_at_myorigin = flag("yes", "Whether an address without a domain gets the origin domain of this system.")
    append_dot_mydomain = flag(
        "${{$compatibility_level} <level {1} ? {yes} : {no}}",
        "Whether a domain without a dot gets the domain of this system appended. Users should write whole addresses "
        "instead.",
    )
    swap_bangpath = flag("yes", "Whether host!user is taken as user@host.")
    allow_percent_hack = flag(
        "yes",
        'Whether user%host@ours is taken as user@host when "ours" is a domain of this system.',
    )
    recipient_delimiter = text(
        "",
        "The characters that separate a user's name from an address extension, as + does in user+lists@example.com. "
        "Empty: addresses have no extensions.",
    )
    propagate_unmatched_extensions = words(
        "canonical, virtual",
        "For which tables the extension of an address is carried over to the replacement: canonical, virtual, "
        "alias, forward, include, generic.",
        among="canonical virtual alias forward include generic",
    )
    resolve_dequoted_address = flag(
        "yes",
        'Whether an address is routed by what is inside the quotes of its local part, so that "a@b"@c is not taken '
        "for a local user with an odd name.",
    )
    resolve_null_domain = flag(
        "no",
        'Whether an address that ends in "@" counts as local instead of invalid.',
    )
    resolve_numeric_domain = flag(
        "no",
        "Whether user@ip-address without brackets is taken as user@[ip-address] instead of invalid.",
    )
    allow_untrusted_routing = flag(
        "no",
        "Whether mail from strangers with a route in the address (user@elsewhere@here) is accepted for the domains "
        "of this system. Relay doors open this way; leave it off.",
    )
    local_header_rewrite_clients = words(
        "permit_inet_interfaces",
        "Clients whose message headers are completed with this system's domain, as for mail that starts here: "
        "permit_inet_interfaces, permit_mynetworks, permit_sasl_authenticated, networks, tables.",
    )
    remote_header_rewrite_domain = text(
        "",
        "The domain to complete header addresses with in mail from all other clients. Empty leaves their headers "
        "alone.",
    )
    empty_address_recipient = text(
        "MAILER-DAEMON",
        "Who receives mail that is addressed to the empty address <>.",
        least=1,
    )


class CanonicalMaps:
    """Replacing addresses as mail comes in."""

    canonical_maps = words(
        "",
        "Tables that replace addresses in headers and envelope of all mail that comes in, such as login names by "
        "full names.",
    )
    sender_canonical_maps = words(
        "",
        "Tables that replace sender addresses. They are searched before the general canonical tables.",
    )
    recipient_canonical_maps = words(
        "",
        "Tables that replace recipient addresses. They are searched before the general canonical tables.",
    )
    canonical_classes = words(
        "envelope_sender, envelope_recipient, header_sender, header_recipient",
        "Which addresses the canonical tables apply to: envelope_sender, envelope_recipient, header_sender, "
        "header_recipient.",
        least=1,
        among="envelope_sender envelope_recipient header_sender header_recipient",
    )
    sender_canonical_classes = words(
        "envelope_sender, header_sender",
        "Which sender addresses their canonical tables apply to: envelope_sender, header_sender.",
        least=1,
        among="envelope_sender header_sender",
    )
    recipient_canonical_classes = words(
        "envelope_recipient, header_recipient",
        "Which recipient addresses their canonical tables apply to: envelope_recipient, header_recipient.",
        least=1,
        among="envelope_recipient header_recipient",
    )
    masquerade_domains = words(
        "",
        "Domains whose subdomains are cut off, so that user@host.example.com becomes user@example.com. Put !name "
        "before an exception.",
    )
    masquerade_classes = words(
        "envelope_sender, header_sender, header_recipient",
        "Which addresses have subdomains cut off: envelope_sender, envelope_recipient, header_sender, "
        "header_recipient.",
        among="envelope_sender envelope_recipient header_sender header_recipient",
    )
    masquerade_exceptions = words("", "User names whose addresses keep their subdomain, such as root.")
    always_bcc = text("", "An address that gets a copy of every message that comes in.")
    sender_bcc_maps = words("", "Tables that give an address for a copy, by the envelope sender.")
    recipient_bcc_maps = words("", "Tables that give an address for a copy, by the envelope recipient.")
