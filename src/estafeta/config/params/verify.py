"""Address verification (verify(8)): finding out whether an address exists by trying to deliver to it."""

from __future__ import annotations

from ..kinds import choice, code, flag, number, seconds, text, words


class AddressVerification:
    """Probes, what is remembered of them, and the replies that depend on them."""

    address_verify_map = text(
        "$default_cache_db_type:$data_directory/verify_cache",
        "The table that remembers which addresses could be delivered to. Empty keeps them in memory only.",
    )
    address_verify_negative_cache = flag(
        "yes",
        "Whether failed probes are remembered too. Turning this off makes a probe for each such message.",
    )
    address_verify_positive_expire_time = seconds(
        "31d",
        "For how long a successful probe counts.",
        least=1,
    )
    address_verify_positive_refresh_time = seconds(
        "7d",
        "After how long a successful probe is repeated in the background.",
        least=1,
    )
    address_verify_negative_expire_time = seconds("3d", "For how long a failed probe counts.", least=1)
    address_verify_negative_refresh_time = seconds(
        "3h",
        "After how long a failed probe is repeated in the background.",
        least=1,
    )
    address_verify_cache_cleanup_interval = seconds(
        "12h",
        "How often remembered probes are cleaned of old ones. 0 never does.",
    )
    address_verify_pending_request_limit = number(
        "5000",
        'How many probes may be under way; with more, answers are "try later".',
        least=1,
    )
    address_verify_poll_count = number(
        "${stress?{1}:{3}}",
        "How often smtpd asks for the outcome of a probe before it tells the client to try later.",
        least=1,
    )
    address_verify_poll_delay = seconds(
        "3s",
        "The pause before smtpd asks again for the outcome of a probe.",
        least=1,
    )
    address_verify_sender = text(
        "$double_bounce_sender",
        "The sender address of probes; empty or <> for the null sender.",
    )
    address_verify_sender_ttl = seconds(
        "0s",
        "How often the sender address of probes changes, so that no one can send to it for long. 0 keeps it the same.",
    )
    address_verify_service_name = text(
        "verify",
        "The service that makes probes and remembers them.",
        least=1,
    )
    address_verify_default_transport = text(
        "$default_transport",
        "The default transport for probes.",
        least=1,
    )
    address_verify_local_transport = text(
        "$local_transport",
        "The transport for probes of local addresses.",
        least=1,
    )
    address_verify_relay_transport = text(
        "$relay_transport",
        "The transport for probes of relay recipients.",
        least=1,
    )
    address_verify_virtual_transport = text(
        "$virtual_transport",
        "The transport for probes of virtual mailboxes.",
        least=1,
    )
    address_verify_relayhost = text("$relayhost", "The relay host for probes.")
    address_verify_transport_maps = words(
        "$transport_maps",
        "Tables that give transport and next hop of probes.",
    )
    address_verify_sender_dependent_relayhost_maps = words(
        "$sender_dependent_relayhost_maps",
        "Tables that give the relay host of probes by sender.",
    )
    address_verify_sender_dependent_default_transport_maps = words(
        "$sender_dependent_default_transport_maps",
        "Tables that give the default transport of probes by sender.",
    )
    unverified_recipient_reject_code = code("450", "The reply code for a recipient whose probe failed.")
    unverified_recipient_defer_code = code(
        "450",
        "The reply code for a recipient whose probe has no outcome yet.",
    )
    unverified_recipient_reject_reason = text(
        "",
        "The text to show for a recipient whose probe failed, in place of what the other server said. An enhanced "
        "status code may come first.",
    )
    unverified_recipient_tempfail_action = choice(
        "$reject_tempfail_action",
        "What to do while a recipient's probe has no outcome yet.",
        "defer_if_permit defer",
    )
    unverified_sender_reject_code = code("450", "The reply code for a sender whose probe failed.")
    unverified_sender_defer_code = code(
        "450",
        "The reply code for a sender whose probe has no outcome yet.",
    )
    unverified_sender_reject_reason = text(
        "",
        "The text to show for a sender whose probe failed, in place of what the other server said. An enhanced "
        "status code may come first.",
    )
    unverified_sender_tempfail_action = choice(
        "$reject_tempfail_action",
        "What to do while a sender's probe has no outcome yet.",
        "defer_if_permit defer",
    )
