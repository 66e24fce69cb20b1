"""Sessions with all that may decide who sends switched on: logins, TLS, XCLIENT, XFORWARD, ETRN, policy, limits.

Whatever a stranger says, cut wherever: the server does not break, each reply has its form, nobody who has not logged in
gets mail to the world accepted, what was said in the clear is gone after STARTTLS, and no password is in the log.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.test_smtp_server import SETTINGS, lengths, pieces_of
from tests.support.accounts import KnownUsers
from tests.support.anvil import Anvil
from tests.support.certificates import make_certificates
from tests.talk.stage import Stage, Transport, logged

from estafeta.config.instance import Config
from estafeta.daemons.smtpd.limits import ClientLimits
from estafeta.net.policy_client import PolicyDown
from estafeta.services.anvil import AnvilClient
from estafeta.wire.sasl.server import TRAITS

PASSWORD = "open-sesame-2026"
SECRETS = [
    base64.b64encode(text.encode())[2:-4].decode()
    for text in (PASSWORD, f"\0ana\0{PASSWORD}", f"\0nobody\0{PASSWORD}", f"ana\0ana\0{PASSWORD}")
]
"""What of the encoded passwords stands in the middle, whatever comes before and behind."""

calm = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@cache
def keys() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="estafeta-fuzz-"))
    make_certificates(folder)
    return folder


def values(**more: str) -> dict[str, str]:
    return (
        SETTINGS
        | {
            "mynetworks": "192.0.2.0/24",
            "relay_domains": "",
            "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
            "smtpd_recipient_restrictions": "check_policy_service unix:private/policy",
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_authenticated_header": "yes",
            "smtpd_sasl_security_options": "noanonymous",
            "smtpd_tls_security_level": "may",
            "smtpd_tls_chain_files": str(keys() / "chain.pem"),
            "smtpd_tls_received_header": "yes",
            "smtpd_tls_loglevel": "1",
            "smtpd_etrn_restrictions": "check_policy_service unix:private/policy, reject",
            "smtpd_client_message_rate_limit": "100000",
            "smtpd_client_recipient_rate_limit": "100000",
            "smtpd_client_auth_rate_limit": "100000",
            "smtpd_client_connection_rate_limit": "100000",
            "debug_peer_list": "0.0.0.0/0",
            "notify_classes": "",
        }
        | more
    )


class Wire(Transport):
    """A client that can shake hands; without that, bytes go as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self.client: ssl.SSLObject | None = None

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def begin(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(self._in, self._out)

    def turn(self) -> None:
        assert self.client is not None
        try:
            self.client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        self.pass_on()

    def pass_on(self) -> None:
        data = self._out.read()
        if data and not self.closed:
            self.protocol.data_received(data)

    def write(self, data: bytes) -> None:  # type: ignore[override]
        if self.client is None:
            super().write(data)
            return
        self._in.write(data)
        try:
            while said := self.client.read(65536):
                super().write(said)
        except (ssl.SSLWantReadError, ssl.SSLError):
            pass


class Place(Stage):
    def __init__(self, conf: dict[str, str], answers: list[str], anvil: Anvil) -> None:
        super().__init__(conf, ("stranger.example", "198.51.100.7"))
        self.transport = self.wire = Wire()
        self.stream.connection_made(self.wire)
        self.wire.protocol = self.stream
        offered = sorted(set(TRAITS) - {"ANONYMOUS"})
        assert self.policy.sasl is not None
        self.policy.sasl.authenticator = KnownUsers({"ana": PASSWORD}, offered)
        self.policy.limits = ClientLimits.of(self.policy.conf, AnvilClient(5.0, connect=anvil.connect), "smtp")
        turn = iter(range(1 << 30))
        for client in self.policy._policy_clients.values():
            client.ask = self._asked(answers, turn)  # type: ignore[method-assign]
        self.requests: list[bytes] = []

    def _asked(self, answers: list[str], turn: Any) -> Any:
        async def ask(request: bytes, owner: object) -> str:
            self.requests.append(request)
            answer = answers[next(turn) % len(answers)] if answers else "DUNNO"
            if answer == "down":
                raise PolicyDown("down")
            return answer

        return ask

    async def starttls(self, injected: bytes = b"") -> bytes:
        """The reply; then the server waits for a handshake."""
        before = len(self.wire.written)
        if not self.wire.closed:
            self.stream.data_received(b"STARTTLS\r\n" + injected)
        for _ in range(50):
            await asyncio.sleep(0)
        self._taken = len(self.wire.written)
        return bytes(self.wire.written[before:])

    async def shake(self) -> None:
        self.wire.begin()
        for _ in range(20):
            await asyncio.sleep(0)
            self.wire.turn()
            if self.stream.tls is not None:
                return

    async def send(self, data: bytes | None) -> bytes:
        if data is None or self.wire.client is None or self.wire.closed:
            return await super().send(data)
        self.wire.client.write(data)
        self.wire.pass_on()
        return await self.heard()


def encoded(raw: bytes) -> bytes:
    return base64.b64encode(raw)


plain = st.sampled_from([b"\0nobody\0", b"\0ana\0x", b"ana\0ana\0x", b"\0a\r\nb\0", b"\0\xff\0"]).map(
    lambda start: encoded(start + PASSWORD.encode())
)
response = st.one_of(
    plain,
    st.just(encoded(PASSWORD.encode())),
    st.binary(max_size=60).map(encoded),
    st.sampled_from([b"*", b"=", b"", b"YW5h", b"!", b"\0", b"\xff\xfe", b"bm8=" * 4000, encoded(b"x" * 1500)]),
)
mechanism = st.sampled_from([name.encode() for name in sorted(TRAITS)] + [b"auth", b"\xff", b"X" * 300, b"PLAIN\t"])
login = st.one_of(
    st.tuples(mechanism, response).map(lambda both: b"AUTH %b %b\r\n" % both),
    st.tuples(mechanism, st.lists(response, max_size=3)).map(
        lambda both: b"\r\n".join([b"AUTH " + both[0], *both[1], b""])
    ),
)
odd = st.sampled_from(
    [
        b"a+0D+0Ab",
        b"+00",
        b"[UNAVAILABLE]",
        b"IPV6:::1",
        b"192.0.2.1",
        b"ana",
        b"x" * 260,
        b"\xff",
        b"a)b",
        b"+3D",
        b"0",
    ]
)
attribute = st.sampled_from([b"NAME", b"ADDR", b"PORT", b"HELO", b"LOGIN", b"PROTO", b"SOURCE", b"IDENT", b"DESTADDR"])
xcommand = st.tuples(st.sampled_from([b"XCLIENT", b"XFORWARD"]), attribute, odd).map(lambda t: b"%b %b=%b\r\n" % t)
other = st.sampled_from(
    [
        b"EHLO x\r\n",
        b"HELO \xff(\t)\r\n",
        b"EHLO a\0b\r\n",
        b"MAIL FROM:<a@b.example>\r\n",
        b"MAIL FROM:<a@b.example> AUTH=ana+40x\r\n",
        b"MAIL FROM:<> AUTH=\x0b\x85\r\n",
        b"RCPT TO:<user>\r\n",
        b"RCPT TO:<x@foreign.example>\r\n",
        b"RCPT TO:<x%foreign.example@example.com>\r\n",
        b"DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n",
        b"BDAT 4 LAST\r\nabc\n",
        b"ETRN example.com\r\n",
        b"ETRN @\xff\r\n",
        b"ETRN #\r\n",
        b"VRFY user\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"\r\n",
        b"*\r\n",
        b"AUTH\r\n",
        b"AUTH PLAIN " + encoded(b"\0nobody\0" + PASSWORD.encode()) + b"A" * 4000 + b"\r\n",
    ]
)
said = st.lists(
    st.one_of(login, login, xcommand, other, other, st.binary(max_size=30).map(lambda raw: raw + b"\r\n")), max_size=15
)
answers = st.lists(
    st.sampled_from(
        ["DUNNO", "OK", "down", "REJECT a\\nb", "DEFER", "PREPEND X: y", "HOLD", "550 5.7.1 no", "", "nonsense \xff"]
    ),
    max_size=4,
)


def well_formed(heard: bytes) -> None:
    assert not heard or heard.endswith(b"\r\n")
    for line in heard.split(b"\r\n")[:-1]:
        assert line[:3].isdigit() and line[3:4] in (b" ", b"-"), line
        assert b"\n" not in line and b"\r" not in line and b"\0" not in line, line


def checked(place: Place, heard: bytes, lines: list[str]) -> None:
    well_formed(heard)
    assert not [line for line in lines if line.startswith(("error: ", "panic: ", "fatal: "))]
    for line in lines:
        assert line.isprintable(), line
        told = line.partition("sasl_username=")[0]  # who takes the password for the name is told as that
        assert not any(secret in told for secret in SECRETS) and PASSWORD not in told, line
    for request in place.requests:
        assert request.endswith(b"\n\n") and b"\n\n" not in request[:-2]
        assert all(b"=" in part for part in request[:-2].split(b"\n"))
    for message in place.gate.messages:
        assert all(each.address.endswith(("user", "@example.com")) for each in message.envelope.recipients)
        for field in message.fields:
            assert field.endswith(b"\r\n") and b"\0" not in field
            assert all(part[:1] in b"\t " for part in field.split(b"\r\n")[1:-1]), field


async def played(pieces: list[bytes], policy: list[str], conf: dict[str, str]) -> tuple[Place, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        anvil = Anvil(Config.for_test(data_directory=folder))
        await anvil.service.open()
        await anvil.service.start()
        place = Place(conf, policy, anvil)
        heard = await place.start()
        for piece in pieces:
            heard += await place.send(piece)
        await place.hang_up()
        assert place.released == 1
        await anvil.service.stop()
    return place, heard


@calm
@given(said, answers, lengths, st.booleans())
def test_a_stranger_gets_nothing(parts: list[bytes], policy: list[str], sizes: list[int], whole: bool) -> None:
    conf = values()
    data = b"".join(parts).replace(b"STARTTLS", b"")
    with logged() as lines:
        place, heard = asyncio.run(played([data] if whole and data else pieces_of(data, sizes), policy, conf))
    checked(place, heard, lines)
    assert b"235 " not in heard
    assert not place.session.login


@calm
@given(said, lengths)
def test_who_may_speak_for_others_breaks_nothing(parts: list[bytes], sizes: list[int]) -> None:
    """Who is trusted with XCLIENT may say anything; replies, log and policy requests keep their form all the same."""
    conf = values(smtpd_authorized_xclient_hosts="0.0.0.0/0", smtpd_authorized_xforward_hosts="0.0.0.0/0")
    with logged() as lines:
        place, heard = asyncio.run(played(pieces_of(b"".join(parts), sizes), [], conf))
    place.gate.messages.clear()  # it is its own matter for whom it relays
    checked(place, heard, lines)


GOOD = b"AUTH PLAIN " + encoded(f"\0ana\0{PASSWORD}".encode()) + b"\r\n"


@calm
@given(said, st.sampled_from([b"", b"EHLO evil\r\n", b"MAIL FROM:<evil@b>\r\n", b"x", GOOD]), said, st.booleans())
def test_nothing_said_before_the_handshake_survives_it(
    before: list[bytes], injected: bytes, after: list[bytes], friend: bool
) -> None:
    conf = values(smtpd_authorized_xforward_hosts="0.0.0.0/0")
    first = b"EHLO x\r\n" + (GOOD if friend else b"") + b"".join(before)

    async def scene() -> tuple[Place, bytes] | None:
        with tempfile.TemporaryDirectory() as folder:
            anvil = Anvil(Config.for_test(data_directory=folder))
            await anvil.service.open()
            await anvil.service.start()
            place = Place(conf, [], anvil)
            heard = await place.start() + await place.send(first)
            # Out of an exchange or a message that was left open.
            heard += await place.send(b"\r\n*\r\n.\r\n")
            reply = await place.starttls(injected)
            heard += reply
            if not reply.endswith(b"220 2.0.0 Ready to start TLS\r\n"):
                await place.hang_up()
                return None
            await place.shake()
            assert place.stream.tls is not None
            assert await place.heard() == b""
            session = place.session
            assert session.helo is None and session.login == "" and session.forwarded is None
            assert session.transaction.sender is None and not session.transaction.queue_id
            assert session.local_headers is None and not place.stream.pending
            assert await place.send(b"RCPT TO:<user>\r\n") == b"503 5.5.1 Error: need MAIL command\r\n"
            assert (await place.send(b"STARTTLS\r\n")).startswith(b"554 ")
            place.gate.messages.clear()
            later = await place.send(b"".join(after)) if after else b""
            await place.hang_up()
            await anvil.service.stop()
            return place, heard + later

    with logged() as lines:
        played = asyncio.run(scene())
    if played is not None:
        checked(played[0], played[1], lines)


@calm
@given(st.lists(st.binary(min_size=1, max_size=200), max_size=6), st.booleans())
def test_what_comes_in_place_of_a_handshake(pieces: list[bytes], like_tls: bool) -> None:
    async def scene() -> None:
        with tempfile.TemporaryDirectory() as folder:
            anvil = Anvil(Config.for_test(data_directory=folder))
            await anvil.service.open()
            await anvil.service.start()
            place = Place(values(), [], anvil)
            await place.start()
            await place.send(b"EHLO x\r\n")
            assert (await place.starttls()).startswith(b"220 ")
            if like_tls:
                place.wire.protocol.data_received(b"\x16\x03\x01\x02\x00\x01\x00")
            for piece in pieces:
                if not place.wire.closed:
                    place.wire.protocol.data_received(piece)
                await asyncio.sleep(0)
            place.wire.protocol.connection_lost(None)
            assert place.task is not None
            await asyncio.wait_for(place.task, 5)
            assert place.released == 1 and place.stream.tls is None
            await anvil.service.stop()

    with logged() as lines:
        asyncio.run(scene())
    assert not [line for line in lines if line.startswith(("error: ", "panic: ", "fatal: "))]
