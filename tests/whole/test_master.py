"""master and the skeleton, with toy services in place of the mail system."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.site import Site

from estafeta.services import passed
from estafeta.skeleton.log_targets import Syslog, facility_code

TOY = [sys.executable, "-m", "tests.support.toy_master"]
MASTER = """
127.0.0.1:{port} inet n - n - - echo
echo  unix n - n - 3 echo
smtp  unix - - n - 3 echo
trig  unix n - n 300 1 trig
"""


def site_with(tmp_path: Path, master: str = MASTER, **main: str) -> Site:
    return Site(
        tmp_path, main | {"estafeta_worker_processes": main.get("estafeta_worker_processes", "2")}, master, program=TOY
    )


@contextlib.contextmanager
def connected(where: int | Path) -> Iterator[socket.socket]:
    """A client of a port on 127.0.0.1 or of a local socket."""
    if isinstance(where, int):
        link = socket.create_connection(("127.0.0.1", where))
    else:
        link = socket.socket(socket.AF_UNIX)
        link.connect(str(where))
    link.settimeout(10)
    with link:
        yield link


def greeting(link: socket.socket) -> dict[str, str]:
    """What echo says of itself."""
    words = link.recv(4096).decode().split()
    return dict(word.split("=", 1) for word in words)


def said_at(where: int | Path) -> dict[str, str]:
    """What an echo says of itself to a new client."""
    with connected(where) as link:
        return greeting(link)


def is_silent(link: socket.socket) -> bool:
    link.settimeout(0.3)
    try:
        return link.recv(1, socket.MSG_PEEK) == b"never"
    except TimeoutError:
        return True
    finally:
        link.settimeout(10)


def test_a_client_is_served_by_a_process_started_for_it(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        assert site.pids("echo") == []
        with connected(site.port) as link:
            assert int(greeting(link)["pid"]) in site.pids("echo")
            link.send(b"again\n")
            assert link.recv(100) == b"again\n"
        site.wait_for(r"^\w{3} [ \d]\d \d\d:\d\d:\d\d mail postfix/echo\[\d+\]: connect$")


def test_tcp_clients_are_served_whatever_process_dies(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        for _ in range(12):
            with connected(site.port) as link:
                assert "pid" in greeting(link)
                site.kill("echo")


def test_maxproc_is_the_number_of_tcp_clients_at_a_time(tmp_path: Path) -> None:
    master = "127.0.0.1:{port} inet n - n - 3 echo\n"
    with site_with(tmp_path, master, estafeta_worker_processes="2") as site, contextlib.ExitStack() as stack:
        links = [stack.enter_context(connected(site.port)) for _ in range(6)]
        served = [link for link in links if not is_silent(link)]
        assert len(served) == 3
        served[0].close()
        links.remove(served[0])
        site.wait_until(lambda: sum(not is_silent(link) for link in links if link not in served) == 1)


def test_a_killed_process_gives_its_places_back(tmp_path: Path) -> None:
    with site_with(tmp_path, "127.0.0.1:{port} inet n - n - 2 echo\n", estafeta_worker_processes="2") as site:
        for _ in range(4):
            with connected(site.port) as one, connected(site.port) as two:
                greeting(one), greeting(two)
                site.kill("echo")
                site.wait_until(lambda: site.pids("echo") == [])


def test_local_clients_get_another_process_when_one_is_full(tmp_path: Path) -> None:
    with site_with(tmp_path, estafeta_worker_processes="3") as site, contextlib.ExitStack() as stack:
        links = [stack.enter_context(connected(site.queue / "public/echo")) for _ in range(4)]
        assert len({greeting(link)["pid"] for link in links[:3]}) == 3
        assert is_silent(links[3])
        links[0].close()
        assert "pid" in greeting(links[3])


def test_an_agent_process_takes_one_connection_and_its_share_of_the_deliveries(tmp_path: Path) -> None:
    master = "smtp unix - - n - 5 smtp\n"
    program = [sys.executable, "-c", TOY_AGENT]
    with (
        Site(tmp_path, {"estafeta_worker_processes": "2"}, master, program=program) as site,
        connected(site.queue / "private/smtp") as one,
        connected(site.queue / "private/smtp") as two,
    ):
        first, second = greeting(one), greeting(two)
        assert first["pid"] != second["pid"]
        assert {first["slots"], second["slots"]} == {"3", "2"}
        # An agent that passes mail on is served by the last process, which keeps qmgr's connection beside it.
        with connected(site.queue / "private/smtp") as three:
            assert greeting(three)["pid"] == second["pid"]
        with connected(site.queue / "private/smtp") as four:
            assert greeting(four)["pid"] == second["pid"]


TOY_AGENT = """
import sys
from estafeta.daemons import index
from estafeta.daemons.master.__main__ import main
index.PROGRAMS["smtp"] = "tests.support.toy_master:Echo"
sys.exit(main())
"""


def test_wakeup_arrives_at_start_and_triggers_from_clients(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        site.wait_for(r"trig\[\d+\]: triggered b'W'")
        with connected(site.queue / "public/trig") as link:
            link.send(b"IF")
        site.wait_for(r"triggered b'IF'")
        with connected(site.queue / "public/trig") as link:
            link.send(b"X")
        site.wait_for(r"error: request failed: RuntimeError: bad request")
        with connected(site.queue / "public/trig") as link:
            link.send(b"F")
        site.wait_for(r"triggered b'F'")


def test_a_wakeup_with_question_mark_waits_for_the_first_use(tmp_path: Path) -> None:
    with site_with(tmp_path, "trig unix n - n 1? 1 trig\nother unix n - n 1 1 trig\n") as site:
        site.wait_until(lambda: site.log.count("triggered b'W'") >= 2)
        assert len(set(re.findall(r"trig\[(\d+)\]: triggered", site.log))) == 1
        with connected(site.queue / "public/trig") as link:
            link.send(b"I")
        pid = site.wait_for(r"trig\[(\d+)\]: triggered b'I'")[1]
        site.wait_for(rf"trig\[{pid}\]: triggered b'W'")


def test_fifo_and_datagram_services(tmp_path: Path) -> None:
    with site_with(tmp_path, "trig fifo n - n - 1 trig\npacket unix-dgram n - n - 1 packet\n") as site:
        with open(site.queue / "public/trig", "wb", buffering=0) as fifo:
            fifo.write(b"I")
        site.wait_for(r"triggered b'I'")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.sendto(b"hello", str(site.queue / "public/packet"))
            link.sendto(b"again", str(site.queue / "public/packet"))
        site.wait_for(r"packet b'again'")
        assert "packet b'hello'" in site.log


def test_a_passed_connection_is_served(tmp_path: Path) -> None:
    with site_with(tmp_path, "echo pass - - n - - echo\n") as site:
        here, there = socket.socketpair()
        with here, there, connected(site.queue / "private/echo") as link:
            passed.send(link, there.fileno(), None)
            here.settimeout(10)
            assert "pid" in greeting(here)


def test_a_bad_start_is_throttled_and_tried_again(tmp_path: Path) -> None:
    master = "bad unix - - n - 1 bad\ntrig unix n - n 300 1 trig\n"
    with site_with(tmp_path, master) as site, connected(site.queue / "private/bad"):
        site.wait_for(r"postfix/bad\[\d+\]: fatal: PermissionError: .*nothing works today")
        site.wait_for(r"master\[\d+\]: warning: process \S+/bad pid \d+ exit status 1$")
        site.wait_for(r"master\[\d+\]: warning: \S+/bad: bad command startup -- throttling$")
        site.wait_until(lambda: site.log.count("bad command startup") >= 2)


def test_a_killed_process_is_reported_and_a_woken_service_runs_again(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        first = site.wait_for(r"trig\[(\d+)\]: triggered b'W'")[1]
        os.kill(int(first), signal.SIGKILL)
        site.wait_for(rf"master\[\d+\]: warning: process \S+/trig pid {first} killed by signal 9$")
        site.wait_until(lambda: len(set(re.findall(r"trig\[(\d+)\]: triggered b'W'", site.log))) == 2)


# --- reload


def test_reload_applies_both_files_and_lets_clients_finish(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        with connected(site.port) as old:
            assert greeting(old)["myhostname"] == "mail.example.test"
            site.write_main({"myhostname": "new.example.test", "estafeta_worker_processes": "2"})
            site.write_master(MASTER, ["fresh unix - - n - - echo", "echo unix n - n - 3 echo -o syslog_name=other"])
            site.reload()
            # Until it hears of the reload, the old process may still take a client.
            site.wait_until(lambda: said_at(site.port)["myhostname"] == "new.example.test")
            site.wait_until(lambda: said_at(site.queue / "private/fresh")["myhostname"] == "new.example.test")
            site.wait_until(lambda: said_at(site.queue / "public/echo")["name"] == "other")
            old.send(b"still here\n")
            assert old.recv(100) == b"still here\n"
        site.wait_for(r"echo\[\d+\]: stopped")


def test_a_removed_service_is_gone_and_its_processes_end(tmp_path: Path) -> None:
    with site_with(tmp_path) as site, connected(site.queue / "public/echo") as link:
        greeting(link)
        site.write_master("127.0.0.1:{port} inet n - n - - echo\n")
        site.reload()
        assert not (site.queue / "public/echo").exists()
        assert link.recv(100) == b""


@pytest.mark.parametrize(
    ("main", "master", "message"),
    [
        ({"maximal_queue_lifetime": "tomorrow"}, MASTER, r"main\.cf, line \d+: maximal_queue_lifetime = tomorrow: "),
        ({}, MASTER + "x unix y y\n", r"master\.cf, line 6: "),
        ({}, MASTER + "y unix - - n - - echo -o max_idle=often\n", r"master\.cf, line 6: .*max_idle"),
        ({}, MASTER + "256.1.1.1:1 inet n - n - - echo\n", r"master\.cf, line 6: .*host not found: 256\.1\.1\.1"),
    ],
)
def test_a_bad_new_configuration_leaves_the_old_one_in_force(
    tmp_path: Path, main: dict[str, str], master: str, message: str
) -> None:
    with site_with(tmp_path) as site:
        site.write_main(main)
        site.write_master(master)
        site.reload()
        site.wait_for(r"error: reload: .*" + message)
        site.wait_for(r"error: reload: the new configuration is not used, the old one stays in force")
        with connected(site.port) as link:
            assert greeting(link)["myhostname"] == "mail.example.test"


def test_a_single_instance_is_replaced_only_after_the_old_one_ended(tmp_path: Path) -> None:
    with site_with(tmp_path, "qmgr unix n - n 300 1 qmgr\n") as site:
        old = site.wait_for(r"qmgr\[(\d+)\]: triggered b'W'")[1]
        site.reload()
        new = site.wait_for(rf"qmgr\[(?!{old}\b)(\d+)\]: triggered b'W'")[1]
        assert site.log.index(f"qmgr[{old}]: stopped") < site.log.index(f"qmgr[{new}]: triggered")
        assert site.pids("qmgr") == [int(new)]


def test_the_number_of_processes_can_change_on_reload(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        site.write_main({"estafeta_worker_processes": "3"})
        site.reload()
        with contextlib.ExitStack() as stack:
            links = [stack.enter_context(connected(site.port)) for _ in range(40)]
            assert {greeting(link)["worker"] for link in links} == {"0", "1", "2"}
        site.write_main({"estafeta_worker_processes": "1"})
        before = set(site.pids("echo"))
        site.reload()
        # Until they hear of it, they may still take a client.
        site.wait_until(lambda: not before & set(site.pids("echo")))
        with contextlib.ExitStack() as stack:
            links = [stack.enter_context(connected(site.port)) for _ in range(40)]
            assert {greeting(link)["worker"] for link in links} == {"0"}


def test_reload_refuses_and_loses_no_client(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        for turn in range(60):
            if turn % 10 == 5:
                site.signal_master(signal.SIGHUP)
            with connected(site.port) as link, connected(site.queue / "public/echo") as local:
                assert "pid" in greeting(link)
                assert "pid" in greeting(local)
        site.wait_for("reload --")  # six were asked for; those that come together are one


def test_several_reloads_at_once(tmp_path: Path) -> None:
    with site_with(tmp_path, "qmgr unix n - n 300 1 qmgr\n") as site:
        for _ in range(5):
            site.signal_master(signal.SIGHUP)
        site.wait_for("reload --")
        with connected(site.queue / "public/qmgr") as link:
            link.send(b"I")
        site.wait_for(r"qmgr\[\d+\]: triggered b'W?I'")
        site.wait_until(lambda: len(site.pids("qmgr")) == 1)


# --- the end


def test_stop_ends_everything(tmp_path: Path) -> None:
    with site_with(tmp_path) as site, connected(site.port) as link:
        greeting(link)
        pid = site.master_pid
        site.signal_master(signal.SIGTERM)
        site.wait_for(r"master\[\d+\]: terminating on signal 15$")
        assert link.recv(100) == b""
        os.waitpid(pid, 0)
        assert site.pids("echo") == site.pids("trig") == []
        assert "echo" in site.log and "]: draining" in site.log and "]: stopped" in site.log


def test_processes_notice_that_master_is_gone_and_finish(tmp_path: Path) -> None:
    with site_with(tmp_path) as site, connected(site.port) as link:
        greeting(link)
        site.wait_until(lambda: site.pids("trig") != [])
        site.kill("master")
        site.wait_until(lambda: site.pids("trig") == [])
        link.send(b"still here\n")
        assert link.recv(100) == b"still here\n"
        link.close()
        site.wait_until(lambda: site.pids("echo") == [])


def test_a_new_master_takes_over_after_a_killed_one(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        with connected(site.port) as link:
            greeting(link)
            site.kill("master")
        site.start()
        with connected(site.port) as link:
            assert "pid" in greeting(link)


def test_two_masters_never_share_a_queue(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        second = Site(tmp_path / "..", master="trig unix n - n 300 1 trig\n", program=TOY)
        second.queue, second.data = site.queue, second.data
        second.write_main({"queue_directory": str(site.queue)})
        try:
            with pytest.raises(
                AssertionError, match=r"master\.pid: unable to set exclusive lock: it is held by process"
            ):
                second.start()
        finally:
            second.__exit__(None, None, None)


def test_an_idle_process_ends_and_the_next_client_gets_another(tmp_path: Path) -> None:
    with site_with(tmp_path, max_idle="1s") as site:
        with connected(site.port) as link:
            first = greeting(link)["pid"]
        site.wait_for(rf"echo\[{first}\]: stopped")
        with connected(site.port) as link:
            assert greeting(link)["pid"] != first


def test_the_test_mode_tells_whether_a_master_runs(tmp_path: Path) -> None:
    def ask() -> int:
        asked = [sys.executable, "-m", "estafeta.daemons.master", "-t", "-c", str(site.config)]
        return subprocess.call(asked, env=site.environment, timeout=20)

    with site_with(tmp_path) as site:
        assert ask() == 1
        site.stop()
        assert ask() == 0


def test_exit_time(tmp_path: Path) -> None:
    program = [*TOY, "-e", "1"]
    with Site(tmp_path, master=MASTER, program=program) as site:
        site.wait_for("terminating on signal 15")


# --- log


def test_the_log_file_may_be_renamed(tmp_path: Path) -> None:
    with site_with(tmp_path) as site, connected(site.port) as old:
        greeting(old)
        site.log_file.rename(site.folder / "mail.log.1")
        site.signal_master(signal.SIGHUP)
        site.wait_until(lambda: site.log_file.exists())
        old.close()
        site.wait_for(r"echo\[\d+\]: stopped")


# --- root


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_privileges_and_chroot(tmp_path: Path) -> None:
    master = """
plain   unix - - n - 1 echo
chroot  unix - - y - 1 echo
root    unix - n n - 1 echo
"""
    with site_with(tmp_path, master) as site:
        owner = str(pwd.getpwnam(site.owner).pw_uid)
        expected = {"plain": (owner, "False"), "chroot": (owner, "True"), "root": ("0", "False")}
        for name, (uid, chroot) in expected.items():
            with connected(site.queue / "private" / name) as link:
                words = greeting(link)
                assert (words["uid"], words["chroot"]) == (uid, chroot), name
        site.wait_until(lambda: site.log.count("opened as 0") == 3)
        socket_file = (site.queue / "private/plain").stat()
        assert (str(socket_file.st_uid), socket_file.st_mode & 0o777) == (owner, 0o666)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_chroot_needs_no_files_of_python(tmp_path: Path) -> None:
    with site_with(tmp_path, "echo unix - - y - 1 echo\n") as site, connected(site.queue / "private/echo") as link:
        assert greeting(link)["chroot"] == "True"
        link.send(b"import\n")
        assert link.recv(4096) == b"b'xn--bro-hoa.example' 2026 3 CAA\n"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_missing_mail_owner_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    site = site_with(tmp_path, mail_owner="nobody-at-all")
    with pytest.raises(AssertionError):
        site.start(patience=10)
    site.__exit__(None, None, None)


def test_the_log_may_move_to_another_file_on_reload(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        site.write_main({"maillog_file": str(site.folder / "other.log"), "syslog_name": "outpost"})
        site.log_file = site.folder / "other.log"
        site.reload()
        site.wait_until(lambda: said_at(site.port) and " outpost/echo[" in site.log)
        site.wait_for(r" outpost/master\[\d+\]: reload --")


def test_syslog_gets_lines_without_the_host(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(5)
        target = Syslog(facility_code("local1"), str(path))
        target.write([(1, "Nov  1 00:00:00", "postfix/smtpd[1]: warning: x")], "host")
        assert listening.recv(1000) == b"<140>Nov  1 00:00:00 postfix/smtpd[1]: warning: x"
    path.unlink()
    target.write([(0, "Nov  1 00:00:00", "lost")], "host")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:  # the syslog daemon was restarted
        listening.bind(str(path))
        listening.settimeout(5)
        target.write([(0, "Nov  1 00:00:00", "again")], "host")
        assert listening.recv(1000) == b"<142>Nov  1 00:00:00 again"
