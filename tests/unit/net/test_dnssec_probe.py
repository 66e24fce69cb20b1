"""Whether the name server checks signatures is asked once, when it matters, and the administrator hears of it."""

from __future__ import annotations

import asyncio

import pytest

from estafeta.base import log
from estafeta.net.dns_names import Answer, DnsDown, NoData
from estafeta.net.dnssec_probe import DnssecProbe


def probed(setting: str, marks: list[bool], reply: bool | Exception) -> tuple[list[tuple[str, str]], list[str]]:
    """What was asked, and the log, after answers with these marks; `reply` is what the probe brings."""
    asked: list[tuple[str, str]] = []
    lines: list[str] = []

    async def ask(name: str, rrtype: str) -> Answer:
        asked.append((name, rrtype))
        if isinstance(reply, Exception):
            raise reply
        return Answer(name, name, rrtype, ("x",), 60, reply)

    async def case() -> None:
        probe = DnssecProbe(setting)
        for mark in marks:
            if not probe.settled:
                probe.saw(mark, ask)
        for _ in range(5):
            await asyncio.sleep(0)
        await probe.close()

    before = log.install(lambda level, text, program: lines.append(log.PREFIX[level] + text))
    try:
        asyncio.run(case())
    finally:
        log.install(before)
    return asked, lines


MAYBE = "warning: DNSSEC validation may be unavailable"


def test_one_question_when_the_first_answer_is_not_validated() -> None:
    asked, lines = probed("ns:.", [False, False], False)
    assert asked == [("", "NS")]
    assert lines == [
        MAYBE,
        "warning: reason: dnssec_probe 'ns:.' received a response that is not DNSSEC validated",
    ]


def test_a_server_that_validates_is_not_complained_of() -> None:
    assert probed("soa:example.com", [False], True) == ([("example.com", "SOA")], [])
    assert probed("ns:.", [True, False], False) == ([], [])


def test_dnssec_probe_can_be_turned_off() -> None:
    assert probed("", [False], False) == ([], [])


def test_silence_and_refusals_are_told_apart() -> None:
    _, lines = probed("example.com", [False], DnsDown("example.com", "NS"))
    assert lines[1].startswith("warning: reason: dnssec_probe 'example.com' received no response: ")
    _, lines = probed("ns:example.com", [False], NoData("example.com", "NS"))
    assert lines[1].endswith("received a response that is not DNSSEC validated")


@pytest.mark.parametrize("setting", ["nosuch:.", "ns:a..b"])
def test_a_bad_probe_is_named(setting: str) -> None:
    with pytest.raises(ValueError, match=r"dnssec_probe = .*write a record type"):
        DnssecProbe(setting)
