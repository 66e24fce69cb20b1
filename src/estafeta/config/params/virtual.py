"""Virtual domains: aliases that point elsewhere, and mailboxes of people without a system account."""

from __future__ import annotations

from ..kinds import number, text, words


class VirtualAliases:
    """Addresses that stand for other addresses, here or elsewhere."""

    virtual_alias_domains = words(
        "$virtual_alias_maps",
        "Domains that have aliases only: every address is in the alias tables, or is refused.",
    )
    virtual_alias_maps = words(
        "$virtual_maps",
        "Tables that replace recipients, in any domain, by one or more other addresses. The result is looked up again.",
    )
    virtual_alias_expansion_limit = number(
        "1000",
        "How many recipients one recipient may become through aliases. When it is more, the mail waits.",
        least=1,
    )
    virtual_alias_recursion_limit = number(
        "1000",
        "How many steps deep aliases may point to one another. When it is more, the mail waits.",
        least=1,
    )
    virtual_alias_address_length_limit = number(
        "1000",
        "How long an address may become through aliases, in characters. Longer ones put the mail off, which stops "
        "loops that make an address grow.",
        least=1,
    )


class VirtualMailboxes:
    """What virtual(8) delivers into, and as whom."""

    virtual_mailbox_domains = words(
        "$virtual_mailbox_maps",
        "Domains of the virtual mailbox class, whose valid addresses are in the mailbox tables.",
    )
    virtual_mailbox_maps = words(
        "",
        'Tables that give the mailbox of an address, relative to the base directory. A "/" at the end means '
        "Maildir, otherwise it is an mbox file.",
    )
    virtual_mailbox_base = text(
        "",
        "The directory that all mailbox paths of virtual(8) are under. It must be set to use virtual(8), and no "
        "path leads out of it.",
    )
    virtual_mailbox_limit = number(
        "51200000",
        "The size that a mailbox of virtual(8) may reach, in bytes; for Maildir, the size of one message. 0 for no "
        "limit.",
    )
    virtual_mailbox_lock = words(
        "fcntl, dotlock",
        "How an mbox file is locked while virtual(8) adds to it: fcntl, flock, dotlock.",
        least=1,
        among="dotlock fcntl flock",
    )
    virtual_uid_maps = words(
        "",
        "Tables that give the user number that an address is delivered with; static:5000 gives all the same.",
    )
    virtual_gid_maps = words(
        "",
        "Tables that give the group number that an address is delivered with; static:5000 gives all the same.",
    )
    virtual_minimum_uid = number(
        "100",
        "User numbers below this, as found in the table, are not accepted, so that a wrong table cannot deliver as "
        "a system account.",
        least=1,
    )
    virtual_delivery_status_filter = words(
        "$default_delivery_status_filter",
        "Tables that change the status code and text of virtual(8)'s outcomes before they are logged and acted upon.",
    )
