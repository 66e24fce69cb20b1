"""Processes are killed at random while mail flows: what got 250 arrives, and twice only within the stated window.

`make test` runs a short story, `make whole` (ESTAFETA_LONG) a long one. The states are those of docs/queue-states.md;
that each single disk step may be the last one is shown in tests/unit/queue/test_crash_points.py.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import smtplib
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.support.site import Site

LONG = bool(os.environ.get("ESTAFETA_LONG"))
KILLS = 40 if LONG else 6
SENDERS = 8
WINDOW = 6.0
"""Seconds before and after a kill in which a delivery may come to be repeated: what a loaded machine takes to write a
mark, and what the processes of a master that was killed take to end."""
REPEATED = 300
"""Messages for each kill that may come twice: what is delivered in a moment, not all that is queued."""


class Senders:
    """Clients that send numbered messages, until they are stopped, and note which ones were accepted.

    An error means: send that one again, as every client does.
    """

    def __init__(self, port: int) -> None:
        self.accepted: set[int] = set()
        self.stop = threading.Event()
        self._port = port
        self._next = itertools.count()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send, args=(each,), daemon=True) for each in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def join(self, timeout: float) -> None:
        for thread in self._threads:
            thread.join(timeout)
            assert not thread.is_alive(), "a sender is stuck"

    def _send(self, sender: int) -> None:
        client: smtplib.SMTP | None = None
        while True:
            with self._lock:
                if self.stop.is_set():
                    return
                number = next(self._next)
            while True:
                try:
                    client = client or smtplib.SMTP("127.0.0.1", self._port, local_hostname="client.test", timeout=20)
                    text = f"Subject: number {number}\r\nX-Number: {number}\r\n\r\n{'x' * 500}\r\n"
                    client.sendmail("bob@example.com", [f"user{sender}@example.test"], text)
                    break
                except (OSError, smtplib.SMTPException):
                    client = None
                    time.sleep(0.05)
            with self._lock:
                self.accepted.add(number)


def arrivals(folder: Path) -> dict[tuple[int, str], list[float]]:
    """Number and queue id of a message -> when each copy of it arrived.

    A client whose 250 was lost sends the message again, under another queue id: that is no copy of ours.
    """
    found: dict[tuple[int, str], list[float]] = {}
    for file in folder.glob("**/new/*"):
        text = file.read_text()
        number = int(re.search(r"^X-Number: (\d+)", text, re.MULTILINE)[1])  # type: ignore[index]
        queue_id = re.search(r"\bid (\w+)", text)[1]  # type: ignore[index]
        found.setdefault((number, queue_id), []).append(file.stat().st_mtime)
    return found


def numbers(folder: Path) -> set[int]:
    return {number for number, _ in arrivals(folder)}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "victims", [("smtpd",), ("qmgr",), ("virtual",), ("master",), ("smtpd", "qmgr", "virtual", "master")]
)
def test_nothing_is_lost(tmp_path: Path, victims: tuple[str, ...]) -> None:
    chance = random.Random(20261121)
    settings = {
        "queue_run_delay": "5s",
        "minimal_backoff_time": "1s",
        "transport_retry_time": "1s",
        "maximal_backoff_time": "5s",
    }
    kills: list[float] = []
    with Site(tmp_path, main={**settings, "service_throttle_time": "1s"}) as site:
        senders = Senders(site.port)
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.05, 0.6))
            victim = chance.choice(victims)
            kills.append(time.time())
            site.kill(victim)
            if victim == "master":
                site.start()
        senders.stop.set()
        senders.join(60)
        assert len(senders.accepted) > 5 * KILLS
        deadline = time.monotonic() + 120
        while not numbers(site.mailboxes) >= senders.accepted and time.monotonic() < deadline:
            time.sleep(0.2)
        found = arrivals(site.mailboxes)
        missing = senders.accepted - {number for number, _ in found}
        assert not missing, f"lost: {sorted(missing)[:10]}; log:\n{site.log[-3000:]}"
        ends = re.findall(r"to=<.*status=(\w+)", site.log)
        assert not Counter(ends)["bounced"]
    repeated = {message: min(times) for message, times in found.items() if len(times) > 1}
    assert len(repeated) <= REPEATED * len(kills)
    for message, first in repeated.items():
        assert any(abs(first - kill) <= WINDOW for kill in kills), f"message {message} came twice for no reason"
