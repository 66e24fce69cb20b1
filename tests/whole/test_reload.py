"""A reload while a delivery is under way: the delivery goes on, other mail flows, and nothing comes twice.

The sink says nothing after the final dot of mail for `slow.example` until the test lets it.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.site import Site
from tests.support.smtp_sink import STALL, SmtpSink

SLOW = "ann@slow.example"


class Sink:
    """A sink in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.sink = SmtpSink({".": STALL})
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.sink.listen(), self.loop).result(10)

    @property
    def port(self) -> int:
        return self.sink.port

    def count(self, recipient: str) -> int:
        """How often the content of a message for `recipient` came."""
        return sum(any(recipient in line for line in message.rcpt) for message in self.sink.messages)

    def answer(self, text: str) -> None:
        """Say this to everybody who waits for an answer after the final dot, and from now on to nobody else."""

        def speak() -> None:
            self.sink.replies["."] = "250 2.0.0 Ok"
            for session in list(self.sink.sessions):
                if session.dead:
                    session.dead = False
                    session.utter(text)

        self.loop.call_soon_threadsafe(speak)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.sink.close(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


def site_for(tmp_path: Path, sink: Sink, **main: str) -> Site:
    defaults = {"transport_maps": f"inline:{{{{slow.example=smtp:[127.0.0.1]:{sink.port}}}}}"}
    return Site(tmp_path, main=defaults | main)


def mailq(site: Site) -> str:
    return site.command("postqueue", "-p").stdout.decode()


def stall(site: Site, sink: Sink, *recipients: str) -> str:
    """A message whose delivery to the sink does not end."""
    queue_id = site.submit(list(recipients) or SLOW)
    site.wait_until(lambda: sink.count(SLOW) == 1, what="the sink has no message")
    return queue_id


def replace_qmgr(site: Site) -> tuple[int, int]:
    """Reload, until a new qmgr works beside the old one; their process ids."""
    (old,) = site.pids("qmgr")
    site.reload()
    site.wait_until(lambda: len(site.pids("qmgr")) == 2, what="no second qmgr")
    site.wait_until(lambda: any(site.queue.glob("active/*.handover")), what="no handover")
    (new,) = set(site.pids("qmgr")) - {old}
    return old, new


def only_new(site: Site, new: int) -> None:
    site.wait_until(lambda: site.pids("qmgr") == [new], what="the old qmgr does not end")
    site.wait_until(lambda: not any(site.queue.glob("active/*.handover")), what="the handover is still there")


def test_a_slow_delivery_ends_once_and_other_mail_flows_meanwhile(tmp_path: Path, sink: Sink) -> None:
    with site_for(tmp_path, sink) as site:
        queue_id = stall(site, sink)
        _, new = replace_qmgr(site)
        other = site.submit("bob@example.test")
        site.wait_for(rf"qmgr\[{new}\]: {other}: removed")
        assert re.search(rf"^{queue_id}\*", mailq(site), re.MULTILINE)
        assert f"{queue_id}: removed" not in site.log
        sink.answer("250 2.0.0 Ok")
        site.wait_for(rf"{queue_id}: to=<{SLOW}>.*status=sent")
        site.wait_for(rf"qmgr\[{new}\]: {queue_id}: removed")
        only_new(site, new)
        assert sink.count(SLOW) == 1
        assert site.log.count(f"{queue_id}: to=<") == 1


def test_recipients_that_no_agent_has_need_not_wait(tmp_path: Path, sink: Sink) -> None:
    held_up = {"default_destination_concurrency_limit": "1"}
    with site_for(tmp_path, sink, **held_up) as site:
        queue_id = stall(site, sink)
        second = site.submit(["bob@slow.example", "bob@example.test"])
        site.wait_for(rf"{second}: to=<bob@example.test>.*status=sent")
        _, new = replace_qmgr(site)
        site.wait_until(lambda: sink.count("bob@slow.example") == 1)
        sink.answer("250 2.0.0 Ok")
        for each in (queue_id, second):
            site.wait_for(rf"qmgr\[{new}\]: {each}: removed")
        only_new(site, new)
        assert sink.count(SLOW) == sink.count("bob@slow.example") == 1
        assert len(site.mail("bob@example.test")) == 1


def test_put_off_after_the_reload(tmp_path: Path, sink: Sink) -> None:
    with site_for(tmp_path, sink) as site:
        queue_id = stall(site, sink)
        _, new = replace_qmgr(site)
        sink.answer("451 4.7.1 greylisted")
        site.wait_for(rf"{queue_id}: to=<{SLOW}>.*status=deferred.*greylisted")
        only_new(site, new)
        site.wait_until(lambda: any(site.queue.glob(f"deferred/*/{queue_id}")), what="not in deferred/")
        assert "greylisted" in mailq(site)
        assert sink.count(SLOW) == 1
        site.command("postqueue", "-f")
        site.wait_for(rf"qmgr\[{new}\]: {queue_id}: removed")
        assert sink.count(SLOW) == 2


def test_returned_after_the_reload(tmp_path: Path, sink: Sink) -> None:
    with site_for(tmp_path, sink) as site:
        queue_id = site.submit(SLOW, sender="bob@example.test")
        site.wait_until(lambda: sink.count(SLOW) == 1)
        _, new = replace_qmgr(site)
        sink.answer("550 5.1.1 no such user")
        site.wait_for(rf"{queue_id}: to=<{SLOW}>.*status=bounced")
        site.wait_for(rf"qmgr\[{new}\]: {queue_id}: removed")
        (report,) = site.wait_for_mail("bob@example.test")
        assert b"no such user" in report
        only_new(site, new)
        assert sink.count(SLOW) == 1
        assert site.log.count("sender non-delivery notification") == 1


def test_an_agent_that_dies_after_the_reload_has_its_delivery_put_off(tmp_path: Path, sink: Sink) -> None:
    with site_for(tmp_path, sink) as site:
        queue_id = stall(site, sink)
        old_agents = site.pids("smtp")
        _, new = replace_qmgr(site)
        site.wait_until(lambda: site.kill("smtp") != [] and bool(old_agents))
        site.wait_for(rf"{queue_id}: to=<{SLOW}>.*status=deferred \(unknown mail transport error\)")
        only_new(site, new)
        site.wait_until(lambda: any(site.queue.glob(f"deferred/*/{queue_id}")), what="not in deferred/")
        sink.answer("250 2.0.0 Ok")
        site.command("postqueue", "-f")
        site.wait_for(rf"qmgr\[{new}\]: {queue_id}: removed")


def test_an_old_qmgr_that_is_killed_leaves_what_it_has_heard(tmp_path: Path, sink: Sink) -> None:
    with site_for(tmp_path, sink) as site:
        queue_id = stall(site, sink)
        old, new = replace_qmgr(site)
        os.kill(old, signal.SIGKILL)
        site.wait_until(lambda: sink.count(SLOW) == 2, what="it was not tried again")
        sink.answer("250 2.0.0 Ok")
        site.wait_for(rf"qmgr\[{new}\]: {queue_id}: removed")
        only_new(site, new)


def test_several_reloads(tmp_path: Path, sink: Sink) -> None:
    with site_for(tmp_path, sink) as site:
        first = stall(site, sink)
        replace_qmgr(site)
        second = site.submit("bob@slow.example")
        site.wait_until(lambda: sink.count("bob@slow.example") == 1)
        site.reload()
        site.wait_until(lambda: len(list(site.queue.glob("active/*.handover"))) == 2, what="no second handover")
        site.wait_until(lambda: len(site.pids("qmgr")) == 3, what="no third qmgr")
        newest = max(site.pids("qmgr"))
        sink.answer("250 2.0.0 Ok")
        for each in (first, second):
            site.wait_for(rf"qmgr\[{newest}\]: {each}: removed")
        only_new(site, newest)
        assert sink.count(SLOW) == sink.count("bob@slow.example") == 1


def test_deleted_while_it_is_handed_over(tmp_path: Path, sink: Sink) -> None:
    with site_for(tmp_path, sink) as site:
        queue_id = stall(site, sink)
        _, new = replace_qmgr(site)
        site.command("postsuper", "-d", queue_id)
        sink.answer("451 4.7.1 later")
        only_new(site, new)
        site.wait_until(lambda: queue_id not in mailq(site))
        assert not any(site.queue.glob(f"deferred/*/{queue_id}"))


def test_a_wish_survives_the_reload(tmp_path: Path, sink: Sink) -> None:
    with site_for(tmp_path, sink) as site:
        queue_id = stall(site, sink)
        site.command("postsuper", "-h", queue_id)
        _, new = replace_qmgr(site)
        sink.answer("451 4.7.1 later")
        only_new(site, new)
        site.wait_until(lambda: (site.queue / "hold" / queue_id).exists(), what="not in hold/")


def test_a_stop_does_not_wait_for_what_was_handed_over(tmp_path: Path, sink: Sink) -> None:
    with site_for(tmp_path, sink) as site:
        queue_id = stall(site, sink)
        replace_qmgr(site)
        site.stop()
        assert "does not end: killed" not in site.log
        sink.answer("250 2.0.0 Ok")
        site.start()
        site.wait_for(rf"{queue_id}: removed")
        assert not any(site.queue.glob("active/*.handover"))


def test_qmgr_alone_may_be_replaced(tmp_path: Path, sink: Sink) -> None:
    with site_for(tmp_path, sink, estafeta_worker_processes="2") as site:
        queue_id = stall(site, sink)
        (old,) = site.kill("qmgr", signal.SIGHUP)
        site.wait_until(lambda: len(site.pids("qmgr")) == 2, what="no second qmgr")
        (new,) = set(site.pids("qmgr")) - {old}
        other = site.submit("bob@slow.example")
        site.wait_until(lambda: sink.count("bob@slow.example") == 1, what="no second worker")
        sink.answer("250 2.0.0 Ok")
        for each in (queue_id, other):
            site.wait_for(rf"qmgr\[{new}\]: {each}: removed")
        only_new(site, new)
        assert sink.count(SLOW) == 1


def test_many_deliveries_over_a_reload(tmp_path: Path, sink: Sink) -> None:
    names = [f"u{number}@slow.example" for number in range(100)]
    limits = {"default_destination_concurrency_limit": "50", "initial_destination_concurrency": "50"}
    with site_for(tmp_path, sink, **limits) as site:
        ids = [site.submit(name) for name in names]
        site.wait_until(lambda: len(sink.sink.messages) == 50, what="not everything is under way")
        _, new = replace_qmgr(site)
        sink.answer("250 2.0.0 Ok")
        for each in ids:
            site.wait_for(rf"{each}: removed")
        only_new(site, new)
        assert [sink.count(name) for name in names] == [1] * len(names)


def test_reloads_leave_nothing_behind_in_master(tmp_path: Path) -> None:
    with Site(tmp_path) as running:

        def memory() -> int:
            """Of master alone, in kB: what it shares with nobody's files."""
            status = Path(f"/proc/{running.master_pid}/status").read_text()
            found = re.search(r"RssAnon:\s+(\d+)", status)
            assert found is not None
            return int(found[1])

        def descriptors() -> int:
            return len(os.listdir(f"/proc/{running.master_pid}/fd"))

        for _ in range(2):
            running.reload()
        before, held = memory(), descriptors()
        for _ in range(10):
            running.reload()
        assert memory() - before < 2_500  # plans that are not let go of take 5,000
        assert descriptors() <= held + 6  # those of processes that are just ending
