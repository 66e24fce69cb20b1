"""Telling people: mail that comes back, mail that is late, and reports to the postmaster."""

from __future__ import annotations

from ..kinds import code, flag, number, seconds, text, words


class Bounce:
    """Returned mail and notices of delay."""

    bounce_size_limit = number(
        "50000",
        "How much of an undelivered message is returned in a bounce, in bytes; of a longer one only the headers are.",
        least=1,
    )
    bounce_template_file = text(
        "",
        "A file with texts for bounces and delay notices, in the format of bounce(5). Empty uses the texts that are "
        "built in.",
    )
    delay_warning_time = seconds(
        "0h",
        "How long mail may wait before its sender is told that it is late. 0 tells nobody.",
    )
    confirm_delay_cleared = flag(
        "no",
        "Whether a sender who was told that mail is late is also told when it was delivered at last.",
    )
    double_bounce_sender = text(
        "double-bounce",
        "The sender of mail that must never bounce itself, such as reports to the postmaster. Mail to this address "
        "is thrown away, so it must not be anyone's.",
        least=1,
    )
    soft_bounce = flag(
        "no",
        "Whether every final failure is turned into a temporary one, so that mail waits instead of being returned. "
        "Meant for trying out a configuration.",
    )
    enable_threaded_bounces = flag(
        "no",
        "Whether a bounce refers to the returned message in its In-Reply-To and References headers, so that mail "
        "readers show them together.",
    )
    multi_recipient_bounce_reject_code = code(
        "550",
        "The reply code for a message from the empty sender to several recipients, where that is refused.",
    )


class Notices:
    """What the postmaster hears about."""

    notify_classes = words(
        "resource, software",
        "Troubles that the postmaster gets mail about: bounce, 2bounce, delay, policy, protocol, resource, "
        "software, data.",
    )
    bounce_notice_recipient = text(
        "postmaster",
        "Who gets copies of the headers of returned mail, when bounce is among the troubles to report.",
        least=1,
    )
    notice_recipient_2bounce = text(
        "postmaster",
        "Who gets mail that could neither be delivered nor returned, when 2bounce is among the troubles to report.",
        least=1,
        name="2bounce_notice_recipient",
    )
    delay_notice_recipient = text(
        "postmaster",
        "Who gets copies of the headers of late mail, when delay is among the troubles to report.",
        least=1,
    )
    error_notice_recipient = text(
        "postmaster",
        "Who gets reports of policy, protocol, resource, software and data troubles.",
        least=1,
    )


class Verp:
    """Sender addresses that name the recipient, so that a list knows whose mail bounced."""

    default_verp_delimiters = text(
        "+=",
        "The two characters that put a recipient's address into the sender's: the first before it, the second in "
        'place of its "@".',
        least=2,
        most=2,
    )
    verp_delimiter_filter = text("-=+", "Characters that may be asked for as these delimiters.", least=1)
    disable_verp_bounces = flag(
        "no",
        "Whether bounces for such mail go out one for all failed recipients instead of one for each.",
    )
