"""smtpd_tls_loglevel 3 and 4: what goes into the log, and how much of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from estafeta.base import log
from estafeta.net.tls.trace import Trace

SERVER: Any = SimpleNamespace(library=None)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    monkeypatch.setattr(log, "info", heard.append)
    return heard


def test_a_dump_shows_hexadecimal_and_text(lines: list[str]) -> None:
    Trace(SERVER, "client[192.0.2.7]", 3, 1000, 0).dump("read from", b"\x16\x03A" * 6)
    assert lines[0] == "read from client[192.0.2.7]: 18 bytes"
    assert lines[1].startswith("0000 16 03 41 16") and lines[1].endswith(" ..A..A..A..A..A.")
    assert len(lines) == 3


def test_after_the_handshake_only_level_4_dumps(lines: list[str]) -> None:
    for level, count in ((3, 0), (4, 2)):
        trace = Trace(SERVER, "client", level, 1000, 0)
        trace.established()
        trace.dump("write to", b"secret")
        assert len(lines) == count


def test_level_2_dumps_nothing(lines: list[str]) -> None:
    Trace(SERVER, "client", 2, 1000, 0).dump("read from", b"x")
    assert lines == []


def test_a_dump_has_an_end(lines: list[str]) -> None:
    trace = Trace(SERVER, "client", 4, 32, 0)
    trace.dump("read from", b"x" * 1000)
    assert lines[-1] == "client: TLS trace ends here (smtpd_tls_trace_size_limit)"
    length = len(lines)
    trace.dump("read from", b"x")
    assert len(lines) == length
