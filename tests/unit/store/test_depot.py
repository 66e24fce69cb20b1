"""The depot: what is durable when, and what a failure leaves behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from estafeta.store import depot as depots
from estafeta.store import maildir
from estafeta.store.depot import Depot
from estafeta.store.identity import Identity, NotAllowed
from estafeta.store.problem import MailboxProblem

ME = {"uid": os.geteuid(), "gid": os.getegid()}
Scene = Callable[[Depot], Awaitable[None]]


def play(scene: Scene, **how: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(20):
            depot = Depot(**how)
            try:
                await scene(depot)
            finally:
                await depot.close()

    asyncio.run(run())


def text(data: bytes = b"text\n") -> Callable[[], list[bytes]]:
    return lambda: [data]


def test_many_deliveries_at_once_all_arrive_once(tmp_path: Path) -> None:
    async def scene(depot: Depot) -> None:
        work = [depot.put(f"{tmp_path}/{number % 3}/", text(b"%d\n" % number), **ME) for number in range(300)]
        await asyncio.gather(*work)
        files = [file for box in range(3) for file in (tmp_path / str(box) / "new").iterdir()]
        assert sorted(int(file.read_text()) for file in files) == list(range(300))
        assert not [file for box in range(3) for file in (tmp_path / str(box) / "tmp").iterdir()]

    play(scene)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The disk steps, in order. Watching them needs to stand between the depot and the system."""
    seen: list[str] = []

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any) -> Any:
            result = real(*args)
            seen.append(name)
            return result

        return step

    monkeypatch.setattr(depots, "syncfs_of", watched("syncfs", depots.syncfs_of))
    monkeypatch.setattr(depots, "fsync_folder", watched("folder", depots.fsync_folder))
    monkeypatch.setattr(depots, "fsync_file", watched("file", depots.fsync_file))
    monkeypatch.setattr(depots.maildir, "publish", watched("name", maildir.publish))
    yield seen


def test_bytes_are_durable_before_the_name_and_the_name_before_the_answer(tmp_path: Path, steps: list[str]) -> None:
    async def scene(depot: Depot) -> None:
        await depot.put(f"{tmp_path}/box/", text(), **ME)
        steps.append("answer")
        await depot.put(f"{tmp_path}/box/", text(), **ME)
        steps.append("answer")

    play(scene)
    # The first delivery makes the folders, whose own names a sync of the one folder would not cover.
    assert steps == ["file", "name", "syncfs", "answer", "file", "name", "folder", "answer"]


def test_a_batch_shares_two_syncs(tmp_path: Path, steps: list[str]) -> None:
    async def scene(depot: Depot) -> None:
        maildir.make_folders(f"{tmp_path}/box/")
        await asyncio.gather(*(depot.put(f"{tmp_path}/box/", text(), **ME) for _ in range(16)))

    play(scene, writers=1)
    assert steps.count("name") == 16
    assert "file" not in steps[: steps.index("name")] or steps.count("file") <= depots.FEW
    assert steps[0] in ("syncfs", "file")
    assert steps[-1] in ("syncfs", "folder")


def test_every_file_is_synced_by_itself_if_so_wished(tmp_path: Path, steps: list[str]) -> None:
    async def scene(depot: Depot) -> None:
        maildir.make_folders(f"{tmp_path}/box/")
        await asyncio.gather(*(depot.put(f"{tmp_path}/box/", text(), **ME) for _ in range(8)))

    play(scene, batch=False)
    assert steps.count("file") == 8
    assert "syncfs" not in steps


def test_a_sync_that_fails_delivers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    async def scene(depot: Depot) -> None:
        with pytest.raises(MailboxProblem, match="error writing message: Input/output error") as caught:
            await depot.put(f"{tmp_path}/box/", text(), **ME)
        assert caught.value.dsn.startswith("4")
        assert not list((tmp_path / "box/new").iterdir())
        assert not list((tmp_path / "box/tmp").iterdir())

    monkeypatch.setattr(depots, "fsync_file", broken)
    play(scene)


def test_trouble_with_one_delivery_is_not_the_others(tmp_path: Path) -> None:
    def unreadable() -> Iterator[bytes]:
        yield b"begin"
        raise RuntimeError("the spool is damaged")

    async def scene(depot: Depot) -> None:
        (tmp_path / "file").write_text("")
        answers = await asyncio.gather(
            depot.put(f"{tmp_path}/box/", text(), **ME),
            depot.put(f"{tmp_path}/box/", unreadable, **ME),
            depot.put(f"{tmp_path}/box/", text(b"x" * 100), **ME, limit=99),
            depot.put(f"{tmp_path}/file/", text(), **ME),
            depot.put(f"{tmp_path}/box/", text(), **ME, limit=5),
            return_exceptions=True,
        )
        assert [type(each) for each in answers] == [
            type(None),
            RuntimeError,
            MailboxProblem,
            MailboxProblem,
            type(None),
        ]
        assert "Not a directory" in str(answers[3])
        assert len(list((tmp_path / "box/new").iterdir())) == 2
        assert not list((tmp_path / "box/tmp").iterdir())

    play(scene)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may act for anyone")
def test_an_ordinary_user_delivers_to_nobody_else(tmp_path: Path) -> None:
    async def scene(depot: Depot) -> None:
        with pytest.raises(NotAllowed, match="not started as root"):
            await depot.put(f"{tmp_path}/box/", text(), uid=os.geteuid() + 1, gid=os.getegid())

    play(scene)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_writes_with_the_users_rights_and_no_others(tmp_path: Path) -> None:
    async def scene(depot: Depot) -> None:
        for folder in (tmp_path, *tmp_path.parents):
            if str(folder) not in ("/", "/tmp"):
                folder.chmod(0o755)
        own, closed = tmp_path / "own", tmp_path / "closed"
        own.mkdir()
        closed.mkdir()
        os.chown(own, 5000, 5001)
        await depot.put(f"{own}/box/", text(), uid=5000, gid=5001)
        (file,) = (own / "box/new").iterdir()
        assert (file.stat().st_uid, file.stat().st_gid) == (5000, 5001)
        with pytest.raises(MailboxProblem, match="Permission denied") as caught:
            await depot.put(f"{closed}/box/", text(), uid=5000, gid=5001)
        assert caught.value.remarks[0].startswith("maildir access problem for UID/GID=5000/5001: create maildir file")
        await depot.put(f"{closed}/box/", text(), uid=0, gid=0)  # nothing of the user sticks to the thread

    play(scene)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_an_identity_belongs_to_one_thread(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o700)

    def acting() -> None:
        identity = Identity()
        identity.become(5000, 5000)
        try:
            with pytest.raises(PermissionError):
                os.listdir(closed)
            assert other.submit(os.listdir, closed).result() == []
        finally:
            identity.itself()
        assert os.listdir(closed) == []

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        other.submit(os.getpid).result()  # a thread inherits the identity of the one that starts it
        one.submit(acting).result()
