"""qmgr with a real spool, real sockets and real agents (retry, discard), in one process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.config.master_cf import ServiceEntry
from estafeta.daemons.discard import DiscardService
from estafeta.daemons.error import ErrorService
from estafeta.daemons.qmgr.service import QmgrService
from estafeta.daemons.showq import ShowqService
from estafeta.mail.envelope import Envelope, Recipient
from estafeta.net.frames import Frames, connect
from estafeta.queue.place import Place
from estafeta.queue.spool import Spool
from estafeta.services import notice
from estafeta.services.queue_control import FLUSH, Control, ask_async
from estafeta.services.report import ReportReply, decode_request
from estafeta.services.trigger import QMGR_FLUSH
from estafeta.skeleton.service import Context

FOLDERS = ("incoming", "active", "deferred", "hold", "corrupt", "private", "public", "pid", "maildrop")
HEAD, BODY = b"Subject: x\r\n\r\n", b"hello\r\n"


class House:
    """A queue directory and the processes around it."""

    def __init__(self, queue: Path, **settings: str) -> None:
        self.queue = queue
        settings.setdefault(
            "transport_maps",
            "inline:{{gone.example=discard:silently},{later.example=retry:4.2.9 later},"
            "{bad.example=error:5.7.9 go away},{away.example=nosuch:}}",
        )
        self.conf = Config.for_test(queue_directory=str(queue), **settings)
        names = ("qmgr", "discard", "retry", "error")
        self.entries = tuple(ServiceEntry(name, "unix", True, True, False, 0, True, 100, name) for name in names)
        self.lines: list[str] = []
        self.reports: list[tuple[str, dict[int, Any]]] = []
        self.qmgr: QmgrService
        self._servers: list[asyncio.AbstractServer] = []

    def context(self, name: str) -> Context:
        entry = next((each for each in self.entries if each.name == name), self.entries[0])
        return Context(self.conf, entry, slots=0, entries=self.entries)

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        services: dict[str, Any] = {
            "private/retry": ErrorService(self.context("retry")),
            "private/error": ErrorService(self.context("error")),
            "private/discard": DiscardService(self.context("discard")),
            "public/showq": ShowqService(self.context("showq")),
        }
        for path, service in services.items():
            serve = lambda service=service: service.client(lambda: None)  # noqa: E731
            self._servers.append(await loop.create_unix_server(serve, path))
        self._servers.append(await loop.create_unix_server(self._bounce, "private/bounce"))
        self.spool = Spool(sealed=lambda path, count: None)
        await self.start_qmgr()

    async def start_qmgr(self) -> None:
        self.qmgr = QmgrService(self.context("qmgr"))
        await self.qmgr.open()
        await self.qmgr.start()

    async def close(self) -> None:
        await self.qmgr.stop()
        await self.spool.stop()
        for server in self._servers:
            server.close()

    def _bounce(self) -> Frames:
        def received(payload: bytes) -> None:
            request = decode_request(payload)
            self.reports.append((request.kind, request.results))
            frames.send(msgspec.msgpack.encode(ReportReply(request.number, True)))

        frames = Frames(received)
        return frames

    async def commit(self, *to: str) -> tuple[Place, Envelope]:
        now = time.time()
        envelope = Envelope(self.spool.new_id(now), now, "s@sender.example", [Recipient(each) for each in to], size=20)
        return await self.spool.commit(envelope, HEAD, [BODY]), envelope

    async def letter(self, *to: str) -> str:
        place, envelope = await self.commit(*to)
        frames = await connect(notice.SOCKET, lambda payload: None)
        frames.send(notice.encode([notice.Arrived(place, envelope)]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        frames.close()
        return envelope.queue_id

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        for _ in range(1000):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{what} did not happen; log: {self.lines}")

    async def removed(self, queue_id: str) -> None:
        await self.until(lambda: f"{queue_id}: removed" in self.lines, f"removal of {queue_id}")

    def in_queue(self, queue: str) -> list[str]:
        return sorted(path.name for path in (self.queue / queue).rglob("*") if path.is_file())

    async def put_off(self, *to: str) -> str:
        queue_id = await self.letter(*to)
        await self.until(lambda: queue_id in self.in_queue("deferred"), "deferral")
        await self.until(lambda: not self.qmgr._queue.active, "end of the attempt")
        return queue_id

    async def command(self, name: str, *words: str) -> tuple[int | None, str, str]:
        """Run a command; (exit status, standard output, standard error)."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"estafeta.commands.{name}", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def house_at(queue: Path, **settings: str) -> AsyncIterator[House]:
    house = House(queue, **settings)
    before = log.install(lambda level, text, program: house.lines.append(log.PREFIX[level] + text))
    try:
        await house.open()
        yield house
        await house.close()
    finally:
        log.install(before)


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A queue directory that is the working directory, and a configuration directory for commands."""
    queue, etc = tmp_path / "q", tmp_path / "etc"
    for name in FOLDERS:
        (queue / name).mkdir(parents=True)
    etc.mkdir()
    (etc / "main.cf").write_text(
        f"queue_directory = {queue}\nmyhostname = host.example.com\nmaillog_file = /dev/null\n"
    )
    (etc / "master.cf").write_text("")
    monkeypatch.setenv("MAIL_CONFIG", str(etc))
    monkeypatch.chdir(queue)
    return queue


def run(case: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(case(), 30))  # type: ignore[arg-type]


def test_from_notice_to_removal(queue: Path) -> None:
    async def case() -> None:
        async with house_at(queue) as house:
            queue_id = await house.letter("a@gone.example", "b@gone.example")
            await house.removed(queue_id)
            sent = [line for line in house.lines if "status=sent (silently)" in line]
            assert len(sent) == 2
            assert f"{queue_id}: from=<s@sender.example>, size=20, nrcpt=2 (queue active)" in house.lines

    run(case)


def test_mail_that_nobody_told_of_is_found_at_the_start_and_by_a_scan(queue: Path) -> None:
    async def case() -> None:
        async with house_at(queue) as house:
            _, silent = await house.commit("a@gone.example")
            await house.qmgr.triggered(b"I")
            await house.removed(silent.queue_id)
            await house.qmgr.stop()
            _, missed = await house.commit("a@gone.example")
            await house.start_qmgr()
            await house.removed(missed.queue_id)
            assert house.lines.count(f"{silent.queue_id}: removed") == 1

    run(case)


def test_deferred_mail_survives_a_restart_and_goes_out_on_a_flush(queue: Path) -> None:
    async def case() -> None:
        async with house_at(queue) as house:
            queue_id = await house.put_off("a@later.example", "b@gone.example")
            await house.qmgr.stop()
            house.conf = Config.for_test(transport_maps="static:{discard:silently}", queue_directory=str(queue))
            await house.start_qmgr()
            await house.until(lambda: len(house.qmgr._queue.deferred) == 1, "scan")
            assert f"{queue_id}: removed" not in house.lines
            await house.qmgr.triggered(QMGR_FLUSH)
            await house.removed(queue_id)
            assert [line for line in house.lines if "to=<b@gone.example>" in line and "status=sent" in line][1:] == []
            await house.qmgr.triggered(QMGR_FLUSH)
            await house.qmgr._keeper.sync()
            assert house.in_queue("deferred") == []
            assert house.lines.count(f"{queue_id}: removed") == 1

    run(case)


def test_a_flush_that_is_under_way_goes_on_after_a_restart(queue: Path) -> None:
    async def case() -> None:
        async with house_at(queue) as house:
            queue_id = await house.put_off("a@later.example")
            backlog = house.qmgr._queue.deferred
            assert backlog.make_due([queue_id], 1.0) == 1  # asked for, and not taken up before the end
            await house.qmgr.stop()
            house.conf = Config.for_test(transport_maps="static:{discard:silently}", queue_directory=str(queue))
            await house.start_qmgr()
            await house.removed(queue_id)

    run(case)


def test_an_undeliverable_message_is_reported_and_goes(queue: Path) -> None:
    async def case() -> None:
        async with house_at(queue) as house:
            queue_id = await house.letter("a@bad.example", "b@gone.example")
            await house.removed(queue_id)
            ((kind, results),) = house.reports
            assert kind == "bounce"
            assert [(index, each.dsn, each.text) for index, each in results.items()] == [(0, "5.7.9", "go away")]

    run(case)


def test_a_transport_without_a_service_puts_off(queue: Path) -> None:
    async def case() -> None:
        async with house_at(queue) as house:
            await house.put_off("a@away.example")
            assert "warning: connect to transport private/nosuch: No such file or directory" in house.lines
            assert any("(mail transport unavailable)" in line for line in house.lines)

    run(case)


def test_only_one_works_the_spool(queue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("estafeta.daemons.qmgr.service.LOCK_PATIENCE", 0.1)

    async def case() -> None:
        async with house_at(queue) as house:
            second = QmgrService(house.context("qmgr"))
            await second.open()
            with pytest.raises(RuntimeError, match="held by another process"):
                await second.start()

    run(case)


def test_the_queue_is_listed_while_qmgr_runs_and_while_it_does_not(queue: Path) -> None:
    async def case() -> None:
        async with house_at(queue) as house:
            assert await house.command("mailq") == (0, "Mail queue is empty\n", "")
            queue_id = await house.put_off("a@later.example", "b@gone.example", "c@later.example")
            _, out, _ = await house.command("postqueue", "-p")
            lines = out.splitlines()
            assert lines[0] == "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"
            assert lines[1].startswith(f"{queue_id:<11}      20 {time.strftime('%a %b')}")
            assert lines[1].endswith("  s@sender.example")
            assert lines[2:] == [
                " " * 71 + "(later)",
                " " * 41 + "a@later.example",
                " " * 41 + "c@later.example",
                "",
                "-- 0 Kbytes in 1 Request.",
            ]
            await house.qmgr.stop()
            os.unlink("public/showq")
            os.unlink("private/qmgr-control")
            _, missed = await house.commit("d@gone.example")
            status, out, err = await house.command("postqueue", "-j")
            assert status == 0
            assert "postqueue: warning: Mail system is down -- accessing queue directly" in err
            shown = [msgspec.json.decode(line) for line in out.splitlines()]
            assert [(each["queue_name"], each["queue_id"]) for each in shown] == [
                ("incoming", missed.queue_id),
                ("deferred", queue_id),
            ]
            assert shown[1]["recipients"] == [
                {"address": "a@later.example", "delay_reason": "later"},
                {"address": "c@later.example", "delay_reason": "later"},
            ]
            await house.start_qmgr()

    run(case)


def test_postsuper_and_postqueue_change_what_qmgr_holds(queue: Path) -> None:
    async def case() -> None:
        async with house_at(queue) as house:
            first = await house.put_off("a@later.example")
            second = await house.put_off("b@later.example")
            third = await house.put_off("c@later.example")
            _, _, err = await house.command("postsuper", "-h", first)
            assert err == f"postsuper: {first}: placed on hold\npostsuper: Placed on hold: 1 message\n"
            assert house.in_queue("hold") == [first]
            _, _, err = await house.command("postsuper", "-d", second, "-d", "NOSUCH", "-d", "a/b")
            assert err == (
                "postsuper: warning: invalid mail queue id: a/b\n"
                f"postsuper: {second}: removed\npostsuper: Deleted: 1 message\n"
            )
            _, _, err = await house.command("postsuper", "-H", "ALL")
            assert err == "postsuper: Released from hold: 1 message\n"
            await house.until(lambda: house.in_queue("hold") == [], "release")
            await house.until(lambda: first in house.qmgr._queue.deferred, "another attempt")
            before = len(house.lines)
            assert (await ask_async(Control(FLUSH, [third]))).queue_ids == [third]  # as flush(8) does
            await house.until(lambda: any(third in line for line in house.lines[before:]), "flush of one message")
            await house.until(lambda: not house.qmgr._queue.active, "attempt")
            _, _, err = await house.command("postsuper", "-d", "ALL")
            assert err == "postsuper: Deleted: 2 messages\n"
            await house.qmgr._keeper.sync()
            assert house.in_queue("deferred") == []

    run(case)


def test_what_was_deleted_and_is_put_back_under_its_name_is_queued_again(queue: Path) -> None:
    """As from a copy that was made before: it is not taken for the file that is about to be removed."""

    async def case() -> None:
        async with house_at(queue) as house:
            queue_id = await house.put_off("a@later.example")
            (path,) = [each for each in (queue / "deferred").rglob(queue_id) if each.is_file()]
            copy = path.read_bytes()
            _, _, err = await house.command("postsuper", "-d", queue_id)
            assert err == f"postsuper: {queue_id}: removed\npostsuper: Deleted: 1 message\n"
            assert not path.exists()
            path.write_bytes(copy)
            await house.qmgr.triggered(b"I")
            assert queue_id in house.qmgr._queue.deferred or queue_id in house.qmgr._queue.active
            await house.until(lambda: not house.qmgr._queue.active, "attempt")
            _, _, err = await house.command("postsuper", "-d", queue_id)
            assert err == f"postsuper: {queue_id}: removed\npostsuper: Deleted: 1 message\n"

    run(case)


def test_a_copy_under_another_name_is_a_message_of_its_own(queue: Path) -> None:
    """The name counts, not what the envelope says, so that the two do not mix."""

    async def case() -> None:
        async with house_at(queue) as house:
            queue_id = await house.put_off("a@later.example")
            (path,) = [each for each in (queue / "deferred").rglob(queue_id) if each.is_file()]
            for name in ("ABCDEF0123", "ABCDEF0124"):
                (path.parent / name).write_bytes(path.read_bytes())
            _, _, err = await house.command("postsuper", "-h", "ABCDEF0123")
            assert err == "postsuper: ABCDEF0123: placed on hold\npostsuper: Placed on hold: 1 message\n"
            assert (house.in_queue("hold"), queue_id in house.in_queue("deferred")) == (["ABCDEF0123"], True)
            _, out, _ = await house.command("mailq")
            assert sorted(re.findall(r"^(\w+)[ !*].*s@", out, re.MULTILINE)) == sorted(
                [queue_id, "ABCDEF0123", "ABCDEF0124"]
            ), out
            _, _, err = await house.command("postsuper", "-r", "ALL")
            assert err == "postsuper: Requeued: 3 messages\n"
            await house.until(lambda: not house.qmgr._queue.active, "requeueing")
            assert not [line for line in house.lines if "error" in line]

    run(case)


def test_postsuper_without_qmgr(queue: Path) -> None:
    async def case() -> None:
        async with house_at(queue) as house:
            deferred = await house.put_off("a@later.example")
            await house.qmgr.stop()
            os.unlink("private/qmgr-control")
            _, missed = await house.commit("d@gone.example")
            _, _, err = await house.command("postsuper", "-h", "ALL")
            assert err == "postsuper: Placed on hold: 2 messages\n"
            assert house.in_queue("hold") == sorted([deferred, missed.queue_id])
            await house.command("postsuper", "-d", deferred)
            await house.command("postsuper", "-H", missed.queue_id)
            assert house.in_queue("hold") == []
            await house.start_qmgr()
            await house.removed(missed.queue_id)

    run(case)


def test_postcat_shows_what_is_queued(queue: Path) -> None:
    async def case() -> None:
        async with house_at(queue) as house:
            queue_id = await house.put_off("a@later.example")
            path = os.path.relpath(next((queue / "deferred").rglob(queue_id)), queue)
            _, out, _ = await house.command("postcat", "-q", queue_id)
            lines = out.splitlines()
            assert lines[0] == f"*** ENVELOPE RECORDS {path} ***"
            assert "sender: s@sender.example" in lines
            assert "recipient: a@later.example" in lines
            assert lines[-6:] == [
                f"*** MESSAGE CONTENTS {path} ***",
                "Subject: x",
                "",
                "hello",
                f"*** HEADER EXTRACTED {path} ***",
                f"*** MESSAGE FILE END {path} ***",
            ]
            assert await house.command("postcat", "-qh", queue_id) == (0, "Subject: x\n", "")
            assert await house.command("postcat", "-qb", queue_id) == (0, "\nhello\n", "")
            assert await house.command("postcat", "-bh", path) == (0, "Subject: x\n\nhello\n", "")
            _, _, err = await house.command("postcat", "/etc/passwd")
            assert err == "postcat: warning: /etc/passwd: input is not a valid queue file\n"
            status, _, err = await house.command("postcat", "-q", "NOSUCH")
            assert (status, err) == (1, "postcat: fatal: open queue file NOSUCH: No such file or directory\n")
            _, missed = await house.commit("d@gone.example")
            assert await house.command("postcat", "-qbh", missed.queue_id) == (0, "Subject: x\n\nhello\n", "")

    run(case)


def test_writers_hear_when_the_active_queue_is_full_and_when_it_has_room(queue: Path) -> None:
    async def case() -> None:
        async with house_at(queue, qmgr_message_active_limit="1") as house:
            # An agent that accepts connections and takes nothing.
            agents: list[Frames] = []

            def agent() -> Frames:
                agents.append(Frames(lambda payload: None))
                return agents[-1]

            slow = await asyncio.get_running_loop().create_unix_server(agent, "private/nosuch")
            said: list[bytes] = []
            writer = await connect(notice.SOCKET, said.append)
            await house.letter("a@away.example")
            await house.until(lambda: len(house.qmgr._queue.active) == 1, "the first message")
            await house.until(lambda: bool(agents), "the connection to the agent")
            assert said == []
            waiting = await house.letter("b@gone.example")
            await house.until(lambda: said == [notice.FULL], "that it is full")
            late: list[bytes] = []
            second = await connect(notice.SOCKET, late.append)
            await house.until(lambda: late == [notice.FULL], "that it is full, to one who comes later")
            slow.close()
            os.unlink("private/nosuch")
            for each in agents:
                each.close()
            await house.removed(waiting)
            await house.until(lambda: said == late == [notice.FULL, notice.ROOM], "that there is room")
            writer.close()
            second.close()

    run(case)
