"""The queue listing, as Postfix 3.7 prints the same messages."""

from __future__ import annotations

import time

import pytest

from estafeta.commands.queue_listing import as_json, traditional
from estafeta.services.showq import Shown

REFUSED = "connect to 127.0.0.1[127.0.0.1]:9: Connection refused"


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


SHORT = [
    Shown("active", "2230820C3EE", 1795223430.4, 303, "s@box.example", [("g@mm.example", "")]),
    Shown(
        "deferred",
        "E218920C3E5",
        1795223429.9,
        284,
        "s@box.example",
        [("a@dead.example", "mail transport unavailable"), ("b@dead.example", "mail transport unavailable")],
    ),
    Shown("deferred", "C76F220C3E1", 1795223429.0, 284, "s@box.example", [("e@refused.example", REFUSED)]),
    Shown(
        "hold",
        "08EAF20C3EA",
        1795223430.0,
        305,
        "",
        [("c@dead.example", "delivery temporarily suspended: " + REFUSED), ("a b@d.example", "other")],
    ),
]


def test_the_traditional_listing() -> None:
    assert (
        "\n".join(traditional(SHORT, long_ids=False))
        == """\
-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
2230820C3EE*     303 Sat Nov 21 01:10:30  s@box.example
                                         g@mm.example

E218920C3E5     284 Sat Nov 21 01:10:29  s@box.example
                                                  (mail transport unavailable)
                                         a@dead.example
                                         b@dead.example

C76F220C3E1     284 Sat Nov 21 01:10:29  s@box.example
                       (connect to 127.0.0.1[127.0.0.1]:9: Connection refused)
                                         e@refused.example

08EAF20C3EA!     305 Sat Nov 21 01:10:30  MAILER-DAEMON
(delivery temporarily suspended: connect to 127.0.0.1[127.0.0.1]:9: Connection refused)
                                         c@dead.example
                                                                       (other)
                                         "a b"@d.example

-- 1 Kbytes in 4 Requests."""
    )


def test_the_listing_with_long_queue_ids() -> None:
    messages = [
        Shown("hold", "4jWZYZ5nMMzJ9WY", 1795224994.0, 234, "", [("b@retry.example", "later")], True),
        Shown("deferred", "4jWZYZ5v9VzJ9Wf", 1795224994.0, 2298, "q q@disc.example", [("a@retry.example", "later")]),
    ]
    assert (
        "\n".join(traditional(messages, long_ids=True))
        == """\
----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------
4jWZYZ5nMMzJ9WY!#      234 Sat Nov 21 01:36:34 MAILER-DAEMON
                                                                       (later)
                                               b@retry.example

4jWZYZ5v9VzJ9Wf       2298 Sat Nov 21 01:36:34 "q q"@disc.example
                                                                       (later)
                                               a@retry.example

-- 2 Kbytes in 2 Requests."""
    )


def test_one_message_is_one_request() -> None:
    lines = list(traditional([Shown("deferred", "A", 0.0, 818, "s@x", [])], long_ids=False))
    assert lines[-1] == "-- 0 Kbytes in 1 Request."


def test_an_empty_queue() -> None:
    assert list(traditional([], long_ids=False)) == ["Mail queue is empty"]
    assert list(as_json([])) == []


def test_json() -> None:
    lines = list(as_json([SHORT[1], SHORT[3]]))
    assert lines[0] == (
        '{"queue_name": "deferred", "queue_id": "E218920C3E5", "arrival_time": 1795223429, "message_size": 284, '
        '"forced_expire": false, "sender": "s@box.example", "recipients": [{"address": "a@dead.example", '
        '"delay_reason": "mail transport unavailable"}, {"address": "b@dead.example", "delay_reason": '
        '"mail transport unavailable"}]}'
    )
    assert '"sender": "MAILER-DAEMON"' in lines[1]
    assert '"address": "\\"a b\\"@d.example"' in lines[1]
