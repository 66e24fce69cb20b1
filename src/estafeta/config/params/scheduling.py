"""Scheduling: the values that every transport follows unless main.cf gives it its own.

See transport_group.py for the per-transport names and what each limit does.
"""

from __future__ import annotations

from ..kinds import number, seconds, text, words


class Scheduling:
    """Defaults for all transports."""

    default_destination_concurrency_limit = number(
        "20",
        "How many deliveries to one destination are made at the same time, in transports without a limit of their "
        "own. 0 sets no limit.",
    )
    initial_destination_concurrency = number(
        "5",
        "How many simultaneous deliveries are begun with towards a destination that is new, in transports without a "
        "value of their own.",
        least=1,
    )
    default_destination_concurrency_positive_feedback = text(
        "1",
        "By how much a good delivery widens a destination's concurrency window: a number from 0 to 1, or a number "
        'over "concurrency" or "sqrt_concurrency".',
        least=1,
    )
    default_destination_concurrency_negative_feedback = text(
        "1",
        "By how much a failed delivery narrows a destination's concurrency window: a number from 0 to 1, or a "
        'number over "concurrency" or "sqrt_concurrency".',
        least=1,
    )
    default_destination_concurrency_failed_cohort_limit = number(
        "1",
        "After how many whole windows of failures in a row a destination counts as dead and its mail is put off. 0 "
        "never gives up.",
    )
    default_destination_recipient_limit = number(
        "50",
        "The most recipients in one delivery, in transports without a limit of their own. 0 sets no limit; with 1, "
        "concurrency is counted by recipient address instead of by domain.",
    )
    default_destination_rate_delay = seconds(
        "0s",
        "The pause between two deliveries to the same destination. Anything above 0 also means one delivery at a time.",
    )
    default_transport_rate_delay = seconds(
        "0s",
        "The pause between any two deliveries of one transport, whatever their destinations.",
    )
    default_delivery_slot_cost = number(
        "5",
        "How many deliveries of a large message earn one free slot for a smaller message that came later. 0 turns "
        "such overtaking off.",
    )
    default_delivery_slot_discount = number(
        "50",
        "The part of the slots needed for overtaking, in percent, that is not asked for in advance.",
        most=100,
    )
    default_delivery_slot_loan = number(
        "3",
        "How many slots are lent to a message that wants to overtake, on top of the discount.",
    )
    default_minimum_delivery_slots = number("3", "Messages that need fewer deliveries than this are never overtaken.")
    default_recipient_limit = number(
        "20000",
        "The most recipients held in memory for one transport, over all of its messages.",
    )
    default_extra_recipient_limit = number(
        "1000",
        "How many recipients more than that may be in memory for messages that overtake others.",
    )
    default_recipient_refill_limit = number(
        "100",
        "How many recipients Postfix reads into memory at once when there is room for more of a large message. Here "
        "they are taken up one by one as there is room, so that this has no effect.",
        least=1,
    )
    default_recipient_refill_delay = seconds(
        "5s",
        "After how long Postfix reads more recipients of a large message into memory even when only a few fit. Here "
        "they are taken up as there is room, so that this has no effect.",
        least=1,
    )
    default_delivery_status_filter = words(
        "",
        "Tables that change the status code and text of a delivery's outcome, in delivery agents without such "
        "tables of their own.",
    )
