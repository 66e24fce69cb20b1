"""Dovecot's authentication protocol: what a server says, cut at every place."""

from __future__ import annotations

import pytest

from estafeta.wire.dovecot_auth import (
    LONGEST_LINE,
    Bad,
    Continue,
    DovecotAuth,
    Event,
    Good,
    Offer,
    ProtocolError,
    Ready,
    begin,
    cancel,
    escaped,
    hello,
    proceed,
    unescaped,
)

HELLO = (
    b"VERSION\t1\t2\nMECH\tplain\tplaintext\nMECH\tCRAM-MD5\tdictionary\tactive\nMECH\tX\tprivate\n"
    b"SPID\t12\nCUID\t3\nCOOKIE\tabcdef\nWHATEVER\nDONE\n"
)
READY = Ready((Offer("PLAIN", frozenset({"plaintext"})), Offer("CRAM-MD5", frozenset({"dictionary", "active"}))))
ANSWERS = (
    b"OK\t1\tuser=ana\tanonymous\nCONT\t2\tVXNlcm5hbWU6\nCONT\t3\t\nFAIL\t4\tuser=a\x01tb\ttemp\n"
    b"FAIL\t5\tcode=temp_fail\treason=no database\nFAIL\t6\tuser=\nMECH\tNEW\nFAIL\t7\n"
)


def test_cut_anywhere() -> None:
    whole = HELLO + ANSWERS
    for cut in range(len(whole) + 1):
        protocol = DovecotAuth()
        events: list[Event] = protocol.feed(whole[:cut]) + protocol.feed(whole[cut:])
        assert events == [
            READY,
            Good(1, {"user": "ana", "anonymous": ""}),
            Continue(2, b"Username:"),
            Continue(3, b""),
            Bad(4, {"user": "a\tb", "temp": ""}),
            Bad(5, {"code": "temp_fail", "reason": "no database"}),
            Bad(6, {"user": ""}),
            Bad(7, {}),
        ]


def test_what_a_refusal_says() -> None:
    assert Bad(4, {"temp": ""}).later
    assert Bad(5, {"code": "temp_fail", "reason": "x"}).later
    assert Bad(5, {"code": "temp_fail", "reason": "x"}).reason == "x"
    assert not Bad(1, {"code": "user_disabled", "user": "ana"}).later
    assert Bad(1, {}).user is None
    assert Bad(1, {"user": ""}).user == ""


@pytest.mark.parametrize(
    "said",
    [
        b"DONE\n",
        b"VERSION\t2\t0\n",
        b"VERSION\n",
        b"VERSION\tx\n",
        HELLO + b"OK\n",
        HELLO + b"OK\tx\n",
        HELLO + b"OK\t12345678901\n",
        HELLO + b"CONT\t1\t!!!\n",
        b"x" * (LONGEST_LINE + 2),
        b"x" * (LONGEST_LINE + 2) + b"\n",
        b"VERSION\t1\t2\n" + b"".join(b"MECH\tM%d\n" % number for number in range(101)),
    ],
)
def test_another_protocol(said: bytes) -> None:
    with pytest.raises(ProtocolError):
        DovecotAuth().feed(said)


def test_what_we_say() -> None:
    assert hello(77) == b"VERSION\t1\t2\nCPID\t77\n"
    parameters = [("service", "smtp"), ("nologin", ""), ("cert_username", "a\tb\n")]
    line = begin(3, "PLAIN", parameters, b"\0a\0b")
    assert line == b"AUTH\t3\tPLAIN\tservice=smtp\tnologin\tcert_username=a\x01tb\x01n\tresp=AGEAYg==\n"
    assert begin(3, "PLAIN", [], None) == b"AUTH\t3\tPLAIN\n"
    assert begin(3, "PLAIN", [], b"") == b"AUTH\t3\tPLAIN\tresp=\n"
    assert proceed(3, b"ana") == b"CONT\t3\tYW5h\n"
    assert cancel(3) == b"CANCEL\t3\n"


@pytest.mark.parametrize("text", ["", "ana", "\x01", "\x01\x01t", "a\tb\r\nc\0d\x011", "\x01" * 3, "señor"])
def test_escapes(text: str) -> None:
    raw = escaped(text)
    assert not set(raw) & set(b"\t\r\n\0")
    assert unescaped(raw) == text
