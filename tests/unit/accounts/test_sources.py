"""Sources of passwords: what they say, what they do not know, and what they cannot say now."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.sasl_client import answer_to

from estafeta.accounts import cyrus, libpam, oauth, smtpd_conf, sql, watched
from estafeta.accounts.authenticator import Challenge, Circumstances, Denied, Login
from estafeta.accounts.failure_delay import FailureDelay
from estafeta.accounts.good_passwords import GoodPasswords
from estafeta.accounts.hashes import make
from estafeta.accounts.local import Checking, Habits, LocalAuthenticator, usable
from estafeta.accounts.oauth import Oauth, Page, Provider
from estafeta.accounts.own import OwnAuthenticator, source_names, source_of
from estafeta.accounts.pam import Pam
from estafeta.accounts.passwd_file import PasswdFile
from estafeta.accounts.saslauthd import BadReply, Saslauthd, request, understood
from estafeta.accounts.sasldb import Sasldb
from estafeta.accounts.source import Source, SourceDown
from estafeta.accounts.sql import split_host
from estafeta.accounts.sql_statement import Statement
from estafeta.accounts.workers import Workers
from estafeta.base import log
from estafeta.wire.sasl.events import Kept, Password

ABOUT = Circumstances("smtp", "", "192.0.2.1", "1", "192.0.2.2", "25", "mail.example.test", False)
IN_REALM = Circumstances("smtp", "b.test", "192.0.2.1", "1", "192.0.2.2", "25", "mail.example.test", False)


def checking(cache: float = 60.0) -> Checking:
    return Checking(Workers(2, 100), GoodPasswords(cache), FailureDelay(0))


@pytest.fixture
def lines() -> Iterator[list[str]]:
    found: list[str] = []
    before = log.install(lambda level, text, program: found.append(text))
    yield found
    log.install(before)


def asked(source: Source, ask: Callable[[Source], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        source.open()
        await source.start()
        try:
            return await ask(source)
        finally:
            await source.stop()

    return asyncio.run(go())


def right(source: Source, *logins: tuple[str, str], about: Circumstances = ABOUT) -> list[bool]:
    async def each(opened: Source) -> list[bool]:
        return [await opened.verify(user, password, about) for user, password in logins]

    found: list[bool] = asked(source, each)
    return found


# --- passwd-file


def test_a_passwd_file(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "users"
    path.write_text(
        f"# comment\nana:{make('uno')}:1000:1000::/home/ana\n\neva@b.test:{{PLAIN}}dos\nbad line\n"
        f"out:{{PLAIN}}x::::::nologin\nodd:{{NTLM}}x\nana:{{PLAIN}}again\nempty:{{PLAIN}}\n"
    )
    source = PasswdFile(str(path), checking())
    logins = [("ana", "uno"), ("ana", "dos"), ("eva@b.test", "dos"), ("eva", "dos"), ("out", "x"), ("empty", "")]
    assert right(source, *logins) == [True, False, True, False, False, False]
    assert [line.split(": ", 1)[0].rpartition(" ")[2] for line in lines] == ["5", "7", "8"]
    assert not any("NTLM}x" in line or "again" in line for line in lines)


def test_a_user_of_our_realm_need_not_name_it_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("ana:{PLAIN}uno\n")
    logins = [("ana", "uno"), ("ana@b.test", "uno"), ("ana@c.test", "uno")]
    assert right(PasswdFile(str(path), checking()), *logins, about=IN_REALM) == [True, True, False]


def test_a_user_who_does_not_exist_costs_a_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "users"
    path.write_text(f"ana:{make('uno', 'SSHA256')}\n")
    computed: list[str] = []
    monkeypatch.setattr("estafeta.accounts.hashes.verify", lambda stored, password, user: computed.append(user))
    assert right(PasswdFile(str(path), checking()), ("nobody", "x")) == [False]
    assert computed == ["nobody"]


def test_a_changed_file_is_read_again_and_what_was_right_no_longer_is(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(f"ana:{make('uno', 'SHA512-CRYPT')}\n")

    async def go(source: Source) -> list[bool]:
        found = [await source.verify("ana", "uno", ABOUT), await source.verify("ana", "uno", ABOUT)]
        (tmp_path / "new").write_text(f"ana:{make('dos', 'SHA512-CRYPT')}\n")
        (tmp_path / "new").rename(path)
        found += [await source.verify("ana", "uno", ABOUT), await source.verify("ana", "dos", ABOUT)]
        path.write_text("ana:{PLAIN}tres tres\n")
        return [*found, await source.verify("ana", "dos", ABOUT), await source.verify("ana", "tres tres", ABOUT)]

    assert asked(PasswdFile(str(path), checking()), go) == [True, True, False, True, False, True]


def test_a_file_that_is_not_there_is_no_wrong_password(tmp_path: Path) -> None:
    with pytest.raises(SourceDown, match="No such file"):
        right(PasswdFile(str(tmp_path / "none"), checking()), ("ana", "uno"))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_file_of_root_is_read_without_root_and_its_replacement_calls_for_a_fresh_process(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("ana:{PLAIN}uno\n")
    path.chmod(0o600)
    tmp_path.chmod(0o755)
    called: list[str] = []
    file = watched.Watched(str(path), bytes)
    file.open()
    watched.when_unreadable(called.append)
    os.seteuid(65534)
    try:
        assert file.current() == b"ana:{PLAIN}uno\n"
        os.seteuid(0)
        (tmp_path / "new").write_text("ana:{PLAIN}dos\n")
        (tmp_path / "new").chmod(0o600)
        (tmp_path / "new").rename(path)
        os.seteuid(65534)
        assert file.current() == b"ana:{PLAIN}uno\n"
        assert file.current() == b"ana:{PLAIN}uno\n"
    finally:
        os.seteuid(0)
        watched.when_unreadable(None)
    assert called == [str(path)]


# --- the mechanisms on top


class Fixed(Source):
    """Knows ana, and may be down."""

    def __init__(self, name: str = "fixed", *, down: bool = False) -> None:
        self.name, self.down = name, down

    async def verify(self, user: str, password: str, about: Circumstances) -> bool:
        if self.down:
            raise SourceDown("it is away")
        return (user, password) == ("ana", "uno")


def login(sources: list[Source], raw: bytes, mechanism: str = "PLAIN", **habits: Any) -> Any:
    offered = tuple(name for name in ("PLAIN", "LOGIN", "CRAM-MD5") if usable(name, sources))

    async def go() -> Any:
        made = LocalAuthenticator(sources, Habits(offered, **habits), checking())
        await made.start()
        _, answer = await made.begin(mechanism, raw, ABOUT)
        await made.stop()
        return answer

    return asyncio.run(go())


def test_a_source_that_is_down_means_later_unless_another_says_yes(lines: list[str]) -> None:
    assert login([Fixed(down=True), Fixed()], b"\0ana\0uno") == Login("ana")
    assert login([Fixed(down=True), Fixed()], b"\0ana\0dos") == Denied("generic failure", later=True, user="ana")
    assert login([Fixed(), Fixed(down=True)], b"\0ana\0uno") == Login("ana")
    assert lines == ["SASL: a password cannot be checked now: it is away"]


def test_a_wrong_password_is_the_same_as_no_such_user() -> None:
    assert login([Fixed()], b"\0ana\0dos") == Denied("authentication failure", user="ana")
    assert login([Fixed()], b"\0eva\0dos") == Denied("authentication failure", user="eva")


def test_nobody_acts_as_somebody_else() -> None:
    assert login([Fixed()], b"ana\0ana\0uno") == Login("ana")
    assert login([Fixed()], b"eva\0ana\0uno") == Denied("authentication failure", user="eva")


def test_what_is_not_offered_is_not_begun(lines: list[str]) -> None:
    denied = login([Fixed()], b"", "CRAM-MD5", unknown="no %s")
    assert denied == Denied("no mechanism available")
    assert lines == ["no CRAM-MD5"]


def test_no_secret_in_any_text() -> None:
    made = [PasswdFile("/x", checking()), Provider("https://x", True, "id", "hunter2"), Sasldb("/x", checking())]
    assert not any("hunter2" in repr(one) for one in made)


# --- waiting


def test_the_delay_doubles_and_is_forgotten() -> None:
    now = [0.0]
    delay = FailureDelay(2.0, clock=lambda: now[0], chance=lambda: 0.5)
    assert [delay.after_failure("a") for _ in range(5)] == [2, 4, 8, 16, 16]
    assert delay.after_failure("b") == 2
    delay.forgive("a")
    assert delay.after_failure("a") == 2
    now[0] = 1000
    assert delay.after_failure("a") == 2
    assert FailureDelay(0).after_failure("a") == 0
    assert [delay.after_failure(client) for client in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")] == [2, 4, 2]
    assert FailureDelay(2.0, chance=lambda: 0.0).after_failure("a") == 1.5


def test_a_good_password_is_known_for_a_while() -> None:
    now = [0.0]
    good = GoodPasswords(60, clock=lambda: now[0])
    good.remember("hash", "uno")
    assert good.known("hash", "uno")
    assert not good.known("hash", "dos")
    assert not good.known("has", "huno")
    now[0] = 61
    assert not good.known("hash", "uno")
    none = GoodPasswords(0)
    none.remember("a", "b")
    assert not none.known("a", "b")


def test_what_finds_no_room_in_the_queue_is_put_off() -> None:
    async def go() -> None:
        workers = Workers(1, 1)
        first = [asyncio.ensure_future(workers.run(time.sleep, 0.05)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(SourceDown, match="estafeta_auth_queue"):
            await workers.run(time.sleep, 0)
        await asyncio.gather(*first)
        await asyncio.sleep(0.01)
        assert await workers.run(str, 1) == "1"
        workers.stop()

    asyncio.run(go())


# --- Cyrus


def test_smtpd_conf(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "smtpd.conf").write_text(
        "# x\npwcheck_method: auxprop saslauthd\nfoo: bar\nnonsense\n  mech_list:PLAIN\n"
    )
    options = smtpd_conf.find("smtpd", [str(tmp_path / "none"), str(tmp_path)])
    assert options.words("pwcheck_method") == ["auxprop", "saslauthd"]
    assert options.text("mech_list") == "PLAIN"
    assert options.place("mech_list") == f"{tmp_path}/smtpd.conf, line 5"
    assert options.place("sasldb_path") == f"{tmp_path}/smtpd.conf"
    assert [line.split(", ")[1] for line in lines] == [
        "line 3: option foo is not supported and has no effect",
        "line 4: expected option: value -- ignoring this line",
    ]
    assert "sql_passwd" not in repr(smtpd_conf.Options("x", {"sql_passwd": "hunter2"}))


def test_where_smtpd_conf_is_looked_for() -> None:
    assert smtpd_conf.folders(("/a:/b", "/c"), "/etc/postfix")[:5] == [
        "/a",
        "/b",
        "/c",
        "/etc/postfix/sasl",
        "/etc/sasl2",
    ]


def test_methods_in_their_order(lines: list[str]) -> None:
    values = {
        "pwcheck_method": "saslauthd auxprop pwcheck",
        "auxprop_plugin": "sasldb ldapdb",
        "mech_list": "plain FOO",
    }
    options = smtpd_conf.Options("/x/smtpd.conf", values)
    found = cyrus.sources(options, checking())
    assert [source.name for source in found] == [
        "saslauthd:/var/run/saslauthd/mux",
        "sasldb:/etc/sasldb2",
        "auxprop_plugin ldapdb",
        "pwcheck_method pwcheck",
    ]
    assert cyrus.habits(options, found).offered == ("PLAIN",)
    assert len(lines) == 3
    # As manuals of the time before version 2 have it.
    (old,) = cyrus.sources(smtpd_conf.Options("x", {"pwcheck_method": "sasldb"}), checking())
    assert (old.name, old.passwords) == ("sasldb:/etc/sasldb2", True)
    alone = cyrus.sources(smtpd_conf.Options("x", {"pwcheck_method": "saslauthd"}), checking())
    assert cyrus.habits(smtpd_conf.Options("x"), alone).offered == ("PLAIN", "LOGIN", "ANONYMOUS")


@pytest.mark.skipif(not shutil.which("saslpasswd2"), reason="needs saslpasswd2 (Debian: sasl2-bin)")
def test_a_sasldb_and_its_changes(tmp_path: Path) -> None:
    path = tmp_path / "sasldb2"

    def set_password(password: str) -> None:
        command = ["saslpasswd2", "-p", "-c", "-f", str(path), "-u", "mail.example.test", "ana"]
        subprocess.run(command, input=password, text=True, check=True)

    async def go(source: Source) -> list[bool]:
        found = [await source.verify("ana", "uno", ABOUT), await source.verify("ana@mail.example.test", "uno", ABOUT)]
        set_password("another")
        return [*found, await source.verify("ana", "uno", ABOUT), await source.verify("ana", "another", ABOUT)]

    set_password("uno")
    assert asked(Sasldb(str(path), checking()), go) == [True, True, False, True]


def test_a_damaged_sasldb_is_no_wrong_password(tmp_path: Path) -> None:
    (tmp_path / "sasldb2").write_bytes(b"x" * 4096)
    with pytest.raises(SourceDown, match="no Berkeley DB"):
        right(Sasldb(str(tmp_path / "sasldb2"), checking()), ("ana", "uno"))


# --- saslauthd


def test_a_request_of_saslauthd() -> None:
    assert request("ana", "ñ", "smtp", "") == b"\0\3ana\0\2\xc3\xb1\0\4smtp\0\0"
    with pytest.raises(ValueError, match="too long"):
        request("a", "x" * 1025, "smtp", "")
    assert understood(b"OK")
    assert not understood(b"NO reason")
    with pytest.raises(BadReply):
        understood(b"MAYBE")


@pytest.mark.parametrize("answer", [b"", b"\0", b"\0\2", b"\0\0", b"\xff\xff", b"\0\2??", b"\0\3OK"])
def test_what_is_no_answer_of_saslauthd_is_no_wrong_password(tmp_path: Path, answer: bytes) -> None:
    async def go() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(len(request("ana", "uno", "smtp", "")))
            writer.write(answer)
            writer.close()

        server = await asyncio.start_unix_server(serve, tmp_path / "mux")
        with pytest.raises(SourceDown, match="no answer that makes sense"):
            await Saslauthd(str(tmp_path / "mux")).verify("ana", "uno", ABOUT)
        server.close()

    asyncio.run(go())


# --- SQL


def test_a_template_becomes_a_statement_with_parameters() -> None:
    made = Statement.parse("SELECT p FROM t WHERE a = '%u@%r' AND b=%u AND c LIKE '100%%' AND d = 'it''s';", "ur")
    assert made.text("?") == "SELECT p FROM t WHERE a = ? AND b=? AND c LIKE '100%' AND d = 'it''s'"
    assert made.text("%s") == "SELECT p FROM t WHERE a = %s AND b=%s AND c LIKE '100%%' AND d = 'it''s'"
    assert made.parameters({"u": "x' OR 1=1 --", "r": "%u"}) == ["x' OR 1=1 --@%u", "x' OR 1=1 --"]
    for bad in ("SELECT '%u", "SELECT %z", 'SELECT "%u"', "SELECT %"):
        with pytest.raises(ValueError, match=r"quote|means nothing|single"):
            Statement.parse(bad, "ur")


def test_users_in_sqlite(tmp_path: Path) -> None:
    database = tmp_path / "users.db"
    with sqlite3.connect(database) as made:
        made.execute("CREATE TABLE users (name TEXT, domain TEXT, password TEXT)")
        made.execute("INSERT INTO users VALUES ('ana', 'b.test', ?)", (make("uno", "SHA512-CRYPT"),))
        made.execute("INSERT INTO users VALUES ('eva', 'b.test', NULL)")
    (tmp_path / "users.cf").write_text(
        f"driver = sqlite\ndbpath = {database}\nquery = SELECT password FROM users WHERE name='%u' AND domain='%d'\n"
    )
    source = source_of(f"sql:{tmp_path}/users.cf", checking())
    logins = [("ana@b.test", "uno"), ("ana@b.test", "dos"), ("eva@b.test", ""), ("x' OR '1'='1@b.test", "uno")]
    assert right(source, *logins) == [True, False, False, False]
    database.unlink()
    with pytest.raises(SourceDown, match="sqlite"):
        right(source_of(f"sql:{tmp_path}/users.cf", checking()), ("ana@b.test", "uno"))


# --- OAuth


INTROSPECT = Provider("https://id.test/introspect", True, "me", "hunter2", scope=frozenset({"mail"}))


def page(status: int = 200, **said: object) -> Page:
    return Page(status, json.dumps(said).encode())


@pytest.mark.parametrize(
    ("answer", "user"),
    [
        (page(active=True, email="ana@b.test", scope="mail x"), "ana@b.test"),
        (page(active=False), None),
        (page(active=True, email="ana@b.test", scope="x"), None),
        (page(active=True, email="ana@b.test", scope="mail", exp=5), None),
        (page(active="yes", email="ana@b.test", scope="mail"), None),
    ],
)
def test_introspection(answer: Page, user: str | None) -> None:
    assert oauth.judge(answer, INTROSPECT, 100.0).user == user


@pytest.mark.parametrize("answer", [page(500), page(401), Page(200, b"<html>"), page(active=True, scope="mail")])
def test_an_answer_that_says_nothing_about_the_token(answer: Page) -> None:
    with pytest.raises(ValueError, match=r"id\.test"):
        oauth.judge(answer, INTROSPECT, 100.0)


def test_userinfo_refuses_with_401() -> None:
    provider = Provider("https://id.test/me", False, username_attribute="sub")
    assert oauth.judge(page(401), provider, 0).user is None
    assert oauth.judge(page(200, sub="ana"), provider, 0).user == "ana"


def test_a_good_token_is_asked_about_once() -> None:
    fetched: list[str] = []

    def fetch(provider: Provider, token: str, addresses: list[str]) -> Page:
        fetched.append(token)
        return page(active=token == "good", email="ana@b.test", scope="mail")

    async def go() -> list[str | None]:
        source = Oauth("oauth2:/x", INTROSPECT, checking(), fetch=fetch)
        found = [await source.owner(user, "good") for user in ("ana@b.test", "", "Ana@B.test", "eva@b.test")]
        found += [await source.owner("ana@b.test", "bad"), await source.owner("ana@b.test", "bad")]
        await source.stop()
        return found

    assert asyncio.run(go()) == ["ana@b.test", "ana@b.test", "ana@b.test", None, None, None]
    assert fetched == ["good", "bad", "bad"]


# --- PAM, by the process that stays root


def pam(ask: Callable[..., libpam.Verdict]) -> Pam:
    return Pam("smtp", checking(), ask=ask)


def test_pam_is_asked_in_another_process() -> None:
    def ask(service: str, user: bytes, password: bytes, client: bytes) -> libpam.Verdict:
        if user == b"down":
            return libpam.Verdict(False, later=True, reason="no directory")
        return libpam.Verdict((service, user, password, client) == ("smtp", b"ana", b"uno", b"192.0.2.1"))

    async def go(source: Source) -> list[bool]:
        found = [await source.verify(*login, ABOUT) for login in (("ana", "uno"), ("ana", "dos"), ("a\0a", "uno"))]
        with pytest.raises(SourceDown, match="no directory"):
            await source.verify("down", "x", ABOUT)
        many = await asyncio.gather(*(source.verify("ana", f"no {number}", ABOUT) for number in range(50)))
        return [*found, any(many)]

    assert asked(pam(ask), go) == [True, False, False, False]


def test_when_that_process_ends_a_login_is_put_off() -> None:
    async def go(source: Source) -> None:
        assert isinstance(source, Pam) and source._channel is not None
        source._channel.shutdown(2)
        with pytest.raises(SourceDown, match=r"ended|pipe|Pipe"):
            await source.verify("ana", "uno", ABOUT)

    asked(pam(lambda *_: libpam.Verdict(True)), go)


# --- our own accounts


def test_sources_by_name(tmp_path: Path) -> None:
    assert source_names("smtpd", "/etc/postfix") == ["passwd-file:/etc/postfix/users"]
    assert source_names("passwd-file:/a, pam:x", "/etc/postfix") == ["passwd-file:/a", "pam:x"]
    assert source_of("system:", checking()).name == "pam:smtp"
    for bad in ("foo:/x", "passwd-file", "passwd-file:users", "pam:../x", ""):
        with pytest.raises(ValueError, match=r"write|no name"):
            source_of(bad, checking())
    with pytest.raises(ValueError, match="no source"):
        source_names(" ", "/etc/postfix")


def test_only_what_everybody_can_use_is_offered(tmp_path: Path) -> None:
    path = tmp_path / "users"

    async def go() -> list[list[str]]:
        source = PasswdFile(str(path), checking())
        made = OwnAuthenticator([source], checking())
        offers = []
        for text in ("ana:{PLAIN}x\n", f"ana:{make('x', 'SCRAM-SHA-256')}\neva:{{PLAIN}}x\n", f"ana:{make('x')}\n"):
            path.write_text(text)
            offers.append([mechanism.name for mechanism in await made.mechanisms()])
            assert await made.mechanisms() is await made.mechanisms()
        await made.stop()
        return offers

    every = ["SCRAM-SHA-256", "SCRAM-SHA-1", "DIGEST-MD5", "CRAM-MD5", "PLAIN", "LOGIN", "EXTERNAL"]
    assert asyncio.run(go()) == [every, ["SCRAM-SHA-256", "PLAIN", "LOGIN", "EXTERNAL"], ["PLAIN", "LOGIN", "EXTERNAL"]]


def test_who_names_another_realm_is_another_user(tmp_path: Path) -> None:
    """DIGEST-MD5: ana of another realm is not the ana whom we know, though she knows that one's password."""

    asked: list[str] = []

    class Everybody(Fixed):
        forms = frozenset({"DIGEST-MD5"})

        async def kept(self, user: str, realm: str, form: str, about: Circumstances) -> Kept | None:
            asked.append(user)
            return Password("uno")

    def answer(challenge: bytes, realm: str) -> bytes:
        text = challenge.decode().replace('realm="mail.example.test"', f'realm="{realm}"')
        return base64.b64decode(answer_to(f"S: 334 {base64.b64encode(text.encode()).decode()}", "DIGEST-MD5 ana uno"))

    async def go(realm: str) -> Any:
        made = LocalAuthenticator([Everybody()], Habits(("DIGEST-MD5",)), checking())
        exchange, first = await made.begin("DIGEST-MD5", None, ABOUT)
        assert isinstance(first, Challenge)
        last = await exchange.step(answer(first.text, realm))
        await made.stop()
        return last

    assert [asyncio.run(go("mail.example.test")).user, asyncio.run(go("b.test")).user] == ["ana", "ana@b.test"]
    assert asked == ["ana", "ana@b.test"]


def test_a_place_of_a_database_server() -> None:
    assert split_host("db.test") == ("db.test", None, "")
    assert split_host("inet:db.test:5433") == ("db.test", 5433, "")
    assert split_host("[::1]:5433") == ("::1", 5433, "")
    assert split_host("::1") == ("::1", None, "")
    assert split_host("unix:/run/mysqld/mysqld.sock") == ("", None, "/run/mysqld/mysqld.sock")
    assert split_host("/run/postgresql/.s.PGSQL.5433") == ("", 5433, "/run/postgresql")


def test_login_asks_twice(tmp_path: Path) -> None:
    async def go() -> Any:
        made = LocalAuthenticator([Fixed()], Habits(("LOGIN",)), checking())
        exchange, first = await made.begin("LOGIN", None, ABOUT)
        second = await exchange.step(b"ana")
        last = await exchange.step(b"uno")
        await made.stop()
        return first, second, last

    assert asyncio.run(go()) == (Challenge(b"Username:"), Challenge(b"Password:"), Login("ana"))


class FakeDriver:
    """A database server that hangs up now and then."""

    class Error(Exception):
        pass

    class OperationalError(Error):
        pass

    class InterfaceError(Error):
        pass

    def __init__(self) -> None:
        self.connected: list[str] = []
        self.broken = 0
        self.away: set[str] = set()

    def connect(self, host: str) -> FakeDriver:
        self.connected.append(host)
        if host in self.away:
            raise self.OperationalError(f"{host} is away\nin the statement: hunter2")
        return self

    def cursor(self) -> FakeDriver:
        return self

    def execute(self, text: str, parameters: list[str]) -> None:
        if self.broken:
            self.broken -= 1
            raise self.OperationalError("gone away")

    def fetchmany(self, count: int) -> list[tuple[str]]:
        return [("uno",)]

    def close(self) -> None:
        return


def test_a_lost_connection_is_made_anew_and_hosts_are_tried_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeDriver()
    monkeypatch.setattr(sql, "driver", lambda engine: server)
    monkeypatch.setitem(sql.CONNECT, "pgsql", lambda module, place, host: module.connect(host))
    database = sql.Database(sql.Place("pgsql", ("one", "two"), password="hunter2"))
    statement = Statement.parse("SELECT '%u'", "u")
    server.away = {"one"}
    assert database.fetch(statement, {"u": "ana"}) == [("uno",)]
    assert server.connected == ["one", "two"]
    server.broken = 1
    assert database.fetch(statement, {"u": "ana"}) == [("uno",)]
    assert server.connected == ["one", "two", "one", "two"]
    server.broken, server.away = 1, {"one", "two"}
    with pytest.raises(SourceDown) as down:
        database.fetch(statement, {"u": "ana"})
    assert "two is away" in str(down.value)
    assert "hunter2" not in str(down.value) + repr(database.place)


def test_a_driver_that_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ValueError, match=r"pip install 'estafeta\[pgsql\]'"):
        sql.driver("pgsql")


def test_a_challenge_does_not_tell_who_exists(tmp_path: Path) -> None:
    """Rounds and salt of a user who does not exist look like those of the others, and are the same each time."""
    file = tmp_path / "users"
    file.write_text("".join(f"{name}:{make('x', 'SCRAM-SHA-256')}\n" for name in ("ana", "eva")))

    async def challenge(name: str) -> str:
        source = PasswdFile(str(file), checking())
        source.open()
        owner = OwnAuthenticator([source], source._checking)
        exchange, answer = await owner.begin("SCRAM-SHA-256", f"n,,n={name},r=abc".encode(), ABOUT)
        assert isinstance(answer, Challenge)
        nonce = answer.text.partition(b",")[0].removeprefix(b"r=").decode()
        proof = base64.b64encode(b"p" * 32).decode()
        assert isinstance(await exchange.step(f"c=biws,r={nonce},p={proof}".encode()), Denied)
        await owner.stop()
        return answer.text.decode().partition(",")[2]

    def shape(text: str) -> tuple[int, str]:
        salt, _, rounds = text.partition(",")
        return len(salt), rounds

    ana, nobody, again, other = (asyncio.run(challenge(name)) for name in ("ana", "nobody", "nobody", "other"))
    assert shape(ana) == shape(nobody) == shape(other)
    assert nobody == again != other


def test_what_smtpd_conf_names_and_is_not_there_is_told_with_its_line(lines: list[str]) -> None:
    options = smtpd_conf.parse(
        "# x\npwcheck_method: kerberos\nauxprop_plugin: ldapdb\nmech_list: NTLM\n", "/x/smtpd.conf"
    )
    cyrus.habits(options, cyrus.sources(options, checking()))
    for number, name in ((2, "pwcheck_method"), (3, "auxprop_plugin"), (4, "mech_list")):
        assert any(line.startswith(f"/x/smtpd.conf, line {number}: {name}") for line in lines)


def test_whose_stored_password_is_none_is_named(tmp_path: Path, lines: list[str]) -> None:
    file = tmp_path / "users"
    file.write_text("fox:{ARGON2ID}nonsense\n")
    source = PasswdFile(str(file), checking())
    source.open()
    assert login([source], b"\0fox\0x") == Denied("authentication failure", user="fox")
    assert any("the password of fox cannot be checked" in line and "estafeta passwd" in line for line in lines)
    lines.clear()
    assert login([source], b"\0hen\0x") == Denied("authentication failure", user="hen")
    assert not any("of hen" in line or "of fox" in line for line in lines)
