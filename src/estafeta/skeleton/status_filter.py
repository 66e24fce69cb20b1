"""smtp_delivery_status_filter and its kin: tables that change the status code and text of an outcome.

    5.7.1 host mx.example[192.0.2.1] said: ...   ->   4.7.1 try again later

The change comes before the log line, the queue and the reports; what the server said stays in the report's diagnostic.
It may turn later into never and back, but never a failure into a success or a success into a failure: who wrote such a
line is told, and nothing is changed. postconf(5), default_delivery_status_filter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from estafeta.base import log
from estafeta.mail.outcome import Bounced, Deferred, Outcome, Sent
from estafeta.tables.maps import Maps
from estafeta.tables.table import TableDown

_STATUS = re.compile(r"([245])\.\d{1,3}\.\d{1,3}")


class StatusFilter:
    """`StatusFilter.open(settings.delivery_status_filter, name="smtp_delivery_status_filter")`; None without tables."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps

    @classmethod
    def open(cls, specs: Sequence[str], *, name: str) -> StatusFilter | None:
        return cls(Maps.open(specs, name=name)) if specs else None

    def __call__(self, outcome: Outcome) -> Outcome:
        """The outcome to go on with. A table that cannot answer changes nothing."""
        try:
            found = self._maps.find_now(f"{outcome.dsn} {outcome.text}")
        except TableDown as error:
            log.warning(f"{self._maps.name}: {error}; the outcome stays as it is")
            return outcome
        if found is None:
            return outcome
        status, *rest = found.split(None, 1)
        text = rest[0].rstrip() if rest else outcome.text
        known = _STATUS.fullmatch(status)
        if known is None or (known[1] == "2") != isinstance(outcome, Sent):
            log.warning(f"{self._maps.name}: bad status code: {found}")
            return outcome
        if isinstance(outcome, Sent):
            return Sent(status, text, outcome.relay, outcome.remote_mta, outcome.diagnostic, outcome.action)
        kind = Bounced if known[1] == "5" else Deferred
        return kind(status, text, outcome.relay, outcome.remote_mta, outcome.diagnostic)
