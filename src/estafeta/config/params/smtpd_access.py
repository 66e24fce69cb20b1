"""Access control in smtpd: which checks run at which command.

Each list holds restrictions, which are tried in order until one permits or rejects; see access(5) for tables.
"""

from __future__ import annotations

from ..kinds import choice, code, flag, number, raw, seconds, text, words


class SmtpdRestrictions:
    """The lists of restrictions, in the order in which a session comes to them."""

    smtpd_client_restrictions = words(
        "",
        "Restrictions on the client itself, by its name and address. Empty lets every client go on.",
    )
    smtpd_helo_restrictions = words("", "Restrictions on the name given with HELO or EHLO.")
    smtpd_sender_restrictions = words("", "Restrictions on the address given with MAIL FROM.")
    smtpd_relay_restrictions = words(
        "${{$compatibility_level} <level {1} ? {} : {permit_mynetworks, permit_sasl_authenticated, "
        "defer_unauth_destination}}",
        "Restrictions that decide who may send mail to other systems through this one. This list or that for "
        "recipients must hold one that ends relaying, such as reject_unauth_destination.",
    )
    smtpd_recipient_restrictions = words(
        "",
        "Restrictions on each address given with RCPT TO, mostly against unwanted mail.",
    )
    smtpd_relay_before_recipient_restrictions = flag(
        "${{$compatibility_level} <level {3.6} ? {no} : {yes}}",
        "Whether the relay restrictions are tried before the recipient restrictions. With no, they come after.",
    )
    smtpd_data_restrictions = words("", "Restrictions at the DATA command, when all recipients are known.")
    smtpd_end_of_data_restrictions = words("", "Restrictions when the message has arrived, before it is accepted.")
    smtpd_etrn_restrictions = words("", "Restrictions on who may use ETRN, and for which domain.")
    smtpd_restriction_classes = words(
        "",
        "Names for lists of restrictions. Each name is then set like a parameter, and may stand in other lists and "
        "in access tables.",
    )
    smtpd_delay_reject = flag(
        "yes",
        "Whether rejections by client, HELO and sender wait until RCPT TO, so that the log shows sender and recipient.",
    )
    smtpd_reject_unlisted_recipient = flag(
        "yes",
        "Whether unknown recipients in this system's own domains are refused even when no restriction asks for that.",
    )
    smtpd_reject_unlisted_sender = flag(
        "no",
        "Whether unknown senders in this system's own domains are refused even when no restriction asks for that.",
    )
    smtpd_null_access_lookup_key = text("<>", "What to look up in access tables in place of the empty sender.")
    smtpd_log_access_permit_actions = words(
        "",
        "Permitting restrictions whose decisions are logged, as rejections are: names, static:all, or tables.",
    )
    permit_mx_backup_networks = words(
        "",
        "Networks that the primary mail hosts of a domain must be in for permit_mx_backup to accept its mail.",
    )
    smtpd_sender_login_maps = words(
        "",
        "Tables that say which login owns a sender address, for restrictions on logins that use others' addresses.",
    )
    maps_rbl_domains = words(
        "",
        "DNS block lists for the former restriction reject_maps_rbl. Name the list in reject_rbl_client instead.",
        obsolete=True,
    )
    relay_clientcerts = words(
        "",
        "Tables with fingerprints of client certificates that may relay through this system.",
    )


class SmtpdReplies:
    """Reply codes and texts of rejections."""

    access_map_reject_code = code("554", "The reply code of REJECT in an access table.")
    access_map_defer_code = code("450", "The reply code of DEFER in an access table.")
    reject_code = code("554", "The reply code of the plain reject restriction.")
    defer_code = code("450", "The reply code of the plain defer restriction.")
    relay_domains_reject_code = code("554", "The reply code for an attempt to relay that nothing permits.")
    invalid_hostname_reject_code = code("501", "The reply code for a HELO name that is no host name.")
    non_fqdn_reject_code = code(
        "504",
        "The reply code for a HELO name, sender or recipient that is not fully qualified.",
    )
    unknown_address_reject_code = code(
        "450",
        "The reply code for a sender or recipient domain that does not exist in DNS. A DNS failure is always "
        "temporary.",
    )
    unknown_client_reject_code = code(
        "450",
        "The reply code for a client without a verified host name. A DNS failure is always temporary.",
    )
    unknown_hostname_reject_code = code(
        "450",
        "The reply code for a HELO name that does not exist in DNS. A DNS failure is always temporary.",
    )
    unknown_local_recipient_reject_code = code(
        "550",
        "The reply code for a recipient that is not among the local recipients.",
    )
    unknown_relay_recipient_reject_code = code(
        "550",
        "The reply code for a recipient that is not among the relay recipients.",
    )
    unknown_virtual_alias_reject_code = code(
        "550",
        "The reply code for a recipient that is not among a virtual alias domain's aliases.",
    )
    unknown_virtual_mailbox_reject_code = code(
        "550",
        "The reply code for a recipient that is not among the virtual mailboxes.",
    )
    maps_rbl_reject_code = code(
        "554",
        "The reply code for a client, HELO name or address that a DNS list forbids.",
    )
    plaintext_reject_code = code("450", "The reply code for a client that has to use TLS and does not.")
    default_rbl_reply = raw(
        "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}",
        "The reply when a DNS list forbids something, with $rbl_code, $rbl_class, $rbl_what, $rbl_domain, "
        "$rbl_reason and others filled in.",
        least=1,
    )
    rbl_reply_maps = words("", "Tables that give another such reply by the name of the DNS list.")
    smtpd_reject_footer = raw(
        "",
        "Text that is added to each 4xx or 5xx reply, such as whom to call. It may contain $client_address and the "
        "like, and \\n for a further line.",
    )
    smtpd_reject_footer_maps = words("", "Tables that give the added text by the reply to be sent.")
    smtpd_reject_filter_maps = words(
        "",
        "Tables that give another reply in place of a rejection that is about to be sent.",
    )
    smtpd_expansion_filter = raw(
        "\\t\\40!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\\\]^_`abcdefghijklmnopqrstuvwxyz{|}~",
        'Characters that may stand in values put into such replies; all others become "_".',
        least=1,
    )
    reject_tempfail_action = choice(
        "defer_if_permit",
        "What to do when a restriction that could reject fails for now: defer_if_permit (later, unless something "
        "else rejects), defer (later, at once) or a like action.",
        "defer_if_permit defer",
    )
    unknown_address_tempfail_action = choice(
        "$reject_tempfail_action",
        "What to do when DNS fails while a sender or recipient domain is looked up.",
        "defer_if_permit defer",
    )
    unknown_helo_hostname_tempfail_action = choice(
        "$reject_tempfail_action",
        "What to do when DNS fails while a HELO name is looked up.",
        "defer_if_permit defer",
    )


class SmtpdPolicy:
    """Asking policy servers."""

    smtpd_policy_service_default_action = text(
        "451 4.3.5 Server configuration problem",
        "The action to take when a policy server cannot be asked.",
    )
    smtpd_policy_service_timeout = seconds(
        "100s",
        "How long to wait for a policy server to connect, take a request, and answer.",
        least=1,
    )
    smtpd_policy_service_max_idle = seconds(
        "300s",
        "How long an unused connection to a policy server is kept.",
        least=1,
    )
    smtpd_policy_service_max_ttl = seconds(
        "1000s",
        "How old a connection to a policy server may become.",
        least=1,
    )
    smtpd_policy_service_request_limit = number(
        "0",
        "How many requests are sent over one connection to a policy server. 0 sets no limit.",
    )
    smtpd_policy_service_try_limit = number(
        "2",
        "How often a request to a policy server is tried before the default action is taken.",
        least=1,
    )
    smtpd_policy_service_retry_delay = seconds(
        "1s",
        "The pause between two tries of a request to a policy server.",
        least=1,
    )
    smtpd_policy_service_policy_context = text(
        "",
        "A text that is sent along with each request, so that one policy server can tell services apart.",
    )
