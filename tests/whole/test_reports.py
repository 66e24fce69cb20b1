"""bounce(8) is away: mail that failed waits for its report, out of the way, and nobody gets it twice."""

from __future__ import annotations

import pytest
from tests.support.room import MAILBOXES, configure, needs_room, play, run, start, stop, wait_for
from tests.whole.test_disk_trouble import MAIN, MASTER


@pytest.mark.root
@needs_room
def test_a_report_that_cannot_be_written_is_written_later() -> None:
    play(_without_bounce)


def _without_bounce() -> None:
    configure(MAIN.replace("= 1s", "= 60s") + "bounce_service_name = away\n", MASTER)
    start()
    run(
        "sendmail",
        "-f",
        "laura@relay.univ.es",
        "ghost@relay.univ.es",
        "antonio@relay.univ.es",
        text="Subject: x\n\nbody\n",
    )
    queue_id = wait_for(r"(\w+): bounce report: private/away: .*: the message waits")[1]
    wait_for("status=sent .delivered to mailbox")
    shown = run("postqueue", "-p")
    assert f"{queue_id} " in shown, shown  # deferred: neither active (*) nor held (!)
    assert 'unknown user: "ghost"' in shown
    assert "antonio@" not in shown
    run("postconf", "-e", "bounce_service_name=bounce")
    stop()
    start()
    run("postqueue", "-f")
    wait_for(f"{queue_id}: sender non-delivery notification")
    wait_for(f"{queue_id}: removed")
    wait_for("to=<laura@relay.univ.es>.*status=sent")
    assert (MAILBOXES / "antonio").read_text().count("\nSubject: x\n") == 1
    report = (MAILBOXES / "laura").read_text()
    assert 'unknown user: "ghost"' in report
    assert report.count("Subject: Undelivered Mail Returned to Sender") == 1
    stop()
