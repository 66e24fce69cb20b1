"""Connections on their way to smtpd: one that was taken leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from pathlib import Path

import pytest

from estafeta.daemons.postscreen.handover import Handover


def test_a_connection_that_smtpd_has_taken_costs_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "private").mkdir()

    async def main() -> None:
        handover = Handover(asyncio.get_running_loop(), "smtpd")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as smtpd:
            smtpd.bind("private/smtpd")
            smtpd.listen(32)
            gc.collect()
            before = _sockets()
            for _ in range(20):
                client, peer = socket.socketpair()
                assert handover.give(client, None)
                link, _ = smtpd.accept()
                _, descriptors, _, _ = socket.recv_fds(link, 16, 1)
                os.close(descriptors[0])
                for each in (link, client, peer):
                    each.close()
            del link, client, peer, each
            while handover.waiting:
                await asyncio.sleep(0)
            assert _sockets() == before
        handover.close()

    asyncio.run(main())


def _sockets() -> int:
    return sum(type(each) is socket.socket for each in gc.get_objects())
