"""SASL exchanges and Dovecot's protocol, with anything that a client or a server might say."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st
from tests.talk.test_auth import ALL, spoken

from estafeta.wire.dovecot_auth import DovecotAuth, ProtocolError, escaped, unescaped
from estafeta.wire.sasl.digest_md5 import parse
from estafeta.wire.sasl.mechanism import BadResponse
from estafeta.wire.sasl.saslprep import saslprep
from estafeta.wire.sasl.server import (
    TRAITS,
    Authorize,
    Event,
    Failure,
    Password,
    Secret,
    Send,
    Setting,
    Success,
    Token,
    Verify,
    server_mechanism,
)

SETTING = Setting("mail.example", "example", "nonce", b"pepper", channel_binding=b"bound", iterations=1)
PIECES = st.sampled_from(
    [b"n,,", b"n=ana,r=xyz", b"\0", b"\x01", b"ana", b"auth=Bearer a", b",", b"=", b'"', b"c=biws", b"p=AAAA", b"user="]
)
RESPONSE = st.one_of(st.binary(max_size=80), st.lists(PIECES, max_size=8).map(b"".join))


@given(st.sampled_from(sorted(TRAITS)), st.one_of(st.none(), RESPONSE), st.lists(RESPONSE, max_size=5))
def test_nothing_said_logs_anybody_in_or_breaks_a_mechanism(
    name: str, initial: bytes | None, responses: list[bytes]
) -> None:
    machine = server_mechanism(name, SETTING)
    event: Event = machine.begin(initial)
    for response in [*responses, b"", b""]:
        event = _answered(machine, event)
        assert isinstance(event, Send | Failure | Success)
        assert not isinstance(event, Success) or name == "ANONYMOUS"
        if not isinstance(event, Send):
            break
        event = machine.step(response)
    assert isinstance(machine.step(b"x"), Failure) or isinstance(event, Send) or not machine.over


def _answered(machine: object, event: Event) -> Event:
    """By an owner who knows nobody, or does not let them in."""
    while isinstance(event, Verify | Secret | Token | Authorize):
        known = Password("kept") if isinstance(event, Secret) and event.user == "ana" else None
        event = machine.answer(known)  # type: ignore[attr-defined]
    return event


@given(st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=20).map(b"".join)))
def test_digest_directives(raw: bytes) -> None:
    try:
        said = parse(raw)
    except BadResponse:
        return
    assert all(len(value) <= 512 for value in said.values())


@given(st.text(max_size=40))
def test_saslprep_is_stable(text: str) -> None:
    try:
        once = saslprep(text)
    except ValueError:
        return
    assert saslprep(once) == once or not once.isascii()


LINES = st.sampled_from(
    [b"VERSION\t1\t2", b"MECH\tPLAIN\tplaintext", b"DONE", b"OK\t1\tuser=a", b"FAIL\t1\treason=x", b"CONT\t1\tYQ=="]
)


@given(st.lists(st.one_of(LINES, st.binary(max_size=40)), max_size=12), st.integers(1, 30))
def test_dovecot_says_anything(lines: list[bytes], step: int) -> None:
    raw = b"\n".join(lines) + b"\n"
    told = []
    for size in (len(raw), step):
        protocol, events, failed = DovecotAuth(), [], False
        try:
            for start in range(0, len(raw), size):
                events += protocol.feed(raw[start : start + size])
        except ProtocolError:
            failed = True
        told.append((events if not failed else None, failed))
    assert told[0] == told[1]


@given(st.text(max_size=30))
def test_dovecot_escapes(text: str) -> None:
    raw = escaped(text) if not any(0xD800 <= ord(char) < 0xE000 for char in text) else b""
    if raw:
        assert unescaped(raw) == text


SAID = st.one_of(
    st.sampled_from(["AUTH PLAIN", "AUTH LOGIN", "AUTH CRAM-MD5", "AUTH DIGEST-MD5", "AUTH SCRAM-SHA-256 =", "*", "="]),
    st.binary(max_size=30).map(lambda raw: base64.b64encode(raw).decode()),
    st.sampled_from(["AUTH", "AUTH X", "AUTH PLAIN !", "EHLO c", "MAIL FROM:<a@b.example>", "RSET", "NOOP"]),
    st.text("AUTHPLIN =*+/abc", max_size=20),
)


@given(st.lists(SAID, max_size=10))
def test_a_session_with_odd_logins(lines: list[str]) -> None:
    replies, log = spoken(lines, ALL)
    assert not any("error in this program" in line for line in log)
    assert not any(reply.startswith("235") for reply in replies)
