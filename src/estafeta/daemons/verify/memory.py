"""What verify(8) remembers of addresses, and when it asks anew.

An entry is a line `status:probed:updated:text`: a number of services/verify.py, when the last probe left and when the
last answer came (seconds since the epoch, 0 for never), and what was said. It is the form that Postfix keeps.

A good address stays good until it expires, even if a later probe fails: a server that is down for an hour must not
turn known users into strangers. verify(8), ADDRESS_VERIFICATION_README.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from estafeta.services.verify import BOUNCE, DEFER, OK, TODO

if TYPE_CHECKING:
    from estafeta.config.instance import Config
    from estafeta.tables.cache_store import CacheStore

PROBE_LIFE = 1000
"""Seconds after which a probe that nobody has answered counts as lost."""
IN_PROGRESS = "Address verification in progress"
LONGEST_TEXT = 4096


class Entry:
    """What is known of one address."""

    __slots__ = ("probed", "status", "text", "updated")

    def __init__(self, status: int, probed: int, updated: int, text: str) -> None:
        self.status = status
        self.probed = probed
        self.updated = updated
        self.text = text

    def packed(self) -> str:
        return f"{self.status}:{self.probed}:{self.updated}:{self.text}"

    @classmethod
    def parse(cls, line: str | None) -> Entry | None:
        """None for what is not an entry: it is asked for anew."""
        fields = (line or "").split(":", 3)
        if len(fields) != 4 or not all(field.isascii() and field.isdigit() for field in fields[:3]):
            return None
        status, probed, updated = map(int, fields[:3])
        if status not in (OK, DEFER, BOUNCE, TODO):
            return None
        return cls(status, probed, updated, fields[3])


class Memory:
    """The cache and its rules. Never waits."""

    def __init__(self, conf: Config, store: CacheStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._negative = conf.address_verify_negative_cache
        self._expire = {True: conf.address_verify_positive_expire_time, False: conf.address_verify_negative_expire_time}
        self._refresh = {
            True: conf.address_verify_positive_refresh_time,
            False: conf.address_verify_negative_refresh_time,
        }

    def look(self, address: str) -> tuple[int, str, bool]:
        """(status, text, whether a probe is to leave now). The probe counts as sent with this."""
        now = int(self._clock())
        line = self._store.get(address)
        entry = Entry.parse(line)
        if entry is None or self._is_stale(entry, now):
            if line is not None and not self._negative:
                self._store.delete(address)
            entry = Entry(TODO, 0, 0, IN_PROGRESS)
        wanted = now - entry.probed > PROBE_LIFE and now - entry.updated > self._refresh[entry.status == OK]
        if wanted and (entry.updated or self._negative):
            self._store.put(address, Entry(entry.status, now, entry.updated, entry.text).packed())
        return entry.status, entry.text, wanted

    def learn(self, address: str, status: int, text: str) -> None:
        """A probe has come to its end."""
        if status != OK:
            if not self._negative:
                return
            known = Entry.parse(self._store.get(address))
            if known is not None and known.status == OK:
                return
        text = text[:LONGEST_TEXT].replace("\0", "?")
        self._store.put(address, Entry(status, 0, int(self._clock()), text).packed())

    def not_sent(self, address: str) -> None:
        """The probe could not be sent: the next question may try again."""
        entry = Entry.parse(self._store.get(address))
        if entry is None:
            return
        if not entry.updated:
            self._store.delete(address)
        else:
            entry.probed = 0
            self._store.put(address, entry.packed())

    def _is_stale(self, entry: Entry, now: int) -> bool:
        return now - entry.probed > PROBE_LIFE and now - entry.updated > self._expire[entry.status == OK]

    def is_stale(self, line: str, now: int) -> bool:
        """Whether an entry may be forgotten."""
        entry = Entry.parse(line)
        return entry is None or self._is_stale(entry, now)
