"""What smtpd puts up with: time limits, errors, sizes, and the rates at which one client may ask for things."""

from __future__ import annotations

from ..kinds import choice, flag, number, seconds, words


class SmtpdLimits:
    """Limits within one session."""

    smtpd_timeout = seconds(
        "${stress?{10}:{300}}s",
        "How long to wait for the client's next command or more content, and for it to take a reply.",
        least=1,
    )
    smtpd_per_request_deadline = flag(
        "${smtpd_per_record_deadline?{$smtpd_per_record_deadline}:{${stress?{yes}:{no}}}}",
        "Whether the time limit covers a whole command or reply instead of each read and write, so that a client "
        "cannot stay by sending a byte now and then.",
    )
    smtpd_min_data_rate = number(
        "500",
        "With deadlines per request: how many bytes a second content must arrive at the least, beyond the time limit.",
        least=1,
    )
    smtpd_error_sleep_time = seconds(
        "1s",
        "How long the reply to a faulty command is held back, once there were too many; it slows down clients that "
        "go wrong.",
    )
    smtpd_soft_error_limit = number("10", "After how many errors in a session replies are held back.", least=1)
    smtpd_hard_error_limit = number(
        "${stress?{1}:{20}}",
        "After how many errors in a session smtpd hangs up with 421.",
        least=1,
    )
    smtpd_junk_command_limit = number(
        "${stress?{1}:{100}}",
        "How many commands that do no work (NOOP, VRFY, ETRN, RSET) a client may send between messages before each "
        "further one counts as an error.",
        least=1,
    )
    smtpd_recipient_limit = number(
        "1000",
        "How many recipients a message may have. Further ones are told to come in another message.",
        least=1,
    )
    smtpd_recipient_overshoot_limit = number(
        "1000",
        "By how many recipients a client may overshoot that limit before each counts as an error.",
        least=1,
    )
    smtpd_history_flush_threshold = number(
        "100",
        "How many lines of a session are kept for a report to the postmaster; with more, the next EHLO, RSET or end "
        "of a message clears them.",
        least=1,
    )


class SmtpdClientLimits:
    """Limits over all sessions of a client. They are counted in common by all processes, see anvil(8)."""

    smtpd_client_connection_count_limit = number(
        "50",
        "How many connections one client may have at the same time. 0 for no limit.",
    )
    smtpd_client_connection_rate_limit = number(
        "0",
        "How many times a client may connect within the time unit of these counts. 0 for no limit.",
    )
    smtpd_client_message_rate_limit = number(
        "0",
        "How many messages a client may ask to send within the time unit. 0 for no limit.",
    )
    smtpd_client_recipient_rate_limit = number(
        "0",
        "How many recipients a client may name within the time unit. 0 for no limit.",
    )
    smtpd_client_new_tls_session_rate_limit = number(
        "0",
        "How many new TLS sessions, resumed ones not counted, a client may begin within the time unit. 0 for no limit.",
    )
    smtpd_client_auth_rate_limit = number(
        "0",
        "How many login attempts a client may make within the time unit. 0 for no limit.",
    )
    smtpd_client_event_limit_exceptions = words(
        "${smtpd_client_connection_limit_exceptions:$mynetworks}",
        "Clients that these limits do not apply to: networks, names or tables.",
    )
    smtpd_client_ipv4_prefix_length = number(
        "32",
        "How many leading bits of an IPv4 address make up one client for these counts; fewer than 32 count whole "
        "networks as one.",
        least=1,
        most=32,
    )
    smtpd_client_ipv6_prefix_length = number(
        "84",
        "How many leading bits of an IPv6 address make up one client for these counts, since one host may have many "
        "addresses.",
        least=1,
        most=128,
    )
    anvil_rate_time_unit = seconds(
        "60s",
        "The time over which clients' connections and requests are counted.",
        least=1,
    )
    anvil_status_update_time = seconds("600s", "How often the highest counts are logged.", least=1)


class UserLimits:
    """How much one who has logged in may send, wherever from. A feature of our own, see docs/limits.md."""

    estafeta_user_message_rate_limit = number(
        "0",
        "How many messages a user who has logged in may send within estafeta_user_rate_time_unit. 0 for no limit.",
    )
    estafeta_user_recipient_rate_limit = number(
        "0",
        "How many recipients the messages of such a user may have together within estafeta_user_rate_time_unit. "
        "0 for no limit.",
    )
    estafeta_user_rate_time_unit = seconds(
        "1h",
        "The time over which messages and recipients of users are counted. It begins with a user's first message.",
        least=1,
    )
    estafeta_user_limit_maps = words(
        "",
        "Tables of limits for single users: by login name, then by @domain; the result is messages=100 recipients=500, "
        "or one of the two, 0 for no limit.",
    )
    estafeta_user_limit_action = choice(
        "hold",
        "What happens to a message that is over a user's limit: hold accepts it and puts it on hold, so that somebody "
        "looks at it; defer has the user try again later.",
        "hold defer",
    )
