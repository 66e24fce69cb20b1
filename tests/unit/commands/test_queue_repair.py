"""postsuper while no queue manager has the spool, but an old one still hears about deliveries."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from estafeta.commands.queue_repair import change_offline, purge
from estafeta.config.instance import Config
from estafeta.mail.envelope import Envelope, Recipient
from estafeta.queue import scan
from estafeta.queue.handover import Kept
from estafeta.queue.keeper import Keeper
from estafeta.queue.spool import Spool
from estafeta.services.queue_control import DELETE, Control


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
