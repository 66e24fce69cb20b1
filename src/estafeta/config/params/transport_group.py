"""What every transport has for itself: how much it delivers at once, how fast, and who goes first.

qmgr reads these as `conf.transport("smtp")`. The transports below always exist; any other name in master.cf gets
the same set. A member that main.cf does not set follows the `default_` parameter of the same name (scheduling.py).
"""

from __future__ import annotations

from typing import ClassVar

from ..kinds import number, seconds, text
from .group import Group


class TransportGroup(Group):
    """Scheduling limits of one transport, as qmgr applies them."""

    prefixes: ClassVar[tuple[str, ...]] = ("error_", "lmtp_", "local_", "relay_", "retry_", "smtp_", "virtual_")
    defaults: ClassVar[dict[str, str]] = {
        "local_destination_concurrency_limit": "2",
        "local_destination_recipient_limit": "1",
    }
    # Only transports that run commands, through pipe(8) or spawn(8), have a time limit for them.
    renamed: ClassVar[dict[str, str]] = {prefix + "time_limit": "" for prefix in prefixes}

    destination_concurrency_limit = number(
        "$default_destination_concurrency_limit",
        "How many deliveries this transport makes to one destination at the same time. 1 delivers one after the "
        "other; 0 sets no limit.",
    )
    destination_concurrency_positive_feedback = text(
        "$default_destination_concurrency_positive_feedback",
        "By how much one good delivery widens the concurrency window of a destination of this transport: a number "
        'from 0 to 1, or a number over "concurrency" or "sqrt_concurrency".',
    )
    destination_concurrency_negative_feedback = text(
        "$default_destination_concurrency_negative_feedback",
        "By how much one failed delivery narrows the concurrency window of a destination of this transport: a "
        'number from 0 to 1, or a number over "concurrency" or "sqrt_concurrency".',
    )
    destination_concurrency_failed_cohort_limit = number(
        "$default_destination_concurrency_failed_cohort_limit",
        "After how many whole windows of failures in a row a destination of this transport counts as dead and its "
        "mail is put off. 0 never gives up on a destination.",
    )
    destination_recipient_limit = number(
        "$default_destination_recipient_limit",
        "The most recipients that go into one delivery of this transport. With 1, destinations are told apart by "
        "recipient address instead of by domain. 0 sets no limit.",
    )
    destination_rate_delay = seconds(
        "$default_destination_rate_delay",
        "The pause between two deliveries of this transport to the same destination. Anything above 0 also means "
        "one delivery at a time.",
    )
    transport_rate_delay = seconds(
        "$default_transport_rate_delay",
        "The pause between any two deliveries of this transport, whatever their destinations. 0 for none.",
    )
    initial_destination_concurrency = number(
        "$initial_destination_concurrency",
        "How many simultaneous deliveries this transport begins with towards a destination that it has not tried yet.",
        least=1,
    )
    delivery_slot_cost = number(
        "$default_delivery_slot_cost",
        "How many deliveries of a large message earn one free slot for a smaller message that came later, in this "
        "transport. 0 turns such overtaking off.",
    )
    delivery_slot_discount = number(
        "$default_delivery_slot_discount",
        "The part of the slots needed for overtaking, in percent, that this transport does not ask for in advance.",
        most=100,
    )
    delivery_slot_loan = number(
        "$default_delivery_slot_loan",
        "How many slots this transport lends to a message that wants to overtake, on top of the discount.",
    )
    minimum_delivery_slots = number(
        "$default_minimum_delivery_slots",
        "Messages that need fewer deliveries than this are never overtaken in this transport, since it would not pay.",
    )
    recipient_limit = number(
        "$default_recipient_limit",
        "The most recipients that qmgr holds in memory for this transport, over all of its messages.",
    )
    extra_recipient_limit = number(
        "$default_extra_recipient_limit",
        "How many recipients more than its recipient limit this transport may hold in memory for messages that "
        "overtake others.",
    )
    recipient_refill_limit = number(
        "$default_recipient_refill_limit",
        "How many recipients Postfix reads into memory at once when this transport has room for more of a large "
        "message. Here they are taken up one by one, so that this has no effect.",
        least=1,
    )
    recipient_refill_delay = seconds(
        "$default_recipient_refill_delay",
        "After how long Postfix reads more recipients of a large message into memory for this transport, even when "
        "only a few fit. Here they are taken up as there is room, so that this has no effect.",
        least=1,
    )
    time_limit = seconds(
        "$command_time_limit",
        "How long a command started for one delivery of this transport may run before it is killed and the delivery "
        "put off.",
        least=1,
    )
