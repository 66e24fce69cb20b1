"""What a person, another program or the disk has done to the queue: one bad file keeps no other mail waiting."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from estafeta.base import log
from estafeta.mail.envelope import Envelope, Recipient
from estafeta.queue import handover, record, scan
from estafeta.queue.files import SYNCFS_FROM, MessageFiles
from estafeta.queue.handover import HandoverWriter, Kept
from estafeta.queue.ids import take_serial
from estafeta.queue.keeper import Keeper
from estafeta.queue.place import Place
from estafeta.queue.record import Damaged
from estafeta.queue.spool import Spool, SpoolError

HEAD = b"Subject: test\r\n\r\n"
NOBODY = 65534


def envelope_of(queue_id: str) -> Envelope:
    return Envelope(queue_id, 1_700_000_000.0, "s@example.org", [Recipient("r@example.org")])


@pytest.fixture
def lines(queue_directory: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The log. The queue is the working directory."""
    monkeypatch.chdir(queue_directory)
    said: list[str] = []
    before = log.install(lambda level, text, program=None: said.append(text))
    yield said
    log.install(before)


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """File rights count, also where root runs the tests."""
    if os.geteuid() != 0:
        yield
        return
    for folder, names, files in os.walk("."):
        for each in [folder, *(os.path.join(folder, name) for name in [*names, *files])]:
            os.chown(each, NOBODY, -1, follow_symlinks=False)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


async def commit(count: int, *, each_its_own: bool = False) -> list[tuple[Place, Envelope]]:
    spool = Spool(segment_size=1 if each_its_own else 1 << 20)
    stored = []
    for _ in range(count):
        envelope = envelope_of(spool.new_id(1_700_000_000.0))
        stored.append((await spool.commit(envelope, HEAD, (b"x" * 200 + b"\r\n",)), envelope))
    await spool.stop()
    return stored


async def found_ids(keeper: Keeper) -> set[str]:
    return {found.envelope.queue_id async for found in keeper.recover()}


def test_a_file_of_another_owner_keeps_no_other_mail_in_incoming_waiting(lines: list[str]) -> None:
    async def story() -> None:
        stored = await commit(3, each_its_own=True)
        paths = [place.path for place, _ in stored]
        ids = [envelope.queue_id for _, envelope in stored]
        large = await (spool := Spool()).begin_large("AB12", HEAD)
        await large.finish(envelope_of("AB12"))
        await spool.stop()
        shutil.copy("incoming/AB12", "incoming/AB11")
        Path("incoming/0.tmp").write_bytes(b"")
        for path in (paths[0], "incoming/AB11", "incoming/0.tmp"):
            Path(path).chmod(0)
        Path("incoming/0000.journal").mkdir()
        Path("incoming/AB10").mkdir()
        os.symlink("nowhere", "incoming/AB09")
        os.mkfifo("incoming/AB08")
        with ordinary_user():
            keeper = Keeper()
            keeper.lock()
            assert await found_ids(keeper) == {*ids[1:], "AB12"}
            for path in (paths[0], "incoming/AB11", "incoming/0.tmp"):
                assert any(f"{path}: Permission denied" in line for line in lines)
            # Once the admin has put it right, it is found without a restart.
            Path(paths[0]).chmod(0o600)
            assert await found_ids(keeper) == {ids[0]}
            await keeper.close()

    asyncio.run(story())


def test_a_folder_that_cannot_be_read_hides_only_what_is_in_it(lines: list[str]) -> None:
    for name in ("A", "B", "C"):
        os.makedirs(f"deferred/{name}")
        Path(f"deferred/{name}/{name}1").write_bytes(b"")
    Path("deferred/B").chmod(0)
    with ordinary_user():
        files = MessageFiles(directory=".", hash_names=("deferred",), hash_depth=1)
        assert {path for _, _, path in files.listing("deferred")} == {"deferred/A/A1", "deferred/C/C1"}
        assert any("deferred/B: Permission denied" in line for line in lines)
        Path("deferred").chmod(0)
        with pytest.raises(PermissionError):
            list(files.listing("deferred"))
    Path("deferred").chmod(0o700)
    Path("deferred/B").chmod(0o700)


def test_a_file_that_cannot_be_removed_keeps_no_other(lines: list[str]) -> None:
    async def story() -> None:
        os.makedirs("deferred/A/A1")  # what nobody can unlink
        Path("deferred/A/A2").write_bytes(b"")
        keeper = Keeper()
        keeper.lock()
        for name in ("A1", "A2"):
            keeper.release(Place(f"deferred/A/{name}", 0, 0, 0, 0), name)
        keeper.done("B1", [0])
        assert await keeper.sync() == ["deferred/A/A1"]
        assert not os.path.exists("deferred/A/A2")
        assert any(line.startswith("remove deferred/A/A1: ") for line in lines)
        Path("deferred/A/A1").rmdir()
        Path("deferred/A/A1").write_bytes(b"")
        assert await keeper.sync() == []
        assert not os.path.exists("deferred/A/A1")
        await keeper.close()

    asyncio.run(story())


@pytest.mark.parametrize("state", ["lost", "damaged", "empty"])
def test_a_serial_number_does_not_come_again_when_its_file_is_lost(lines: list[str], state: str) -> None:
    async def story() -> None:
        first = await commit(1)
        if state == "lost":
            os.unlink("incoming/serial")
        else:
            Path("incoming/serial").write_bytes(b"\0" * 21 if state == "damaged" else b"")
        second = await commit(1)
        keeper = Keeper()
        keeper.lock()
        assert await found_ids(keeper) == {envelope.queue_id for _, envelope in first + second}
        await keeper.close()

    asyncio.run(story())


def test_numbers_begin_with_one_in_a_new_queue_only(lines: list[str]) -> None:
    assert take_serial() == 1
    Path("active/00000000000A.progress").write_bytes(b"")
    os.unlink("incoming/serial")
    assert take_serial() > 0xA


def test_a_batch_may_be_larger_than_what_a_process_may_have_open(lines: list[str]) -> None:
    async def story() -> None:
        stored = await commit(100)
        files = MessageFiles(directory=".", hash_names=("deferred",), hash_depth=1)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 30, hard))
        try:
            assert len(files.store("deferred", stored)) == 100
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    asyncio.run(story())


@pytest.mark.parametrize("count", [1, SYNCFS_FROM])
def test_a_disk_that_refuses_leaves_no_draft_and_no_open_file(lines: list[str], count: int) -> None:
    async def story() -> None:
        stored = await commit(count)
        files = MessageFiles(directory=".", hash_names=("deferred",), hash_depth=1)
        before = len(os.listdir("/proc/self/fd"))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                files.store("deferred", stored)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        os.truncate(stored[-1][0].path, stored[-1][0].offset + 40)
        with pytest.raises(Damaged):
            files.store("deferred", stored)
        assert not [name for _, _, names in os.walk("deferred") for name in names]
        # One more: the journal that the reader keeps open.
        assert len(os.listdir("/proc/self/fd")) <= before + 1

    asyncio.run(story())


def test_a_start_that_the_disk_refused_does_not_count_a_handover_twice(
    lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        [(place, envelope)] = await commit(1)
        writer = HandoverWriter({envelope.queue_id: Kept(place, [0])})
        keeper = Keeper()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
        try:
            with pytest.raises(SpoolError):
                keeper.lock()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        keeper.lock()
        [away] = keeper.load_away()
        assert away.out == [0]
        writer.close()
        [back] = await keeper.returned()
        assert (back.recipients, back.last) == ([0], True)
        await keeper.close()

    asyncio.run(story())
    assert handover.find(".") == []


def test_litter_that_is_no_litter_of_ours_is_left_alone(lines: list[str]) -> None:
    Path("incoming/old.part").mkdir()
    os.utime("incoming/old.part", (1, 1))
    Path("incoming/x.part").write_bytes(b"")
    os.utime("incoming/x.part", (1, 1))
    _, _, drafts = scan.incoming(".")
    assert drafts == ["incoming/x.part"]
    scan.remove_litter(".", drafts)
    assert os.listdir("incoming") == ["old.part"]


def test_a_large_message_that_is_being_removed_is_not_found_anew(lines: list[str]) -> None:
    async def story() -> None:
        large = await (spool := Spool()).begin_large("AB12", HEAD)
        place = await large.finish(envelope_of("AB12"))
        await spool.stop()
        keeper = Keeper()
        keeper.lock()
        assert await found_ids(keeper) == {"AB12"}
        keeper.release(place, "AB12")
        gate = threading.Event()
        keeper._thread.submit(gate.wait)
        removing = asyncio.ensure_future(keeper.sync())
        await asyncio.sleep(0)
        # A scan whose turn in the thread comes before that of the removal.
        found = keeper._recover_large(place.path)
        gate.set()
        assert found == []
        await removing
        assert not os.path.exists(place.path)
        await keeper.close()

    asyncio.run(story())


def test_a_large_message_that_is_refused_for_want_of_open_files_is_not_delivered(lines: list[str]) -> None:
    async def story() -> None:
        large = await (spool := Spool()).begin_large("AB12", HEAD)
        await large.write(b"x\r\n")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        held: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 5, hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.open(".", os.O_RDONLY))
            with pytest.raises(SpoolError, match="Too many open files"):
                await large.finish(envelope_of("AB12"))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for each in held:
                os.close(each)
        await large.abandon()
        await spool.stop()
        assert [name for name in os.listdir("incoming") if name != "serial"] == []

    asyncio.run(story())


def test_an_envelope_that_cannot_be_read_takes_no_other_message_of_its_journal_along(lines: list[str]) -> None:
    async def story() -> None:
        [(first, envelope)] = await commit(1)
        data = Path(first.path).read_bytes()[
            : first.offset + record.HEADER_SIZE + first.head + first.body + first.envelope
        ]
        odd = b"".join(record.pack(record.MESSAGE, HEAD, [b"y"], b"\xc1"))
        Path(first.path).write_bytes(odd + data)
        keeper = Keeper()
        keeper.lock()
        assert await found_ids(keeper) == {envelope.queue_id}
        assert [Path("corrupt", name).read_bytes() for name in os.listdir("corrupt")] == [odd]
        await keeper.close()

    asyncio.run(story())
