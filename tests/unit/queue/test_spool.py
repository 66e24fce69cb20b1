"""Commit, read again, recover: the durability promises of the spool, one test each."""

import asyncio
import errno
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from estafeta.base import log
from estafeta.mail.envelope import Envelope, Recipient, Told, Trouble, encode
from estafeta.queue import journal as journals
from estafeta.queue import record
from estafeta.queue.ids import QueueIds
from estafeta.queue.keeper import Found, Keeper, SpoolBusy
from estafeta.queue.place import Place
from estafeta.queue.record import HEADER_SIZE, Damaged
from estafeta.queue.spool import MessageGone, Reader, Spool, SpoolError

HEAD = b"Subject: test\r\n\r\n"


def envelope_of(queue_id: str, recipients: int = 1) -> Envelope:
    names = [Recipient(f"user{number}@example.org") for number in range(recipients)]
    return Envelope(queue_id, 1_700_000_000.25, "sender@example.org", names, size=100)


async def commit(spool: Spool, body: bytes = b"Hello\r\n", recipients: int = 1) -> tuple[str, Place]:
    queue_id = spool.new_id(1_700_000_000.25)
    return queue_id, await spool.commit(envelope_of(queue_id, recipients), HEAD, (body,))


async def recovered(keeper: Keeper) -> list[Found]:
    return [found async for found in keeper.recover()]


def journal_files(directory: str) -> list[Path]:
    return sorted(Path(directory, "incoming").glob("*.journal"))


def test_what_was_committed_can_be_read_by_place(queue_directory: str) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        queue_id, place = await commit(spool, b"body\r\n")
        reader = Reader(directory=queue_directory)
        assert reader.head(place) == HEAD
        assert reader.body(place) == b"body\r\n"
        assert reader.content(place) == HEAD + b"body\r\n"
        assert b"".join(reader.pieces(place, 3)) == HEAD + b"body\r\n"
        assert reader.envelope(place).queue_id == queue_id
        await spool.stop()

    asyncio.run(story())


def test_several_threads_share_a_reader_of_more_segments_than_it_keeps_open(tmp_path: Path) -> None:
    places = []
    for number in range(3 * Reader.OPEN_SEGMENTS):
        text = f"{number:04}".encode()
        (tmp_path / f"{text.decode()}.journal").write_bytes(bytes(HEADER_SIZE) + text)
        places.append((Place(f"{text.decode()}.journal", 0, 4, 0, 0), text))
    reader = Reader(directory=str(tmp_path))

    def read(turn: int) -> bool:
        return all(reader.head(place) == text for place, text in places[turn % 7 :: 1 + turn % 3])

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(read, range(200)))
    finally:
        sys.setswitchinterval(before)
    reader.close()


def test_messages_of_one_moment_share_one_sync(queue_directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = []
    real = os.fdatasync
    monkeypatch.setattr(journals.os, "fdatasync", lambda fd: (syncs.append(fd), real(fd)))

    async def story() -> None:
        spool = Spool(directory=queue_directory)
        await commit(spool)
        syncs.clear()
        await asyncio.gather(*(commit(spool, b"x" * number) for number in range(50)))
        assert len(syncs) <= 2
        await spool.stop()

    asyncio.run(story())


def test_a_failed_write_refuses_the_batch_and_the_next_one_gets_a_new_segment(
    queue_directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    before = log.install(lambda level, text, program: lines.append(text))
    real = journals.write_all

    def full(fd: int, buffers: list[bytes]) -> int:
        real(fd, [b"half"])
        raise OSError(errno.ENOSPC, "No space left on device")

    async def story() -> None:
        spool = Spool(directory=queue_directory)
        await commit(spool, b"first\r\n")
        monkeypatch.setattr(journals, "write_all", full)
        with pytest.raises(SpoolError):
            await commit(spool, b"second\r\n")
        monkeypatch.setattr(journals, "write_all", real)
        await commit(spool, b"third\r\n")
        await spool.stop()
        assert len(journal_files(queue_directory)) == 2
        keeper = Keeper(directory=queue_directory)
        keeper.lock()
        bodies = {Reader(directory=queue_directory).body(found.place) for found in await recovered(keeper)}
        assert bodies == {b"first\r\n", b"third\r\n"}
        await keeper.close()

    asyncio.run(story())
    log.install(before)
    assert any("No space left on device" in line for line in lines)


def test_a_segment_goes_when_it_is_sealed_and_every_record_is_released(queue_directory: str) -> None:
    async def story() -> None:
        sealed: list[tuple[str, int]] = []
        spool = Spool(directory=queue_directory, sealed=lambda path, records: sealed.append((path, records)))
        keeper = Keeper(directory=queue_directory, sync_interval=60)
        keeper.lock()
        places = [await commit(spool) for _ in range(3)]
        for _, place in places:
            assert keeper.arrived(place)
        for queue_id, place in places[:2]:
            keeper.release(place, queue_id)
        await spool.stop()
        await asyncio.sleep(0)
        keeper.sealed(*sealed[0])
        await keeper.sync()
        assert len(journal_files(queue_directory)) == 1
        keeper.release(places[2][1], places[2][0])
        await keeper.sync()
        assert journal_files(queue_directory) == []
        assert not keeper.arrived(places[0][1]), "a notice that comes late must not bring the message back"
        await keeper.close()

    asyncio.run(story())


def test_recovery_gives_what_is_not_released_and_only_once(queue_directory: str) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        keeper = Keeper(directory=queue_directory)
        keeper.lock()
        places = [await commit(spool, recipients=3) for _ in range(4)]
        for _, place in places:
            keeper.arrived(place)
        keeper.release(places[0][1], places[0][0])
        keeper.done(places[1][0], [0, 2])
        keeper.failed(places[2][0], {1: Trouble("5.1.1", "no such user")})
        await keeper.close()
        await spool.stop()

        again = Keeper(directory=queue_directory)
        again.lock()
        found = {each.envelope.queue_id: each for each in await recovered(again)}
        assert set(found) == {queue_id for queue_id, _ in places[1:]}
        assert found[places[1][0]].envelope.done == [0, 2]
        assert found[places[2][0]].failed == {1: Trouble("5.1.1", "no such user")}
        assert await recovered(again) == []
        await again.close()

    asyncio.run(story())


def test_recovery_reads_a_segment_whose_writer_lives_and_whose_notices_were_lost(queue_directory: str) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        _, place = await commit(spool)
        keeper = Keeper(directory=queue_directory)
        keeper.lock()
        assert [found.place for found in await recovered(keeper)] == [place]
        _, later = await commit(spool)
        assert [found.place for found in await recovered(keeper)] == [later]
        keeper.release(place)
        keeper.release(later)
        await keeper.sync()
        assert len(journal_files(queue_directory)) == 1, "its writer may still add to it"
        await spool.stop()
        assert await recovered(keeper) == []
        await keeper.sync()
        assert journal_files(queue_directory) == []
        await keeper.close()

    asyncio.run(story())


@pytest.mark.parametrize("keep", [1, HEADER_SIZE - 1, HEADER_SIZE, HEADER_SIZE + 10])
def test_a_torn_tail_is_cut(queue_directory: str, keep: int) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        _, first = await commit(spool)
        _, second = await commit(spool)
        await spool.stop()
        os.truncate(journal_files(queue_directory)[0], second.offset + keep)
        keeper = Keeper(directory=queue_directory)
        keeper.lock()
        assert [found.place for found in await recovered(keeper)] == [first]
        assert os.listdir(Path(queue_directory, "corrupt")) == []
        await keeper.close()

    asyncio.run(story())


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_flipped_bit_sends_one_record_to_corrupt_and_spares_the_others(queue_directory: str, which: int) -> None:
    lines: list[str] = []
    before = log.install(lambda level, text, program: lines.append(text))

    async def story() -> None:
        spool = Spool(directory=queue_directory)
        places = [(await commit(spool))[1] for _ in range(3)]
        await spool.stop()
        path = journal_files(queue_directory)[0]
        data = bytearray(path.read_bytes())
        data[places[which].offset + HEADER_SIZE + 4] ^= 0x10
        path.write_bytes(data)
        keeper = Keeper(directory=queue_directory)
        keeper.lock()
        found = [each.place for each in await recovered(keeper)]
        assert found == [place for number, place in enumerate(places) if number != which]
        assert len(os.listdir(Path(queue_directory, "corrupt"))) == 1
        await keeper.close()

    asyncio.run(story())
    log.install(before)
    assert any("damaged" in line for line in lines)


def test_a_record_inside_a_damaged_message_is_not_believed(queue_directory: str) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        forged = b"".join(record.pack(record.MESSAGE, HEAD, (b"forged\r\n",), encode(envelope_of("FORGED"))))
        _, outer = await commit(spool, b"x\r\n" + forged)
        _, after = await commit(spool)
        await spool.stop()
        path = journal_files(queue_directory)[0]
        data = bytearray(path.read_bytes())
        data[outer.offset + HEADER_SIZE + 4] ^= 1
        path.write_bytes(data)
        keeper = Keeper(directory=queue_directory)
        keeper.lock()
        assert [found.place for found in await recovered(keeper)] == [after]
        await keeper.close()

    before = log.install(lambda level, text, program: None)
    asyncio.run(story())
    log.install(before)


def test_a_deferred_message_is_a_file_and_its_record_is_released(queue_directory: str) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        keeper = Keeper(directory=queue_directory)
        keeper.lock()
        committed = [await commit(spool, b"body\r\n", 2) for _ in range(12)]
        await spool.stop()
        found = await recovered(keeper)
        for each in found:
            each.envelope.attempt_after = 1_700_000_900.0
            each.envelope.done = [1]
            each.envelope.troubles = {0: Trouble("4.4.1", "connect to x: Connection refused")}
        moved = await keeper.defer([(each.place, each.envelope) for each in found])
        await keeper.sync()
        assert journal_files(queue_directory) == []
        listing = sorted(keeper.deferred())
        assert [name for name, _, _ in listing] == sorted(queue_id for queue_id, _ in committed)
        assert all(due == 1_700_000_900.0 for _, due, _ in listing)
        loaded = keeper.load(moved[0].path)
        assert loaded.envelope.done == [1]
        assert loaded.envelope.troubles[0].dsn == "4.4.1"
        assert Reader(directory=queue_directory).content(loaded.place) == HEAD + b"body\r\n"
        keeper.release(moved[0], loaded.envelope.queue_id)
        await keeper.sync()
        with pytest.raises(MessageGone):
            keeper.load(moved[0].path)
        await keeper.close()

    asyncio.run(story())


def test_what_the_sender_could_not_be_told_is_kept_with_a_deferred_message(queue_directory: str) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        keeper = Keeper(directory=queue_directory)
        keeper.lock()
        await commit(spool, b"body\r\n", 2)
        await spool.stop()
        (found,) = await recovered(keeper)
        sent = Told("sent", "2.0.0", "ok", action="relayed", relay="mx")
        found.envelope.done = [0]
        found.envelope.unreported = {0: sent, 1: Told("bounced", "5.1.1", "no", "mx.test", "550 no")}
        (place,) = await keeper.defer([(found.place, found.envelope)])
        await keeper.close()
        again = Keeper(directory=queue_directory)
        again.lock()
        loaded = again.load(place.path)
        assert loaded.failed == {1: Trouble("5.1.1", "no", "mx.test", "550 no")}
        assert loaded.heard == {0: sent}
        await again.close()

    asyncio.run(story())


def test_a_crash_between_the_move_and_the_release_leaves_one_message(queue_directory: str) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        keeper = Keeper(directory=queue_directory, sync_interval=60)
        keeper.lock()
        await commit(spool)
        await spool.stop()
        (found,) = await recovered(keeper)
        copy = journal_files(queue_directory)[0].read_bytes()
        (place,) = await keeper.defer([(found.place, found.envelope)])
        await keeper.close()
        Path(queue_directory, found.place.path).write_bytes(copy)

        again = Keeper(directory=queue_directory)
        again.lock()
        assert await recovered(again) == []
        assert [path for _, _, path in again.deferred()] == [place.path]
        await again.close()
        assert journal_files(queue_directory) == []

    asyncio.run(story())


def test_a_message_put_off_again_is_amended_and_a_torn_amendment_does_not_hide_later_ones(queue_directory: str) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        keeper = Keeper(directory=queue_directory)
        keeper.lock()
        await commit(spool)
        await spool.stop()
        (found,) = await recovered(keeper)
        (place,) = await keeper.defer([(found.place, found.envelope)])
        full = Path(queue_directory, place.path)
        for attempt in range(1, 4):
            found.envelope.attempts = attempt
            size = full.stat().st_size
            (place,) = await keeper.defer([(place, found.envelope)])
            assert keeper.load(place.path).envelope.attempts == attempt
            os.truncate(full, full.stat().st_size - 1)
            assert keeper.load(place.path).envelope.attempts == attempt - 1
            (place,) = await keeper.defer([(place, found.envelope)])
            assert full.stat().st_size - size < 400
        await keeper.close()

    asyncio.run(story())


def test_many_amendments_are_folded_into_a_new_file(queue_directory: str) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        keeper = Keeper(directory=queue_directory)
        keeper.lock()
        await commit(spool, recipients=200)
        await spool.stop()
        (found,) = await recovered(keeper)
        place = found.place
        for attempt in range(60):
            found.envelope.attempts = attempt
            (place,) = await keeper.defer([(place, found.envelope)])
        assert Path(queue_directory, place.path).stat().st_size < 150_000
        assert keeper.load(place.path).envelope.attempts == 59
        assert Reader(directory=queue_directory).body(place) == b"Hello\r\n"
        await keeper.close()

    asyncio.run(story())


def test_hold_and_release(queue_directory: str) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        keeper = Keeper(directory=queue_directory)
        keeper.lock()
        queue_id, _ = await commit(spool)
        await spool.stop()
        (found,) = await recovered(keeper)
        (place,) = await keeper.hold([(found.place, found.envelope)])
        assert place.path == f"hold/{queue_id}"
        (place,) = await keeper.unhold([(place, found.envelope)])
        assert place.path == f"deferred/{queue_id[0]}/{queue_id}"
        assert list(keeper.held()) == []
        assert keeper.find("deferred", queue_id) == place.path
        await keeper.close()

    asyncio.run(story())


def test_a_large_message_is_a_file_of_its_own(queue_directory: str) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        queue_id = spool.new_id(1.5)
        message = await spool.begin_large(queue_id, HEAD)
        for _ in range(20):
            await message.write(b"0123456789\r\n" * 1000)
        assert os.listdir(Path(queue_directory, "incoming")) != [queue_id]
        place = await message.finish(envelope_of(queue_id))
        assert place.path == f"incoming/{queue_id}"
        keeper = Keeper(directory=queue_directory)
        keeper.lock()
        (found,) = await recovered(keeper)
        assert found.place == place
        assert not keeper.arrived(place)
        (moved,) = await keeper.defer([(place, found.envelope)])
        assert moved.path.startswith("deferred/")
        assert not Path(queue_directory, place.path).exists()
        assert len(Reader(directory=queue_directory).content(moved)) == len(HEAD) + 240_000
        await spool.stop()
        await keeper.close()

    asyncio.run(story())


def test_an_abandoned_large_message_leaves_nothing(queue_directory: str) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        message = await spool.begin_large(spool.new_id(1.5), HEAD)
        await message.write(b"x")
        await message.abandon()
        assert os.listdir(Path(queue_directory, "incoming")) == ["serial"]
        await spool.stop()

    asyncio.run(story())


def test_a_large_message_that_cannot_begin_leaves_nothing(
    queue_directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, buffers: object) -> None:
        raise OSError(28, "No space left on device")

    async def story() -> None:
        spool = Spool(directory=queue_directory)
        queue_id = spool.new_id(1.5)
        monkeypatch.setattr("estafeta.queue.spool.write_all", full)
        with pytest.raises(SpoolError):
            await spool.begin_large(queue_id, HEAD)
        assert os.listdir(Path(queue_directory, "incoming")) == ["serial"]
        await spool.stop()

    asyncio.run(story())


def test_opened_content_can_be_read_after_the_file_is_gone(queue_directory: str) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        queue_id = spool.new_id(1.5)
        message = await spool.begin_large(queue_id, HEAD)
        await message.write(b"x\r\n" * 1000)
        place = await message.finish(envelope_of(queue_id))
        content = Reader(directory=queue_directory).opened(place)
        os.unlink(Path(queue_directory, place.path))
        assert [b"".join(content(100)) for _ in range(2)] == [HEAD + b"x\r\n" * 1000] * 2
        await spool.stop()

    asyncio.run(story())


def test_a_damaged_message_file_is_refused(queue_directory: str) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        keeper = Keeper(directory=queue_directory)
        keeper.lock()
        await commit(spool)
        await spool.stop()
        (found,) = await recovered(keeper)
        (place,) = await keeper.defer([(found.place, found.envelope)])
        full = Path(queue_directory, place.path)
        data = bytearray(full.read_bytes())
        data[HEADER_SIZE + 2] ^= 1
        full.write_bytes(data)
        with pytest.raises(Damaged):
            keeper.load(place.path)
        await keeper.close()

    asyncio.run(story())


def test_queue_files_of_postfix_are_left_alone_with_one_warning_each(queue_directory: str) -> None:
    lines: list[str] = []
    before = log.install(lambda level, text, program: lines.append(text))
    places = ["incoming/AA11", "active/AA22", "deferred/A/AA33", "hold/AA44"]
    for place in places:
        path = Path(queue_directory, place)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"CO             100             200               1")

    async def story() -> None:
        keeper = Keeper(directory=queue_directory)
        keeper.lock()
        for _ in range(2):
            assert await recovered(keeper) == []
            for _, _, path in [*keeper.deferred(), *keeper.held()]:
                with pytest.raises(MessageGone):
                    keeper.load(path)
        await keeper.close()

    asyncio.run(story())
    log.install(before)
    assert all(Path(queue_directory, place).exists() for place in places)
    assert sorted(line.partition(":")[0] for line in lines) == sorted(places)


def test_a_spool_that_cannot_be_taken_now_can_be_taken_later(
    queue_directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        keeper = Keeper(directory=queue_directory)
        with monkeypatch.context() as full:
            full.setattr("estafeta.queue.progress.write_all", refuse)
            with pytest.raises(SpoolError):
                keeper.lock()
        keeper.lock()
        await keeper.close()

    asyncio.run(story())


def test_a_sync_that_fails_refuses_the_message_and_leaves_no_trace_of_it(
    queue_directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EIO from fdatasync: the bytes may or may not be on the disk, so they are cut off and the client is told 451."""

    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async def story() -> None:
        spool = Spool(directory=queue_directory)
        _, first = await commit(spool)
        with monkeypatch.context() as disk:
            disk.setattr(journals.os, "fdatasync", broken)
            with pytest.raises(SpoolError) as caught:
                await commit(spool)
        assert caught.value.errno == errno.EIO
        _, third = await commit(spool)
        assert third.path != first.path, "nothing is appended to a segment that failed"
        await spool.stop()
        keeper = Keeper(directory=queue_directory)
        keeper.lock()
        assert {found.place for found in await recovered(keeper)} == {first, third}
        await keeper.close()

    before = log.install(lambda level, text, program: None)
    asyncio.run(story())
    log.install(before)


def test_a_segment_that_cannot_be_begun_leaves_nothing(queue_directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        spool = Spool(directory=queue_directory)
        with monkeypatch.context() as full:
            full.setattr(journals, "fsync_folder", refuse)
            with pytest.raises(SpoolError):
                await commit(spool)
        assert os.listdir(Path(queue_directory, "incoming")) == ["serial"]
        await commit(spool)
        await spool.stop()

    asyncio.run(story())


def refuse(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_only_one_process_works_a_queue(queue_directory: str) -> None:
    async def story() -> None:
        first, second = Keeper(directory=queue_directory), Keeper(directory=queue_directory)
        first.lock()
        with pytest.raises(SpoolBusy):
            second.lock()
        await first.close()
        second.lock()
        await second.close()

    asyncio.run(story())


def test_queue_ids_do_not_repeat_across_processes(queue_directory: str) -> None:
    makers = [QueueIds(directory=queue_directory) for _ in range(3)]
    ids = [maker.next(1_700_000_000.5) for _ in range(5000) for maker in makers]
    assert len(set(ids)) == len(ids)
    assert all(len(queue_id) >= 9 and queue_id.isalnum() and queue_id == queue_id.upper() for queue_id in ids)


def test_long_queue_ids_tell_the_time_and_have_no_vowels(queue_directory: str) -> None:
    queue_id = QueueIds(directory=queue_directory, long_ids=True).next(1_700_000_000.5)
    assert queue_id[10] == "z"
    assert not set(queue_id) & set("AEIOUaeiou")
