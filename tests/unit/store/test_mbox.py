"""mbox files: locks, what is refused, what is undone. Texts are those of Postfix 3.7."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from estafeta.store.mbox import Locks, Mailbox, Mboxes
from estafeta.store.problem import MailboxProblem

Scene = Callable[[Mboxes], Awaitable[None]]


def box(path: Path, **more: Any) -> Mailbox:
    return Mailbox(str(path), os.geteuid(), os.getegid(), **more)


def play(scene: Scene, locks: Locks | None = None) -> None:
    async def run() -> None:
        async with asyncio.timeout(20):
            mboxes = Mboxes(locks or Locks(attempts=1))
            try:
                await scene(mboxes)
            finally:
                await mboxes.close()

    asyncio.run(run())


def one() -> list[bytes]:
    return [b"From a\n", b"text\n\n"]


def refused(path: Path, locks: Locks | None = None, **more: Any) -> tuple[str, str]:
    """What is said of a mailbox that cannot be used, and its status."""
    said: list[tuple[str, str]] = []

    async def scene(mboxes: Mboxes) -> None:
        with pytest.raises(MailboxProblem) as caught:
            await mboxes.put(box(path, **more), one)
        said.append((str(caught.value), caught.value.dsn))

    play(scene, locks)
    return said[0]


def test_a_new_mailbox_is_its_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "ana"

    async def scene(mboxes: Mboxes) -> None:
        await mboxes.put(box(path), one)
        await mboxes.put(box(path), one)

    play(scene)
    assert path.read_bytes() == b"From a\ntext\n\n" * 2
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["ana"]


def test_deliveries_of_one_process_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "ana"

    def slowly(letter: bytes) -> Callable[[], Iterator[bytes]]:
        def pieces() -> Iterator[bytes]:
            for _ in range(20):
                time.sleep(0)
                yield letter

        return pieces

    async def scene(mboxes: Mboxes) -> None:
        await asyncio.gather(*(mboxes.put(box(path), slowly(bytes([65 + number]))) for number in range(20)))

    play(scene, Locks(("fcntl",), attempts=1))
    content = path.read_bytes()
    assert sorted(content[at : at + 20] for at in range(0, 400, 20)) == [bytes([65 + n]) * 20 for n in range(20)]


def test_what_is_no_mailbox_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "soft").symlink_to(target)
    os.mkfifo(tmp_path / "fifo")
    tmp_path.chmod(0o777)
    (tmp_path / "two").touch()
    (tmp_path / "three").hardlink_to(tmp_path / "two")
    assert refused(tmp_path / "folder") == ("cannot open file: Is a directory", "5.2.0")
    assert refused(tmp_path / "soft") == ("file is a symbolic link", "5.2.0")
    assert refused(tmp_path / "fifo") == ("cannot open file: No such device or address", "5.2.0")
    assert refused(tmp_path / "two") == ("file has 2 hard links", "5.2.0")
    missing = tmp_path / "no/box"
    assert refused(missing) == (f"unable to create lock file {missing}.lock: No such file or directory", "5.2.0")
    assert target.read_bytes() == b""


def test_a_device_is_no_mailbox() -> None:
    assert refused(Path("/dev/null"), Locks(("fcntl",), 1)) == ("destination /dev/null is not a regular file", "5.2.0")


def test_a_failure_gives_the_mailbox_its_old_length_back(tmp_path: Path) -> None:
    path = tmp_path / "ana"
    path.write_text("From before\n\n")

    def broken() -> Iterator[bytes]:
        yield b"From x\n"
        raise FileNotFoundError(2, "the message is gone")

    async def scene(mboxes: Mboxes) -> None:
        with pytest.raises(FileNotFoundError):
            await mboxes.put(box(path), broken)

    play(scene)
    assert refused(path, limit=20) == ("error writing message: File too large", "5.2.2")
    assert path.read_text() == "From before\n\n"


def test_a_lock_file_is_waited_for_then_the_mail_waits(tmp_path: Path) -> None:
    path, lock = tmp_path / "ana", tmp_path / "ana.lock"
    lock.touch()
    assert refused(path, Locks(attempts=2, delay=0.01)) == (f"unable to create lock file {lock}: File exists", "4.2.0")

    async def scene(mboxes: Mboxes) -> None:
        work = asyncio.ensure_future(mboxes.put(box(path), one))
        await asyncio.sleep(0.05)
        assert not work.done()
        lock.unlink()
        await work

    play(scene, Locks(attempts=500, delay=0.01))
    assert path.exists()


def test_a_lock_file_that_was_left_over_is_removed(tmp_path: Path) -> None:
    lock = tmp_path / "ana.lock"
    lock.touch()
    os.utime(lock, (time.time() - 1000,) * 2)

    async def scene(mboxes: Mboxes) -> None:
        await mboxes.put(box(tmp_path / "ana"), one)

    play(scene)
    assert not lock.exists()


HOLD = """
import fcntl, sys
file = open(sys.argv[1], "a")
{lock}(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("method", "lock"), [("fcntl", "fcntl.lockf"), ("flock", "fcntl.flock")])
def test_another_programs_lock_is_respected(tmp_path: Path, method: str, lock: str) -> None:
    path = tmp_path / "ana"
    code = HOLD.format(lock=lock)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        said = refused(path, Locks((method,), attempts=2, delay=0.01))
        assert said == ("unable to lock for exclusive access: Resource temporarily unavailable", "4.2.0")
        holder.communicate()
    assert path.read_bytes() == b""
    assert fcntl.LOCK_EX


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_mailbox_of_somebody_else_is_refused_unless_that_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "ana"
    path.touch()
    os.chown(path, 4321, 4321)
    said = refused(path)
    assert said == (f"destination {path} is not owned by recipient", "4.2.0")

    async def scene(mboxes: Mboxes) -> None:
        await mboxes.put(box(path, strict_owner=False), one)

    play(scene)
    assert path.stat().st_size


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_in_a_spool_directory_the_group_makes_the_mailbox_and_the_user_owns_it(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder) not in ("/", "/tmp"):
            folder.chmod(0o755)
    spool = tmp_path / "mail"
    spool.mkdir()
    os.chown(spool, 0, 8)
    spool.chmod(0o2775)

    async def scene(mboxes: Mboxes) -> None:
        await mboxes.put(Mailbox(str(spool / "ana"), 4321, 4321, keeper=(4321, 8)), one)
        spool.chmod(0o755)
        await mboxes.put(Mailbox(str(spool / "bea"), 4322, 4322, keeper=(0, 4322)), one)

    play(scene)
    ana, bea = (spool / "ana").stat(), (spool / "bea").stat()
    assert (ana.st_uid, ana.st_gid, ana.st_mode & 0o777) == (4321, 8, 0o600)
    assert (bea.st_uid, bea.st_mode & 0o777) == (4322, 0o600)
