"""postscreen's own session, without a socket: what is broken is noticed, whatever comes does no harm."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.talk.stage import logged

from estafeta.config.instance import Config
from estafeta.daemons.postscreen import record
from estafeta.daemons.postscreen.policy import Policy
from estafeta.daemons.postscreen.session import Session
from estafeta.daemons.postscreen.visitor import Visitor
from estafeta.net.stream import Stream


class Pipe:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def close(self) -> None: ...


def policy(**values: str) -> Policy:
    conf = Config.for_test(**{"postscreen_pipelining_enable": "yes", "postscreen_bare_newline_enable": "yes"} | values)
    return Policy(conf, conf, {})


def talk(rules: Policy, *pieces: bytes, end: bool = True) -> tuple[bytes, Visitor, list[str]]:
    """What was answered to `pieces`, each of which arrives by itself; the client hangs up after the last."""

    async def main() -> tuple[bytes, Visitor]:
        visitor = Visitor(None, lambda: None)  # type: ignore[arg-type]
        visitor.address, visitor.port = "192.0.2.1", "4711"
        visitor.todo = rules.rules.todo(record.NOTHING, 1.0) - record.EARLY
        stream, pipe = Stream(), Pipe()
        stream.connection_made(pipe)  # type: ignore[arg-type]
        task = asyncio.create_task(Session(rules, stream, visitor, lambda: 5.0).run(greet=True))
        for piece in pieces:
            for _ in range(3):
                await asyncio.sleep(0)
            stream.data_received(piece)
        for _ in range(10):
            await asyncio.sleep(0)
        if end:
            stream.connection_lost(None)
        await asyncio.wait_for(task, 10)
        return pipe.written, visitor

    with logged() as lines:
        written, visitor = asyncio.run(main())
    return written, visitor, list(lines)


def test_rcpt_passes_the_tests_that_were_not_failed() -> None:
    written, visitor, _ = talk(policy(), b"HELO x\r\n", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n")
    assert visitor.passed == {record.PIPELINING, record.BARE_NEWLINE}
    assert written.endswith(b"450 4.3.2 Service currently unavailable\r\n")


def test_without_rcpt_nothing_is_passed() -> None:
    _, visitor, lines = talk(policy(), b"HELO x\r\n", b"MAIL FROM:<a@b>\r\n")
    assert not visitor.passed
    assert "HANGUP after 0 from [192.0.2.1]:4711 in tests after SMTP handshake" in lines[-1]


def test_a_broken_rule_is_logged_once() -> None:
    _, visitor, lines = talk(policy(postscreen_pipelining_action="ignore"), b"NOOP\r\nNOOP\r\nNOOP\r\n")
    assert sum("COMMAND PIPELINING" in line for line in lines) == 1
    assert not visitor.refused


def test_a_table_that_is_down_offers_no_keywords() -> None:
    rules = policy(postscreen_discard_ehlo_keyword_address_maps="fail:x")
    written, _, _ = talk(rules, b"EHLO x\r\n", end=False)
    assert written.endswith(b"421 4.3.2 No system resources\r\n")


def test_with_tls_required_little_else_comes_before_it() -> None:
    written, _, _ = talk(policy(postscreen_tls_security_level="encrypt"), b"EHLO x\r\n", b"MAIL FROM:<a@b>\r\n")
    assert b"250-STARTTLS\r\n" in written
    assert written.endswith(b"530 5.7.0 Must issue a STARTTLS command first\r\n")


LINES = [
    b"EHLO x", b"HELO", b"MAIL FROM:<a@b>", b"MAIL FROM:", b"MAIL", b"RCPT TO:<c@d>", b"RCPT TO:", b"RSET", b"NOOP",
    b"VRFY x", b"ETRN x", b"STARTTLS", b"BDAT 5 LAST", b"DATA", b"QUIT", b"GET / HTTP/1.0", b"Subject: x", b"\0\xff",
    b"", b" ", b"MAIL FROM:<" + b"a" * 3000 + b">", b"RCPT TO:<\xff\0>", b'MAIL FROM:<"', b"x" * 5000,
]  # fmt: skip
ENDS = [b"\r\n", b"\n", b"\r", b"", b"\r\r\n"]
RULES: Any = None


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    pieces=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(LINES), st.sampled_from(ENDS)).map(b"".join),
            st.binary(max_size=50),
        ),
        max_size=12,
    ),
    action=st.sampled_from(["ignore", "enforce", "drop"]),
)
def test_whatever_comes_is_answered_with_replies_and_never_with_success(pieces: list[bytes], action: str) -> None:
    actions = {f"postscreen_{test}_action": action for test in ("pipelining", "bare_newline", "non_smtp_command")}
    with contextlib.ExitStack():
        written, _, lines = talk(policy(**actions), *pieces)
    assert written.endswith(b"\r\n")
    replies = written.decode().split("\r\n")[:-1]
    assert all(reply[:3].isdigit() and reply[3:4] in " -" for reply in replies)
    assert not any(reply.startswith(("354", "250 2.1.5")) for reply in replies)
    assert len([reply for reply in replies if reply[3:4] == " "]) <= 22
    assert all(line.isprintable() for line in lines)


def test_no_secret_in_any_log() -> None:
    rules = policy(postscreen_pipelining_action="ignore", postscreen_bare_newline_action="ignore")
    for piece in (b"AUTH PLAIN c2VjcmV0\n", b"AUTH PLAIN\r\nc2VjcmV0\r\n", b"NOOP\r\nAUTH PLAIN c2VjcmV0\r\n"):
        _, _, log = talk(rules, piece)
        assert len(log) > 0
        assert not [line for line in log if "c2Vj" in line]
