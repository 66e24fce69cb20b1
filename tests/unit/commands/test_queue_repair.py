"""postsuper while no queue manager has the spool, but an old one still hears about deliveries."""

from __future__ import annotations

import asyncio
import os
import pwd
from pathlib import Path

import pytest

from estafeta.commands import postsuper
from estafeta.commands.queue_repair import change_offline, purge
from estafeta.config.instance import Config
from estafeta.mail.envelope import Envelope, Recipient
from estafeta.queue import scan
from estafeta.queue.handover import Kept
from estafeta.queue.keeper import Keeper
from estafeta.queue.spool import Spool
from estafeta.services.queue_control import DELETE, EXPIRE, HOLD, RELEASE, REQUEUE, Control
from estafeta.services.showq import listing
from estafeta.skeleton.privileges import acting_as_owner_of


def test_what_is_being_delivered_is_not_deleted(tmp_path: Path) -> None:
    for name in ("incoming", "active", "deferred", "hold", "corrupt"):
        (tmp_path / name).mkdir()
    conf = Config.for_test(queue_directory=str(tmp_path))

    async def story() -> None:
        spool = Spool(directory=str(tmp_path))
        keeper = Keeper(directory=str(tmp_path))
        keeper.lock()
        names = []
        for _ in range(2):
            names.append(spool.new_id(1.5))
            await spool.commit(Envelope(names[-1], 1.5, "a@b", [Recipient("c@d")]), b"X: y\r\n\r\n", (b"z\r\n",))
        await spool.stop()
        places = {found.envelope.queue_id: found.place async for found in keeper.recover()}
        busy, other = names
        writer = await keeper.hand_over({busy: Kept(places[busy], [0])})
        reply = await change_offline(conf, Control(DELETE, [busy, "F00"]))
        assert (reply.queue_ids, reply.unknown) == ([], ["F00"])
        assert reply.reason == f"still being delivered: {busy}: try again later"
        reply = await change_offline(conf, Control(DELETE))
        assert reply.queue_ids == [other]
        writer.close()
        reply = await change_offline(conf, Control(DELETE, [busy]))
        assert (reply.queue_ids, reply.reason) == ([busy], "")

    asyncio.run(asyncio.wait_for(story(), 20))


def test_purge_removes_old_drafts_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("incoming", "deferred/A", "hold"):
        (tmp_path / name).mkdir(parents=True)
    draft, message = tmp_path / "deferred/A/A1B2.tmp", tmp_path / "hold/C3D4"
    draft.touch()
    message.touch()
    purge(str(tmp_path))
    assert draft.exists()
    monkeypatch.setattr(scan, "DRAFT_AGE", -1.0)
    purge(str(tmp_path))
    assert not draft.exists() and message.exists()


def test_what_is_to_expire_or_to_be_requeued_is_noted_for_the_next_qmgr(tmp_path: Path) -> None:
    for name in ("incoming", "active", "deferred", "hold", "corrupt"):
        (tmp_path / name).mkdir()
    conf = Config.for_test(queue_directory=str(tmp_path))

    async def story() -> None:
        spool = Spool(directory=str(tmp_path))
        names = []
        for _ in range(3):
            names.append(spool.new_id(1.5))
            await spool.commit(Envelope(names[-1], 1.5, "a@b", [Recipient("c@d")]), b"X: y\r\n\r\n", (b"z\r\n",))
        await spool.stop()
        held, old, anew = names
        await change_offline(conf, Control(HOLD, [held]))
        assert set((await change_offline(conf, Control(EXPIRE, [held, old]))).queue_ids) == {held, old}
        assert (await change_offline(conf, Control(EXPIRE, [held, old]))).count == 0
        assert (await change_offline(conf, Control(REQUEUE, [anew]))).queue_ids == [anew]
        found = {each.queue_id: (each.queue, each.forced_expire) for each in listing(str(tmp_path))}
        assert found == {held: ("hold", True), old: ("deferred", True), anew: ("deferred", False)}
        keeper = Keeper(directory=str(tmp_path))
        asked = {name: keeper.load(path).envelope.asked for name, _, path in keeper.deferred()}
        assert asked == {old: "expire", anew: "requeue"}
        await change_offline(conf, Control(RELEASE, [held]))
        asked = {name: keeper.load(path).envelope.asked for name, _, path in keeper.deferred()}
        assert asked == {held: "expire", old: "expire", anew: "requeue"}

    asyncio.run(asyncio.wait_for(story(), 20))


@pytest.mark.root
def test_what_root_changes_while_there_is_no_qmgr_belongs_to_the_owner_of_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    monkeypatch.setattr(postsuper.locks, "running_master", lambda conf: False)
    owner = pwd.getpwnam("nobody")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder.is_relative_to("/tmp/pytest-of-root"):
            folder.chmod(0o755)
    for name in ("incoming", "active", "deferred", "hold", "corrupt"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, owner.pw_uid, owner.pw_gid)
    conf = Config.for_test(queue_directory=str(tmp_path))

    async def arrive() -> None:
        spool = Spool(directory=str(tmp_path))
        await spool.commit(Envelope(spool.new_id(1.5), 1.5, "a@b", [Recipient("c@d")]), b"X: y\r\n\r\n", (b"z\r\n",))
        await spool.stop()

    with acting_as_owner_of(str(tmp_path / "incoming")):
        asyncio.run(arrive())
    assert os.geteuid() == 0
    assert postsuper.request(conf, Control(HOLD)).count == 1
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("hold" in path.parts for path in files)
    assert {path.owner() for path in files} == {"nobody"}


def test_a_file_that_cannot_be_read_keeps_no_other_from_being_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (".", "incoming", "active", "deferred", "hold", "corrupt"):
        Path(name).mkdir(exist_ok=True)
        if os.geteuid() == 0:
            os.chown(name, 65534, -1)
    conf = Config.for_test(queue_directory=".")

    async def story() -> None:
        spool = Spool()
        names = []
        for _ in range(3):
            names.append(spool.new_id(1.5))
            await spool.commit(Envelope(names[-1], 1.5, "a@b", [Recipient("c@d")]), b"X: y\r\n\r\n", (b"z\r\n",))
        await spool.stop()
        await change_offline(conf, Control(HOLD, names))
        await change_offline(conf, Control(RELEASE, names))
        (odd,) = Path("deferred").rglob(names[1])
        odd.chmod(0)
        reply = await change_offline(conf, Control(HOLD, []))
        assert sorted(reply.queue_ids) == sorted({*names} - {names[1]})
        assert odd.exists()

    as_root = os.geteuid() == 0
    if as_root:
        os.seteuid(65534)
    try:
        asyncio.run(asyncio.wait_for(story(), 20))
    finally:
        if as_root:
            os.seteuid(0)
