"""anvil(8) as a process: counts shared by workers, given back by the dead, kept over a reload; users' limits."""

from __future__ import annotations

import json
import os
import signal
import smtplib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.site import Site

ANVIL = "anvil unix - - n - 1 anvil"
STRANGERS = {"mynetworks": "192.0.2.1", "smtpd_client_connection_count_limit": "4", "notify_classes": ""}
TOO_MANY = "too many connections"


class Crowd:
    """Connections to a site. `greeted(5)`: how many of five are let in; they stay."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.inside: list[smtplib.SMTP] = []

    def greeted(self, count: int) -> int:
        before = len(self.inside)
        for _ in range(count):
            client = smtplib.SMTP(timeout=20)
            code, text = client.connect("127.0.0.1", self._site.port)
            if code == 220:
                self.inside.append(client)
            else:
                assert (code, TOO_MANY in text.decode()) == (421, True)
                client.close()
        return len(self.inside) - before

    def leave(self) -> None:
        for client in self.inside:
            client.close()
        self.inside.clear()


@contextmanager
def crowded(tmp_path: Path, **main: str) -> Iterator[tuple[Site, Crowd]]:
    settings = STRANGERS | {"estafeta_worker_processes": "2"} | main
    with Site(tmp_path, main=settings, services=[ANVIL]) as site:
        crowd = Crowd(site)
        try:
            yield site, crowd
        finally:
            crowd.leave()


def log_lines(site: Site) -> Callable[[], int]:
    return lambda: site.log.count("disconnect from")


def test_workers_share_the_counts_and_a_killed_worker_gives_its_own_back(tmp_path: Path) -> None:
    with crowded(tmp_path) as (site, crowd):
        for _ in range(20):
            # Which worker gets a client is the kernel's choice; wait until both have had some.
            assert crowd.greeted(4) == 4
            assert crowd.greeted(1) == 0
            if len(site.pids("smtpd")) > 1:
                break
            crowd.leave()
            left = site.log.count(" connect from")
            site.wait_until(lambda wanted=left: site.log.count("disconnect from") >= wanted)  # type: ignore[misc]
        assert len(site.pids("anvil")) == 1
        site.wait_for(
            r"warning: Connection concurrency limit exceeded: 5 from unknown\[127.0.0.1\] for service 127.0.0.1:"
        )
        seen = len(site.log)
        site.kill("smtpd")
        site.wait_for(r"process .*smtpd.* killed by signal 9", since=seen)
        crowd.leave()
        assert crowd.greeted(5) == 4


def test_connections_are_still_counted_after_anvil_was_killed_or_replaced(tmp_path: Path) -> None:
    with crowded(tmp_path, estafeta_worker_processes="1") as (site, crowd):
        assert crowd.greeted(3) == 3
        (pid,) = site.kill("anvil")
        site.wait_until(lambda: site.pids("anvil") not in ([], [pid]) or True)
        # The first to come may be the one that finds out; nobody is let in for it.
        assert crowd.greeted(2) == 1
        site.reload()
        assert crowd.greeted(1) == 0
        crowd.leave()
        site.wait_until(lambda: site.log.count("disconnect from") >= 6)
        assert crowd.greeted(5) == 4


def test_rates_and_statistics(tmp_path: Path) -> None:
    limits = {"smtpd_client_message_rate_limit": "2", "anvil_status_update_time": "1s"}
    with crowded(tmp_path, **limits) as (site, crowd):
        assert crowd.greeted(2) == 2
        first, second = crowd.inside
        for client in (first, second, first, second):
            client.helo("x")
            client.rset()
        assert [client.mail("a@b.example")[0] for client in (first, second)] == [250, 250]
        first.rset()
        code, text = first.mail("a@b.example")
        assert (code, text) == (450, b"4.7.1 Error: too much mail from 127.0.0.1")
        service = rf"\(127.0.0.1:{site.port}:127.0.0.1\) at \w{{3}} [ \d]\d \d\d:\d\d:\d\d"
        site.wait_for(rf"anvil\[\d+\]: statistics: max connection rate 2/60s for {service}")
        site.wait_for(rf"anvil\[\d+\]: statistics: max connection count 2 for {service}")
        site.wait_for(rf"anvil\[\d+\]: statistics: max message rate [123]/60s for {service}")
        site.wait_for(r"anvil\[\d+\]: statistics: max cache size 1 at ")


def test_without_anvil_limits_that_are_set_are_warned_about_and_mail_flows(tmp_path: Path) -> None:
    with Site(tmp_path, main=STRANGERS) as site:
        site.submit("ann@example.test")
        site.wait_for(r"warning: .*master.cf has no anvil service")


USERS = {
    "smtpd_authorized_xclient_hosts": "127.0.0.1",
    "estafeta_user_message_rate_limit": "2",
    "error_notice_recipient": "chief@example.test",
    "notify_classes": "",
}


def send_as(site: Site, user: str) -> tuple[int, bytes]:
    with site.client() as client:
        client.ehlo("x")
        client.docmd("XCLIENT", f"LOGIN={user}")
        client.ehlo("x")
        client.mail("ana@example.test")
        client.rcpt("ann@example.test")
        return client.data(b"Subject: x\r\n\r\nx\r\n")


def limits(site: Site) -> str:
    done = site.command("estafeta", "limits")
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def held(site: Site) -> int:
    listed = site.command("postqueue", "-j").stdout.splitlines()
    return sum(json.loads(line)["queue_name"] == "hold" for line in listed)


def test_a_users_mail_over_the_limit_is_held_and_the_count_survives_a_restart(tmp_path: Path) -> None:
    # In a chroot, as on Debian, data_directory cannot be seen.
    in_chroot = ANVIL.replace("- - n", "- - y") if os.geteuid() == 0 else ANVIL
    with Site(tmp_path, main=USERS, services=[in_chroot]) as site:
        for _ in range(4):
            assert send_as(site, "ana")[0] == 250
        assert send_as(site, "bob")[0] == 250
        site.wait_for(r"warning: \w+: User message rate limit exceeded: 4 from ana \(limit 2/3600s\): hold: DATA from")
        assert len(site.wait_for_mail("ann@example.test", 3)) == 3
        site.wait_until(lambda: held(site) == 2)
        (notice,) = site.wait_for_mail("chief@example.test")
        assert b"user ana is over the limit of 2 messages in 3600 seconds" in notice
        assert b"postsuper -H" in notice
        found = limits(site)
        assert "user   ana: messages 4/2 OVER; begins anew in " in found
        assert "bob" not in found
        site.stop()
        site.start()
        assert send_as(site, "ana")[0] == 250
        site.wait_for(r"User message rate limit exceeded: 5 from ana")
        site.wait_until(lambda: held(site) == 3)
        assert len(site.mail("chief@example.test")) == 1
        assert send_as(site, "bob")[0] == 250
        assert len(site.wait_for_mail("ann@example.test", 4)) == 4


def test_a_user_over_the_limit_is_put_off(tmp_path: Path) -> None:
    with Site(tmp_path, main=USERS | {"estafeta_user_limit_action": "defer"}, services=[ANVIL]) as site:
        assert [send_as(site, "ana")[0] for _ in range(2)] == [250, 250]
        with pytest.raises(smtplib.SMTPDataError) as error:
            send_as(site, "ana")
        assert error.value.smtp_error == b"4.7.1 Error: too many messages from user ana, try again later"
        assert len(site.wait_for_mail("ann@example.test", 2)) == 2
        site.wait_for_mail("chief@example.test")


def test_who_is_near_a_limit(tmp_path: Path) -> None:
    with crowded(tmp_path, smtpd_client_connection_rate_limit="10") as (site, crowd):
        assert limits(site) == "Nobody is near a limit.\n"
        assert crowd.greeted(4) == 4
        found = limits(site)
        ident = f"127.0.0.1:{site.port}:127.0.0.1"
        assert found == f"client {ident}: connections 4/4, connection rate 4/10 in 60s\n"
        os.kill(site.pids("anvil")[0], signal.SIGTERM)
