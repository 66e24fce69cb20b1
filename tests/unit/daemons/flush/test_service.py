from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.daemons.flush import service as module
from estafeta.daemons.flush.service import FlushService
from estafeta.daemons.flush.site_logs import SiteLogs
from estafeta.services.flush import ADD, BAD, DENIED, OK, SEND_FILE, SEND_SITE, FlushRequest, FlushSites, well_formed
from estafeta.services.queue_control import Control, ControlReply

CONF = {"fast_flush_domains": "!no.relay.example, relay.example"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Control]:
    """What qmgr was asked."""
    asked: list[Control] = []

    async def ask(control: Control, *, path: str) -> ControlReply:
        asked.append(control)
        return ControlReply(True, len(control.queue_ids))

    monkeypatch.setattr(module, "ask_async", ask)
    return asked


def serve(tmp_path: Path, *requests: FlushRequest, **settings: str) -> list[str]:
    async def all_of_them() -> list[str]:
        context: Any = SimpleNamespace(conf=Config.for_test(**{**CONF, **settings}))
        service = FlushService(context, logs=SiteLogs(str(tmp_path)), control=str(tmp_path / "no-qmgr"))
        await service.open()
        await service.start()
        service._pause = 0.0
        return [await service.serve(request) for request in requests]

    return asyncio.run(all_of_them())


def test_what_waits_for_a_site_is_delivered_when_the_site_asks(tmp_path: Path, asked: list[Control]) -> None:
    waiting = [("relay.example", "A1"), ("no.relay.example", "B2"), ("Relay.Example", "C3")]
    add, send = FlushRequest(ADD, waiting=waiting), FlushRequest(SEND_SITE, "RELAY.example")
    assert serve(tmp_path, add, send, send) == [OK, OK, OK]
    assert [control.queue_ids for control in asked] == [["A1", "C3"]]


def test_only_sites_of_fast_flush_domains_are_served(tmp_path: Path, asked: list[Control]) -> None:
    answers = serve(tmp_path, FlushRequest(SEND_SITE, "no.relay.example"), FlushRequest(SEND_SITE, "../x"))
    assert answers == [DENIED, BAD] and asked == []


def test_one_message_is_asked_for_by_its_id(tmp_path: Path, asked: list[Control]) -> None:
    requests = [FlushRequest(SEND_FILE, queue_id=queue_id) for queue_id in ("ABC", "a/b", "", "x" * 100)]
    assert serve(tmp_path, *requests) == [OK, BAD, BAD, BAD]
    assert [control.queue_ids for control in asked] == [["ABC"]]


def test_nothing_is_forgotten_while_qmgr_is_away(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        serve(tmp_path, FlushRequest(ADD, waiting=[("relay.example", "A1")]), FlushRequest(SEND_SITE, "relay.example"))
    logs = SiteLogs(str(tmp_path))
    assert logs.take(logs.account("relay.example")) == ["A1"]


def test_mail_that_nobody_asks_for_is_tried_in_time(tmp_path: Path, asked: list[Control]) -> None:
    async def refresh() -> None:
        context: Any = SimpleNamespace(conf=Config.for_test(**CONF, fast_flush_refresh_time="1s"))
        service = FlushService(context, logs=SiteLogs(str(tmp_path)))
        await service.open()
        await service.start()
        await service.serve(FlushRequest(ADD, waiting=[("relay.example", "A1")]))
        await service.refresh(3600.0)
        assert asked == []
        await service.refresh(0.0)

    asyncio.run(refresh())
    assert [control.queue_ids for control in asked] == [["A1"]]


def test_subdomains_count_where_parent_domain_matches_subdomains_says_so() -> None:
    before = log.install(lambda level, text, program: None)
    plain = FlushSites.open(Config.for_test(fast_flush_domains="relay.example", parent_domain_matches_subdomains=""))
    parent = FlushSites.open(Config.for_test(fast_flush_domains="relay.example"))
    log.install(before)
    assert not asyncio.run(plain.has("sub.relay.example"))
    assert asyncio.run(parent.has("sub.relay.example"))
    assert not FlushSites.open(Config.for_test(fast_flush_domains=""))


@pytest.mark.parametrize("site", ["", "a b", "a\nb", "a/b", "..", "x" * 256, "a\x00b"])
def test_what_is_no_site(site: str) -> None:
    assert not well_formed(site)
