"""postscreen: tests that tell mail servers from spam programs before smtpd spends anything on them."""

from __future__ import annotations

from ..kinds import choice, flag, number, raw, seconds, text, words


class Postscreen:
    """Who is tested, and what is remembered."""

    postscreen_access_list = words(
        "permit_mynetworks",
        "Clients that are let through or turned away without tests: permit_mynetworks and tables with permit, "
        "reject or dunno, in order.",
    )
    postscreen_denylist_action = choice(
        "${postscreen_blacklist_action?{$postscreen_blacklist_action}:{ignore}}",
        "What to do with clients that the access list rejects: ignore, enforce (refuse their mail but note whose it "
        "was) or drop (hang up).",
        "ignore enforce drop",
    )
    postscreen_allowlist_interfaces = words(
        "${postscreen_whitelist_interfaces?{$postscreen_whitelist_interfaces}:{static:all}}",
        "This system's addresses at which a new client can pass the tests; !address takes one out, so that going to "
        "a backup MX first does not help.",
    )
    postscreen_cache_map = text(
        "$default_cache_db_type:$data_directory/postscreen_cache",
        "The table that remembers which clients passed which tests.",
    )
    postscreen_cache_cleanup_interval = seconds(
        "12h",
        "How often the remembered results are cleaned of old ones. 0 never does.",
    )
    postscreen_cache_retention_time = seconds(
        "7d",
        "How long a remembered result is kept after it has run out, before it is removed.",
        least=1,
    )
    postscreen_pre_queue_limit = number(
        "$default_process_limit",
        "How many clients may be in tests at the same time; further ones are told to come later.",
        least=10,
    )
    postscreen_post_queue_limit = number(
        "$default_process_limit",
        "How many clients that passed may wait for a free smtpd; further ones are told to come later.",
        least=5,
    )
    postscreen_client_connection_count_limit = number(
        "$smtpd_client_connection_count_limit",
        "How many connections a client may have with postscreen at the same time. 0 for no limit.",
    )
    postscreen_watchdog_timeout = seconds(
        "10s",
        "How long postscreen may be stuck before it is ended and started again.",
        least=10,
    )
    postscreen_upstream_proxy_protocol = choice(
        "",
        "The protocol by which a proxy in front of postscreen says who the client is: haproxy, or empty for no proxy.",
        "haproxy",
    )
    postscreen_upstream_proxy_timeout = seconds(
        "5s",
        "How long postscreen waits for that proxy to say so.",
        least=1,
    )
    dnsblog_reply_delay = seconds(
        "0s",
        "For tests of postscreen: how long answers of DNS lists are held back.",
    )


class PostscreenBeforeGreeting:
    """Tests before the client has been greeted."""

    postscreen_greet_wait = seconds(
        "${stress?{2}:{6}}s",
        "How long the tests before the greeting take.",
        least=1,
    )
    postscreen_greet_banner = text(
        "$smtpd_banner",
        "The first part of the greeting, which makes impatient programs talk too early. Empty turns this off.",
    )
    postscreen_greet_action = choice(
        "ignore",
        "What to do with a client that talks before its turn: ignore, enforce or drop.",
        "ignore enforce drop",
    )
    postscreen_greet_ttl = seconds(
        "1d",
        "For how long a client that waited for its turn is not tested again.",
        least=1,
    )
    postscreen_dnsbl_sites = words(
        "",
        "DNS lists to ask, as in list.example=127.0.0.[2..5]*3, where the number after * is the weight of an entry; "
        "negative for lists of good clients.",
    )
    postscreen_dnsbl_threshold = number(
        "1",
        "The sum of weights from which a client counts as listed.",
        least=1,
    )
    postscreen_dnsbl_allowlist_threshold = number(
        "${postscreen_dnsbl_whitelist_threshold?{$postscreen_dnsbl_whitelist_threshold}:{0}}",
        "The sum of weights, below 0, from which a client passes without further tests. 0 turns this off.",
        least=-2147483648,
    )
    postscreen_dnsbl_action = choice(
        "ignore",
        "What to do with a client that counts as listed: ignore, enforce or drop.",
        "ignore enforce drop",
    )
    postscreen_dnsbl_reply_map = words(
        "",
        "A table with names to show to clients in place of those of DNS lists, when these contain a password.",
    )
    postscreen_dnsbl_min_ttl = seconds(
        "60s",
        "For how long at the least a client that is on no list is not looked up again.",
        least=1,
    )
    postscreen_dnsbl_max_ttl = seconds(
        "${postscreen_dnsbl_ttl?{$postscreen_dnsbl_ttl}:{1}}h",
        "For how long at the most a client that is on no list is not looked up again, whatever the DNS says.",
        least=1,
    )
    postscreen_dnsbl_timeout = seconds("10s", "How long to wait for the answers of DNS lists.", least=1)


class PostscreenAfterGreeting:
    """Tests in conversation, which make a good client come a second time."""

    postscreen_pipelining_enable = flag(
        "no",
        "Whether clients are tested for sending several commands at once without leave.",
    )
    postscreen_pipelining_action = choice(
        "enforce",
        "What to do with a client that sends several commands at once: ignore, enforce or drop.",
        "ignore enforce drop",
    )
    postscreen_pipelining_ttl = seconds(
        "30d",
        "For how long a client that sent one command at a time is not tested for this again.",
        least=1,
    )
    postscreen_non_smtp_command_enable = flag(
        "no",
        "Whether clients are tested for commands that are not SMTP, such as those of web browsers.",
    )
    postscreen_non_smtp_command_action = choice(
        "drop",
        "What to do with a client that sends commands that are not SMTP: ignore, enforce or drop.",
        "ignore enforce drop",
    )
    postscreen_non_smtp_command_ttl = seconds(
        "30d",
        "For how long a client that sent SMTP only is not tested for this again.",
        least=1,
    )
    postscreen_bare_newline_enable = flag(
        "no",
        "Whether clients are tested for lines that end in a bare newline.",
    )
    postscreen_bare_newline_action = choice(
        "ignore",
        "What to do with a client that ends lines with a bare newline: ignore, enforce or drop.",
        "ignore enforce drop",
    )
    postscreen_bare_newline_ttl = seconds(
        "30d",
        "For how long a client that ended its lines well is not tested for this again.",
        least=1,
    )


class PostscreenSession:
    """How postscreen itself speaks SMTP, while it tests or refuses."""

    postscreen_command_count_limit = number(
        "20",
        "How many commands a client may send to postscreen.",
        least=1,
    )
    postscreen_command_time_limit = seconds(
        "${stress?{10}:{300}}s",
        "How long postscreen waits for a client's command.",
        least=1,
    )
    postscreen_command_filter = words(
        "",
        "Tables that rewrite a client's command lines before postscreen reads them.",
    )
    postscreen_forbidden_commands = words(
        "$smtpd_forbidden_commands",
        "Commands that count as not being SMTP.",
    )
    postscreen_helo_required = flag(
        "$smtpd_helo_required",
        "Whether postscreen insists on HELO or EHLO before MAIL.",
    )
    postscreen_disable_vrfy_command = flag("$disable_vrfy_command", "Whether postscreen refuses VRFY.")
    postscreen_discard_ehlo_keywords = words(
        "$smtpd_discard_ehlo_keywords",
        "EHLO keywords that postscreen does not offer.",
    )
    postscreen_discard_ehlo_keyword_address_maps = words(
        "$smtpd_discard_ehlo_keyword_address_maps",
        "Tables that give the EHLO keywords that postscreen does not offer, by client address.",
    )
    postscreen_reject_footer = raw(
        "$smtpd_reject_footer",
        "Text that postscreen adds to its 4xx and 5xx replies.",
    )
    postscreen_reject_footer_maps = words(
        "$smtpd_reject_footer_maps",
        "Tables that give the text that postscreen adds, by the reply to be sent.",
    )
    postscreen_expansion_filter = raw(
        "$smtpd_expansion_filter",
        'Characters that may stand in values put into postscreen\'s replies; all others become "_".',
        least=1,
    )
