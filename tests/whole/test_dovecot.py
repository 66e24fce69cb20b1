"""Logins that a real Dovecot checks, and what happens while it is away."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.dovecot import PROGRAM, start_dovecot, stop_dovecot
from tests.support.sasl_client import answer_to
from tests.support.site import MASTER, Site

from estafeta.accounts.authenticator import Challenge, Circumstances, Denied, Login
from estafeta.accounts.dovecot import TOO_LONG, DovecotAuthenticator
from estafeta.wire import dovecot_auth

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(60),
    pytest.mark.skipif(not PROGRAM.exists(), reason="Dovecot is not installed: apt-get install dovecot-core"),
    pytest.mark.skipif(os.geteuid() != 0, reason="Dovecot starts as root"),
]
ABOUT = Circumstances("smtp", "", "192.0.2.1", "4711", "192.0.2.2", "25", "mail.example", tls=False)
GOOD, WRONG = b"\0ana\0secret", b"\0ana\0wrong"


@dataclass
class Wanted:
    argument: str = "plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256"
    lines: list[str] = field(default_factory=lambda: ["ana:{PLAIN}secret", "b\u00f3b@b.example:{PLAIN}hunter2"])


class Dovecot:
    """One that can be stopped and started again. `place` is short: names of sockets are."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.socket = place / "auth"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = start_dovecot(Wanted(), self.place / "dovecot", self.socket, port=self.port)

    def stop(self) -> None:
        if self._process is not None:
            stop_dovecot(self._process)
            self._process = None
        shutil.rmtree(self.place / "dovecot", ignore_errors=True)
        self.socket.unlink(missing_ok=True)


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    place = Path("/tmp") / f"estafeta-dovecot-{os.getpid()}"
    place.mkdir(mode=0o755)
    server = Dovecot(place)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(place, ignore_errors=True)


async def login(accounts: DovecotAuthenticator, mechanism: str, password: str) -> Login | Denied:
    """As a client does it, up to the end."""
    exchange, answer = await accounts.begin(mechanism, None, ABOUT)
    while isinstance(answer, Challenge):
        reply = f"S: 334 {base64.b64encode(answer.text).decode()}"
        response = base64.b64decode(answer_to(reply, f"{mechanism} ana {password}"))
        answer = await exchange.step(response)
    return answer


@pytest.mark.parametrize("by", ["socket", "port"])
def test_every_mechanism(dovecot: Dovecot, by: str) -> None:
    async def ask() -> None:
        path = str(dovecot.socket) if by == "socket" else f"inet:127.0.0.1:{dovecot.port}"
        accounts = DovecotAuthenticator(path)
        names = [mechanism.name for mechanism in await accounts.mechanisms()]
        assert names == Wanted.argument.upper().split()
        assert (await accounts.begin("PLAIN", GOOD, ABOUT))[1] == Login("ana")
        assert (await accounts.begin("PLAIN", WRONG, ABOUT))[1] == Denied("(reason unavailable)", user="ana")
        for mechanism in names[2:]:
            assert await login(accounts, mechanism, "secret") == Login("ana")
            assert isinstance(await login(accounts, mechanism, "wrong"), Denied)
        await accounts.stop()

    asyncio.run(ask())


def test_many_at_once_on_one_connection(dovecot: Dovecot) -> None:
    async def ask() -> None:
        accounts = DovecotAuthenticator(str(dovecot.socket))
        begun = [accounts.begin("PLAIN", GOOD if number % 2 else WRONG, ABOUT) for number in range(100)]
        answers = [answer for _, answer in await asyncio.gather(*begun)]
        assert [isinstance(answer, Login) for answer in answers] == [bool(number % 2) for number in range(100)]
        await accounts.stop()

    asyncio.run(ask())


def test_what_would_break_the_connection_is_not_sent(dovecot: Dovecot) -> None:
    async def ask() -> None:
        accounts = DovecotAuthenticator(str(dovecot.socket))
        waiting, asked = await accounts.begin("LOGIN", None, ABOUT)
        assert asked == Challenge(b"Username:")
        _, answer = await accounts.begin("NO-SUCH", GOOD, ABOUT)
        assert isinstance(answer, Denied) and not answer.later
        _, answer = await accounts.begin("PLAIN", b"x" * dovecot_auth.LONGEST_REQUEST, ABOUT)
        assert answer == Denied(TOO_LONG)
        assert await waiting.step(b"ana") == Challenge(b"Password:")
        assert await waiting.step(b"secret") == Login("ana")
        given_up, _ = await accounts.begin("LOGIN", None, ABOUT)
        given_up.cancel()
        assert isinstance(await given_up.step(b"ana"), Denied)
        assert (await accounts.begin("PLAIN", GOOD, ABOUT))[1] == Login("ana")
        await accounts.stop()

    asyncio.run(ask())


def test_away_means_later_and_back_means_now(dovecot: Dovecot) -> None:
    async def ask() -> None:
        now = 0.0
        accounts = DovecotAuthenticator(str(dovecot.socket), clock=lambda: now)
        waiting, _ = await accounts.begin("LOGIN", None, ABOUT)
        dovecot.stop()
        answer = await waiting.step(b"ana")
        assert isinstance(answer, Denied) and answer.later
        _, answer = await accounts.begin("PLAIN", GOOD, ABOUT)
        assert isinstance(answer, Denied) and answer.later
        with pytest.raises(OSError):
            await accounts.mechanisms()
        dovecot.start()
        _, answer = await accounts.begin("PLAIN", GOOD, ABOUT)
        assert isinstance(answer, Denied), "left alone for a moment"
        now = 5.0
        assert (await accounts.begin("PLAIN", GOOD, ABOUT))[1] == Login("ana")
        await accounts.stop()

    asyncio.run(ask())


SWAKS = shutil.which("swaks")


@pytest.mark.skipif(SWAKS is None, reason="swaks is not installed")
@pytest.mark.parametrize("chroot", ["n", "y"])
def test_real_clients_log_in(dovecot: Dovecot, tmp_path: Path, chroot: str) -> None:
    """PLAIN, LOGIN, CRAM-MD5 and DIGEST-MD5 by swaks, through the whole system; relaying is for who has logged in."""
    path = f"inet:127.0.0.1:{dovecot.port}"
    main = {
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_sasl_type": "dovecot",
        "smtpd_sasl_path": path,
        "mynetworks": "192.0.2.1",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
    }
    master = MASTER.replace("inet n - n - - smtpd", f"inet n - {chroot} - - smtpd")
    with Site(tmp_path, main=main, master=master) as site:
        for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5"):
            assert swaks(site, mechanism, "secret") == 0, site.log
            site.wait_for(rf"sasl_method={mechanism}, sasl_username=ana\b")
            assert swaks(site, mechanism, "wrong") == 28, site.log
            site.wait_for(rf"SASL {mechanism} authentication failed")
        assert "secret" not in site.log


def swaks(site: Site, mechanism: str, password: str) -> int:
    """Its exit status: 28 for a login that was refused."""
    options = ["--server", f"127.0.0.1:{site.port}", "--to", "ann@example.test", "--from", "ana@example.test"]
    login = ["--auth", mechanism, "--auth-user", "ana", "--auth-password", password]
    done = subprocess.run([str(SWAKS), *options, *login], capture_output=True, text=True, timeout=30, check=False)
    return done.returncode
