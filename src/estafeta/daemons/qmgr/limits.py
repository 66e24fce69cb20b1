"""What main.cf says about one transport, in the form the scheduler uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from estafeta.base import log

Feedback = Callable[[int], float]
"""Concurrency -> by how much one delivery changes the window. SCHEDULER_README, "concurrency feedback"."""


def feedback(text: str) -> Feedback:
    """`1`, `0.5`, `1/concurrency` or `1/sqrt_concurrency`. Raises ValueError with the remedy."""
    amount, slash, over = text.replace(" ", "").partition("/")
    try:
        x = float(amount)
    except ValueError:
        x = -1.0
    if not 0 <= x <= 1 or (slash and over not in ("concurrency", "sqrt_concurrency")):
        raise ValueError(
            f"bad concurrency feedback {text!r}: write a number from 0 to 1, as it is or divided: "
            "/concurrency, /sqrt_concurrency"
        )
    if not slash:
        return lambda concurrency: x
    if over == "concurrency":
        return lambda concurrency: x / concurrency
    return lambda concurrency: x / math.sqrt(concurrency)


@dataclass(slots=True)
class Limits:
    """One transport's limits. Times in seconds; a limit of 0 is none."""

    initial_concurrency: int = 5
    concurrency: int = 20
    positive: Feedback = lambda concurrency: 1 / concurrency
    negative: Feedback = lambda concurrency: 1 / concurrency
    failed_cohorts: int = 1
    recipients: int = 50
    """Recipients in one delivery; 1 also means that recipients, not domains, are the destinations."""
    rate_delay: int = 0
    transport_rate_delay: int = 0
    slot_cost: int = 5
    slot_discount: int = 50
    slot_loan: int = 3
    minimum_slots: int = 3
    in_memory: int = 20000
    """Recipients of this transport in memory."""
    extra_in_memory: int = 1000
    """So many more of messages that may overtake others."""
    backoff: float = 300.0
    """How long a destination that counts as dead is left alone: minimal_backoff_time."""
    feedback_debug: bool = False
    """Whether each change of a window is logged."""
    processes: int = 0
    """Deliveries at the same time over all destinations: maxproc of the master.cf entry."""

    def room_for(self, recipients: int) -> int:
        """The recipients in memory beyond which a message with so many recipients has to wait."""
        short = recipients < self.minimum_slots * max(self.slot_cost, 1)
        return self.in_memory + (self.extra_in_memory if short else 0)

    @classmethod
    def of(cls, conf: Any, transport: str, processes: int) -> Limits:
        """As main.cf sets them; a feedback that is none counts as its default (`bad_feedback` tells of it)."""
        its = conf.transport(transport)
        limits = cls(
            initial_concurrency=its.initial_destination_concurrency,
            concurrency=its.destination_concurrency_limit,
            positive=_feedback_of(conf, transport, POSITIVE)[0],
            negative=_feedback_of(conf, transport, NEGATIVE)[0],
            failed_cohorts=its.destination_concurrency_failed_cohort_limit,
            recipients=its.destination_recipient_limit,
            rate_delay=its.destination_rate_delay,
            transport_rate_delay=its.transport_rate_delay,
            slot_cost=its.delivery_slot_cost,
            slot_discount=its.delivery_slot_discount,
            slot_loan=its.delivery_slot_loan,
            minimum_slots=its.minimum_delivery_slots,
            in_memory=its.recipient_limit,
            extra_in_memory=its.extra_recipient_limit,
            backoff=conf.minimal_backoff_time,
            feedback_debug=conf.destination_concurrency_feedback_debug,
            processes=processes,
        )
        if limits.rate_delay:
            limits.concurrency = 1
        return limits


POSITIVE, NEGATIVE = "destination_concurrency_positive_feedback", "destination_concurrency_negative_feedback"
DEFAULT_FEEDBACK = "1"


def _feedback_of(conf: Any, transport: str, member: str) -> tuple[Feedback, str, str]:
    """A transport's feedback, the parameter that sets it, and what is wrong with its value, if something is."""
    text: str = getattr(conf.transport(transport), member)
    own = f"{transport}_{member}"
    name = own if conf.is_set(own) else f"default_{member}"
    try:
        return feedback(text), name, ""
    except ValueError as error:
        return feedback(DEFAULT_FEEDBACK), name, f"{name}: ignoring malformed or unreasonable feedback: {text}: {error}"


def bad_feedback(conf: Any, transports: Iterable[str]) -> list[str]:
    """What is wrong with the feedback of these transports, with file, line and remedy: no reason to stop all mail."""
    wrong = {}
    for transport in transports:
        for member in (POSITIVE, NEGATIVE):
            _, name, trouble = _feedback_of(conf, transport, member)
            if trouble:
                wrong[name] = f"{conf.origin(name)}: {trouble}"
    return list(wrong.values())


def log_feedback(conf: Any, transport: str) -> None:
    """destination_concurrency_feedback_debug: what a transport's feedback is, and what it gives at the concurrency
    that destinations begin with."""
    its, at = conf.transport(transport), conf.initial_destination_concurrency
    for member in (POSITIVE, NEGATIVE):
        form, name, trouble = _feedback_of(conf, transport, member)
        text: str = DEFAULT_FEEDBACK if trouble else getattr(its, member)
        kind = 2 if "sqrt" in text else 1 if "/" in text else 0
        log.info(f"{transport}: {name} feedback type {kind} value at {at}: {form(at):g}")
