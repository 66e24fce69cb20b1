"""flush(8) at work: what is deferred for a site is tried when the site asks, also across a reload."""

from __future__ import annotations

import smtplib
from pathlib import Path

import pytest
from tests.support.site import Site

DEAD = "inline:{{relay.test=smtp:[127.0.0.1]:9},{other.test=smtp:[127.0.0.1]:9}}"
MAIN = {"relay_domains": "relay.test, other.test", "transport_maps": DEAD, "minimal_backoff_time": "1h"}
SERVICES = "flush unix n - n 1000? 0 flush"


@pytest.mark.timeout(90)
def test_etrn_has_the_mail_of_one_site_tried(tmp_path: Path) -> None:
    with Site(tmp_path, MAIN, services=[SERVICES]) as site:
        wanted, other = site.submit("ann@relay.test"), site.submit("bob@other.test")
        for queue_id in (wanted, other):
            site.wait_for(rf"{queue_id}: to=<.*status=deferred")
        site.wait_until(lambda: len(list(site.queue.glob("flush/*.ids"))) == 2, what="no account of what waits")
        site.reload()
        with smtplib.SMTP("127.0.0.1", site.port, timeout=20) as client:
            client.ehlo()
            assert client.docmd("ETRN relay.test") == (250, b"Queuing started")
            assert client.docmd("ETRN nowhere.test") == (459, b"<nowhere.test>: service unavailable")
        site.wait_until(lambda: site.log.count(f"{wanted}: to=<") == 2, what="not tried again")
        assert site.log.count(f"{other}: to=<") == 1
        done = site.command("postqueue", "-s", "other.test")
        assert (done.returncode, done.stderr) == (0, b"")
        site.wait_until(lambda: site.log.count(f"{other}: to=<") == 2, what="not tried again")
        done = site.command("postqueue", "-i", wanted)
        assert done.returncode == 0
        site.wait_until(lambda: site.log.count(f"{wanted}: to=<") == 3, what="not tried again")


@pytest.mark.timeout(90)
def test_postsuper_works_in_the_middle_of_a_reload(tmp_path: Path) -> None:
    """There is a moment without a qmgr, in which the queue's lock is free."""
    with Site(tmp_path, MAIN, services=[SERVICES]) as site:
        site.wait_for(rf"{site.submit('ann@relay.test')}: to=<.*status=deferred")
        for _ in range(5):
            site.reload()
            done = site.command("postsuper", "-r", "ALL")
            assert (done.returncode, done.stderr) == (0, b"postsuper: Requeued: 1 message\n"), done
            count = site.log.count("status=deferred")
            site.wait_until(lambda count=count: site.log.count("status=deferred") >= count, what="it is not tried")
            site.wait_until(lambda: any(site.queue.glob("deferred/*/*")), what="it is not deferred")
