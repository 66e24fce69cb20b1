"""What is remembered of a client: for each test, until when its result counts.

In the cache an entry is five numbers, `pregreet;dnsbl;pipelining;non-smtp;bare-newline`, seconds since the epoch; 0
means not passed yet, 1 that the test was turned off. It is the form that Postfix keeps, under the client's address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from estafeta.config.instance import Config

PREGREET, DNSBL, PIPELINING, NON_SMTP, BARE_NEWLINE = range(5)
TESTS = 5
EARLY = frozenset({PREGREET, DNSBL})
"""Tests before the greeting."""
LATE = frozenset({PIPELINING, NON_SMTP, BARE_NEWLINE})
"""Tests that postscreen's own SMTP session makes."""

NEW, DISABLED = 0, 1

Times = tuple[int, ...]
NOTHING: Times = (NEW,) * TESTS


def parse(line: str | None) -> Times | None:
    """None for what is not an entry: the client is new. Old entries have fewer numbers."""
    fields = (line or "").split(";")
    if not 1 < len(fields) <= TESTS or not all(
        field.isascii() and field.isdigit() and len(field) < 20 for field in fields
    ):
        return None
    return (*map(int, fields), *NOTHING[len(fields) :])


def packed(times: Times) -> str:
    return ";".join(map(str, times))


class Rules:
    """Which tests there are, and how long a passed one counts."""

    __slots__ = ("enabled", "ignored_for", "life")

    def __init__(self, conf: Config) -> None:
        late = (
            conf.postscreen_pipelining_enable,
            conf.postscreen_non_smtp_command_enable,
            conf.postscreen_bare_newline_enable,
        )
        enabled = (bool(conf.postscreen_greet_banner), bool(conf.postscreen_dnsbl_sites), *late)
        self.enabled = frozenset(test for test, on in enumerate(enabled) if on)
        self.life = (
            conf.postscreen_greet_ttl,
            conf.postscreen_dnsbl_min_ttl,
            conf.postscreen_pipelining_ttl,
            conf.postscreen_non_smtp_command_ttl,
            conf.postscreen_bare_newline_ttl,
        )
        """Seconds. That of DNSBL is the least; DNS says how long."""
        self.ignored_for = min(self.life)
        """Seconds until a failed test whose action is ignore is made again."""

    def todo(self, times: Times, now: float) -> frozenset[int]:
        """The tests that a client has to pass again."""
        return frozenset(test for test in self.enabled if times[test] <= now)

    def settled(self, times: Times) -> Times:
        """As it is kept: what is turned off counts as done with, if nothing is known."""
        return tuple(DISABLED if when == NEW and test not in self.enabled else when for test, when in enumerate(times))


def long_gone(retention: float) -> Callable[[str, int], bool]:
    """Whether an entry, at a time, is of a client that has not been here for `retention` seconds."""

    def stale(line: str, now: int) -> bool:
        times = parse(line)
        return times is None or max(times) + retention < now

    return stale
