"""The SASL mechanisms, by the examples of their RFCs and by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from estafeta.wire.sasl import server
from estafeta.wire.sasl.digest_md5 import digest_key, parse
from estafeta.wire.sasl.mechanism import BadResponse
from estafeta.wire.sasl.server import (
    Authorize,
    DigestKey,
    Event,
    Failure,
    Mechanism,
    Password,
    ScramKeys,
    Secret,
    Send,
    Setting,
    Success,
    Token,
    Verify,
    scram_keys,
    server_mechanism,
)

SETTING = Setting("mail.example", "", "abcdefghijklmnop", b"pepper")
PROTOCOL = Failure("bad protocol / cancel")


def machine(name: str, **changes: object) -> Mechanism:
    return server_mechanism(name, Setting(**{**{k: getattr(SETTING, k) for k in SETTING.__slots__}, **changes}))  # type: ignore[arg-type]


def test_every_mechanism_has_traits() -> None:
    assert set(server.TRAITS) == set(server._MECHANISMS)


def test_plain_rfc_4616() -> None:
    plain = machine("PLAIN")
    assert plain.begin(b"\0tim\0tanstaaftanstaaf") == Verify("tim", "tanstaaftanstaaf", "tanstaaftanstaaf")
    assert plain.answer("tim") == Success("tim")


def test_plain_without_an_initial_response_asks_for_it() -> None:
    plain = machine("PLAIN")
    assert plain.begin(None) == Send(b"")
    assert plain.step(b"\0tim\0pw") == Verify("tim", "pw", "pw")
    assert plain.answer(None) == Failure("authentication failure", "tim")


def test_plain_as_somebody_else_is_asked_about() -> None:
    plain = machine("PLAIN")
    plain.begin(b"Ursel\0Kurt\0xipj3plmq")
    assert plain.answer("Kurt") == Authorize("Kurt", "Ursel")
    assert plain.answer(None) == Failure("authentication failure", "Kurt")
    plain = machine("PLAIN")
    plain.begin(b"Ursel\0Kurt\0xipj3plmq")
    plain.answer("Kurt")
    assert plain.answer("Ursel") == Success("Ursel")


@pytest.mark.parametrize(
    "response",
    [b"", b"tim", b"\0tim", b"\0\0pw", b"\0t\xffm\0pw", b"\0tim\0pw\0", b"\0" + b"t" * 256 + b"\0pw", b"\0t\nm\0pw"],
)
def test_plain_that_is_none(response: bytes) -> None:
    assert machine("PLAIN").begin(response) == PROTOCOL


def test_an_empty_password_is_not_even_asked_about() -> None:
    assert machine("PLAIN").begin(b"\0tim\0") == Failure("authentication failure", "tim")


def test_passwords_are_prepared_and_kept_as_sent() -> None:
    event = machine("PLAIN").begin("\0tim\0I\u00adX\u00aa".encode())
    assert event == Verify("tim", "I\u00adX\u00aa", "IXa")
    assert "IXa" not in repr(event)


def test_login() -> None:
    login = machine("LOGIN")
    assert login.begin(None) == Send(b"Username:")
    assert login.step(b"ana") == Send(b"Password:")
    assert login.step(b"secret") == Verify("ana", "secret", "secret")
    assert login.answer("ana") == Success("ana")
    login = machine("LOGIN")
    assert login.begin(b"ana") == Send(b"Password:")


def test_cram_md5_rfc_2195() -> None:
    cram = server_mechanism("CRAM-MD5", Setting("postoffice.reston.mci.net", "", "1896.697170952", b""))
    assert cram.begin(None) == Send(b"<1896.697170952@postoffice.reston.mci.net>")
    assert cram.step(b"tim b913a602c7eda7a495b4e6e7334d3890") == Secret("tim", "", "CRAM-MD5")
    assert cram.answer(Password("tanstaaftanstaaf")) == Success("tim")


def test_cram_md5_of_somebody_unknown_fails_like_a_wrong_password() -> None:
    for secret in (None, Password("other")):
        cram = machine("CRAM-MD5")
        cram.begin(None)
        assert isinstance(cram.step(b"tim b913a602c7eda7a495b4e6e7334d3890"), Secret)
        assert cram.answer(secret) == Failure("authentication failure", "tim")
    # Nobody logs in with the server's own secret as a password.
    cram = machine("CRAM-MD5")
    sent = cram.begin(None)
    assert isinstance(sent, Send)
    cram.step(b"tim " + hmac.new(b"pepper", sent.text, hashlib.md5).hexdigest().encode())
    assert isinstance(cram.answer(None), Failure)


def test_the_server_has_the_first_word_in_cram_and_digest() -> None:
    assert machine("CRAM-MD5").begin(b"tim 00") == PROTOCOL
    assert machine("DIGEST-MD5").begin(b"") == PROTOCOL


DIGEST = (
    b'charset=utf-8,username="chris",realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",nc=00000001,'
    b'cnonce="OA6MHXh6VqTrRk",digest-uri="imap/elwood.innosoft.com",'
    b"response=d388dad90d4bbd760a152321f2143af7,qop=auth"
)


def digest() -> Mechanism:
    return server_mechanism("DIGEST-MD5", Setting("elwood.innosoft.com", "", "OA6MG9tEQGm2hh", b"", "imap"))


def test_digest_md5_rfc_2831() -> None:
    exchange = digest()
    challenge = exchange.begin(None)
    assert challenge == Send(
        b'nonce="OA6MG9tEQGm2hh",realm="elwood.innosoft.com",qop="auth",charset=utf-8,algorithm=md5-sess'
    )
    assert exchange.step(DIGEST) == Secret("chris", "elwood.innosoft.com", "DIGEST-MD5")
    assert exchange.answer(Password("secret")) == Success("chris", b"rspauth=ea40f60335c427b5527b84dbabcdfffd")


def test_digest_md5_with_a_kept_key() -> None:
    exchange = digest()
    exchange.begin(None)
    exchange.step(DIGEST)
    key = DigestKey(digest_key("chris", "elwood.innosoft.com", "secret"))
    assert isinstance(exchange.answer(key), Success)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"nc=00000001", b"nc=00000002"),
        (b"OA6MG9tEQGm2hh", b"OA6MG9tEQGm2hi"),
        (b"imap/", b"smtp/"),
        (b"qop=auth", b"qop=auth-int"),
        (b'cnonce="OA6MHXh6VqTrRk",', b""),
        (b"response=d3", b"response="),
        (b"charset=utf-8", b"charset=koi8"),
        (b'username="chris"', b'username="chris",username="ana"'),
        (b'username="chris"', b'username="chris'),
        (b'username="chris"', b'username=""'),
    ],
)
def test_digest_md5_that_is_none(old: bytes, new: bytes) -> None:
    exchange = digest()
    exchange.begin(None)
    event = exchange.step(DIGEST.replace(old, new))
    assert isinstance(event, Failure)
    assert event.reason == PROTOCOL.reason


def test_digest_directives() -> None:
    assert parse(b'a="x\\"y", b = c ,,d=""') == {"a": b'x"y', "b": b"c", "d": b""}
    with pytest.raises(BadResponse):
        parse(b"a=" + b"x" * 513)


SCRAM_1 = (
    "fyko+d2lbbFgONRv9qkxdawL",
    "3rfcNHYJY1ZVvWVs7j",
    "QSXCR+Q6sek8bf92",
    "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
)
SCRAM_256 = (
    "rOprNGfwEbeRWgbNEkqO",
    "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    "W22ZaJ0SNY7soEsUEjb6gQ==",
    "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
)


@pytest.mark.parametrize(("name", "example"), [("SCRAM-SHA-1", SCRAM_1), ("SCRAM-SHA-256", SCRAM_256)])
def test_scram_rfc_5802_and_7677(name: str, example: tuple[str, str, str, str, str]) -> None:
    client, own, salt, proof, signature = example
    scram = machine(name, nonce=own)
    assert scram.begin(f"n,,n=user,r={client}".encode()) == Secret("user", "", name)
    keys = scram_keys(name, "pencil", base64.b64decode(salt), 4096)
    assert scram.answer(keys) == Send(f"r={client}{own},s={salt},i=4096".encode())
    event = scram.step(f"c=biws,r={client}{own},p={proof}".encode())
    assert event == Success("user", f"v={signature}".encode())


def scram_final(sent: Event, first: bytes, password: str, *, header: bytes = b"n,,", bound: bytes = b"") -> bytes:
    """What a client answers, by RFC 5802 3."""
    assert isinstance(sent, Send)
    parts = dict(part.split(b"=", 1) for part in sent.text.split(b","))
    without = b"c=" + base64.b64encode(header + bound) + b",r=" + parts[b"r"]
    message = first + b"," + sent.text + b"," + without
    rounds = int(parts[b"i"])
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts[b"s"]), rounds)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
    return without + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True)))


def test_scram_from_a_password() -> None:
    scram = machine("SCRAM-SHA-256")
    scram.begin(b"n,,n=us=2Cer=3D,r=xyz")
    assert scram.user == "us,er="
    sent = scram.answer(Password("pencil"))
    assert isinstance(scram.step(scram_final(sent, b"n=us=2Cer=3D,r=xyz", "pencil")), Success)


def test_scram_of_somebody_unknown_looks_like_anybody() -> None:
    challenges = []
    for secret in (None, Password("x"), None):
        scram = machine("SCRAM-SHA-256")
        scram.begin(b"n,,n=user,r=xyz")
        sent = scram.answer(secret)
        challenges.append(sent)
        assert scram.step(scram_final(sent, b"n=user,r=xyz", "pencil")) == Failure("authentication failure", "user")
    assert len(set(challenges)) == 1
    scram = machine("SCRAM-SHA-256")
    scram.begin(b"n,,n=other,r=xyz")
    assert scram.answer(None) not in challenges


def test_scram_with_channel_binding() -> None:
    first = b"p=tls-exporter,,n=user,r=xyz"
    for data, good in ((b"bound", True), (b"other", False)):
        scram = machine("SCRAM-SHA-256-PLUS", channel_binding=b"bound")
        assert isinstance(scram.begin(first), Secret)
        sent = scram.answer(Password("pencil"))
        final = scram_final(sent, b"n=user,r=xyz", "pencil", header=b"p=tls-exporter,,", bound=data)
        assert isinstance(scram.step(final), Success) is good


def test_scram_downgrade_is_found_out() -> None:
    scram = machine("SCRAM-SHA-256", channel_binding=b"bound")
    assert isinstance(scram.begin(b"y,,n=user,r=xyz"), Failure)
    assert isinstance(machine("SCRAM-SHA-256").begin(b"y,,n=user,r=xyz"), Secret)
    assert isinstance(machine("SCRAM-SHA-256-PLUS", channel_binding=b"b").begin(b"n,,n=user,r=xyz"), Failure)


@pytest.mark.parametrize(
    "first", [b"", b"n,,", b"n,,m=x,n=user,r=a", b"n,,n=us=er,r=a", b"x,,n=user,r=a", b"n,,n=user,r=" + b"a" * 257]
)
def test_scram_that_is_none(first: bytes) -> None:
    assert machine("SCRAM-SHA-1").begin(first) == PROTOCOL


def test_scram_with_another_nonce() -> None:
    scram = machine("SCRAM-SHA-1")
    scram.begin(b"n,,n=user,r=xyz")
    scram.answer(Password("x"))
    assert scram.step(b"c=biws,r=xyzother,p=AAAA") == Failure("bad protocol / cancel", "user")
    assert scram.step(b"c=biws,r=xyzother,p=AAAA") == Failure("bad protocol / cancel", "user")


def test_external() -> None:
    assert machine("EXTERNAL", certificate_name="ana").begin(b"") == Success("ana")
    assert machine("EXTERNAL", certificate_name="ana").begin(b"ana") == Success("ana")
    assert machine("EXTERNAL", certificate_name="ana").begin(b"bob") == Authorize("ana", "bob")
    assert machine("EXTERNAL").begin(b"bob") == Failure("authentication failure")


def test_anonymous() -> None:
    assert machine("ANONYMOUS").begin(b"me@example") == Success("anonymous")
    assert machine("ANONYMOUS").begin(b"m" * 256) == PROTOCOL


def test_oauthbearer_rfc_7628() -> None:
    said = b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3==\x01\x01"
    exchange = machine("OAUTHBEARER")
    event = exchange.begin(said)
    assert event == Token("user@example.com", "vF9dft4qmTc2Nvb3==")
    assert "vF9" not in repr(event)
    assert exchange.answer("user@example.com") == Success("user@example.com")
    exchange = machine("OAUTHBEARER")
    exchange.begin(said)
    assert exchange.answer(None) == Send(b'{"status": "invalid_token"}')
    assert exchange.step(b"\x01") == Failure("authentication failure", "user@example.com")


def test_xoauth2() -> None:
    exchange = machine("XOAUTH2")
    assert exchange.begin(b"user=ana@b.example\x01auth=Bearer abc\x01\x01") == Token("ana@b.example", "abc")
    assert isinstance(exchange.answer(None), Send)
    assert exchange.step(b"") == Failure("authentication failure", "ana@b.example")


@pytest.mark.parametrize(
    "said", [b"", b"user=ana\x01auth=Basic abc\x01\x01", b"user=ana\x01auth=Bearer abc", b"auth=Bearer abc\x01\x01"]
)
def test_xoauth2_that_is_none(said: bytes) -> None:
    event = machine("XOAUTH2").begin(said)
    assert isinstance(event, Failure)
    assert event.reason == PROTOCOL.reason


def test_secrets_do_not_show() -> None:
    assert "x" not in repr(Password("x")).replace("Password", "")
    assert "salt" not in repr(ScramKeys(b"salt", 1, b"s", b"s"))
