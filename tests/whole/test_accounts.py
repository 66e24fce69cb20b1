"""Logins against accounts of this machine, over real sockets, with and without chroot."""

from __future__ import annotations

import base64
import json
import os
import shutil
import smtplib
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs

import pytest
from tests.support.site import MASTER, ROOT, Site

from estafeta.accounts import libpam
from estafeta.accounts.hashes import make

LOGIN = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "estafeta", "estafeta_auth_failure_delay": "0"}
CHROOTS = pytest.mark.parametrize(
    "chroot",
    ["n", pytest.param("y", marks=[pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")])],
)


def code(port: int, user: str, password: str, mechanism: str = "PLAIN") -> int:
    """What the server says to this login; 0 for a mechanism that is not offered."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo()
        client.user, client.password = user, password
        if mechanism not in client.esmtp_features.get("auth", "").split():
            return 0
        method = {"PLAIN": client.auth_plain, "CRAM-MD5": client.auth_cram_md5}[mechanism]
        try:
            return client.auth(mechanism, method, initial_response_ok=mechanism == "PLAIN")[0]
        except smtplib.SMTPAuthenticationError as refused:
            return refused.smtp_code


def in_chroot(chroot: str) -> str:
    return MASTER.replace("inet n - n - - smtpd", f"inet n - {chroot} - - smtpd")


@CHROOTS
def test_a_passwd_file_that_only_root_can_read_and_its_changes(tmp_path: Path, chroot: str) -> None:
    site = Site(tmp_path, LOGIN, in_chroot(chroot))
    users = site.config / "users"
    users.write_text(f"ana:{make('uno', 'SHA512-CRYPT')}\n")
    users.chmod(0o600)
    with site:
        assert code(site.port, "ana", "uno") == 235
        assert code(site.port, "ana", "dos") == 535
        assert code(site.port, "eva", "dos") == 535
        command = [sys.executable, "-m", "estafeta.commands.estafeta", "passwd", str(users), "ana"]
        subprocess.run(command, input=b"dos\n", cwd=ROOT, check=True)
        assert users.stat().st_mode & 0o777 == 0o600
        # A process that may not open the new file makes way for one that may.
        deadline = time.monotonic() + 20
        while code(site.port, "ana", "dos") != 235 or code(site.port, "ana", "uno") != 535:  # each has to notice
            assert time.monotonic() < deadline
            time.sleep(0.05)


@CHROOTS
@pytest.mark.skipif(not shutil.which("saslpasswd2"), reason="needs saslpasswd2 (Debian: sasl2-bin)")
def test_a_sasldb(tmp_path: Path, chroot: str) -> None:
    site = Site(tmp_path, LOGIN | {"smtpd_sasl_type": "cyrus"}, in_chroot(chroot))
    database = site.config / "sasldb2"

    def set_password(password: str) -> None:
        command = ["saslpasswd2", "-p", "-c", "-f", str(database), "-u", "mail.example.test", "ana"]
        subprocess.run(command, input=password, text=True, check=True)

    set_password("uno")
    (site.config / "sasl").mkdir()
    (site.config / "sasl" / "smtpd.conf").write_text(
        f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {database}\nmech_list: PLAIN CRAM-MD5\n"
    )
    with site:
        assert code(site.port, "ana", "uno") == 235
        assert code(site.port, "ana", "uno", "CRAM-MD5") == 235
        assert code(site.port, "ana", "dos", "CRAM-MD5") == 535
        set_password("dos")
        assert code(site.port, "ana", "dos") == 235
        assert code(site.port, "ana", "uno") == 535


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("saslauthd"), reason="needs root and saslauthd")
def test_a_saslauthd_whose_socket_is_inside_the_chroot(tmp_path: Path) -> None:
    site = Site(tmp_path, LOGIN | {"smtpd_sasl_type": "cyrus"}, in_chroot("y"))
    (site.config / "sasl").mkdir()
    (site.config / "sasl" / "smtpd.conf").write_text("pwcheck_method: saslauthd\nmech_list: PLAIN\n")
    folder = site.queue / "var" / "run" / "saslauthd"
    folder.mkdir(parents=True)
    # In the foreground, so that it ends with us, and with a session of its own, since it ends all of its group.
    command = ["saslauthd", "-d", "-n", "1", "-a", "getpwent", "-m", str(folder)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True) as saslauthd:
        try:
            with site:
                deadline = time.monotonic() + 20
                while code(site.port, "nobody", "x") != 535:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                assert code(site.port, "no-such-user", "x") == 535
        finally:
            saslauthd.terminate()


# --- OAuth


class Provider(BaseHTTPRequestHandler):
    """Introspection of one good token; RFC 7662."""

    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        said = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.asked.append(said["token"][0])
        good = said["token"] == ["good-token"]
        if self.headers["Authorization"] != "Basic bWU6aHVudGVyMg==":
            self.send_response(401)
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"active": good, "email": "ana@b.test"} if good else {"active": False}).encode())

    def log_message(self, format: str, *arguments: object) -> None:
        return


@CHROOTS
def test_a_bearer_token(tmp_path: Path, chroot: str) -> None:
    Provider.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site = Site(tmp_path, LOGIN | {"smtpd_sasl_path": f"oauth2:{tmp_path}/oauth.cf"}, in_chroot(chroot))
    (tmp_path / "oauth.cf").write_text(
        f"introspection_url = http://localhost:{server.server_port}/introspect\n"
        "client_id = me\nclient_secret = hunter2\ntimeout = 5s\n"
    )
    try:
        with site:
            for user, token, expected in (
                ("ana@b.test", "good-token", 235),
                ("ana@b.test", "good-token", 235),
                ("eva@b.test", "good-token", 535),
                ("ana@b.test", "bad", 535),
            ):
                with smtplib.SMTP("127.0.0.1", site.port, timeout=20) as client:
                    client.ehlo()
                    assert client.esmtp_features["auth"].split() == ["OAUTHBEARER", "XOAUTH2"]
                    raw = base64.b64encode(f"user={user}\1auth=Bearer {token}\1\1".encode()).decode()
                    found, _ = client.docmd("AUTH", f"XOAUTH2 {raw}")
                    if found == 334:  # the error, which the client acknowledges
                        found, _ = client.docmd("")
                    assert found == expected
            assert set(Provider.asked) == {"good-token", "bad"}
            assert "hunter2" not in site.log and "good-token" not in site.log
            server.shutdown()
            server.server_close()
            with smtplib.SMTP("127.0.0.1", site.port, timeout=20) as client:
                client.ehlo()
                raw = base64.b64encode(b"user=eva\1auth=Bearer new\1\1").decode()
                assert client.docmd("AUTH", f"XOAUTH2 {raw}")[0] == 454
    finally:
        server.server_close()


# --- PAM


def pam_services(folder: Path, user: str, password: str) -> None:
    """A PAM configuration of its own, which asks a script."""
    script = folder / "check"
    script.write_text(f'#!/bin/sh\nread -r given\n[ "$PAM_USER:$given" = "{user}:{password}" ]\n')
    script.chmod(0o755)
    (folder / "smtp").write_text(
        f"auth [success=1 default=ignore] pam_exec.so expose_authtok quiet {script}\n"
        "auth requisite pam_deny.so\nauth required pam_permit.so\naccount required pam_permit.so\n"
    )
    (folder / "gone").write_text("auth required pam_no_such_module.so\n")


@pytest.mark.skipif(not libpam.load(), reason="needs libpam")
def test_the_real_library(tmp_path: Path) -> None:
    pam_services(tmp_path, "ana", "uno")
    where = os.fsencode(tmp_path)
    assert libpam.ask("smtp", b"ana", b"uno", folder=where).good
    wrong = libpam.ask("smtp", b"ana", b"dos", b"192.0.2.1", folder=where)
    assert not wrong.good and not wrong.later
    assert libpam.ask("gone", b"ana", b"uno", folder=where).later


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.skipif(not libpam.load() or not shutil.which("unshare"), reason="needs libpam and unshare")
@pytest.mark.parametrize("chroot", ["n", "y"])
def test_system_users_although_smtpd_is_not_root(tmp_path: Path, chroot: str) -> None:
    """In a mount namespace of its own, whose shadow file has a password that we know."""
    for name in ("passwd", "shadow"):
        shutil.copy(f"/etc/{name}", tmp_path / name)
    with (tmp_path / "passwd").open("a") as file:
        file.write("ana-of-the-test:x:2345:2345::/:/bin/sh\n")
    with (tmp_path / "shadow").open("a") as file:
        file.write(f"ana-of-the-test:{make('uno', 'SHA512-CRYPT').partition('}')[2]}:19000:0:99999:7:::\n")
    binds = "".join(f"mount --bind {tmp_path}/{name} /etc/{name} && " for name in ("passwd", "shadow"))
    inside = f"import sys; sys.path[:0] = ['{ROOT}', '{ROOT}/src']; from tests.whole import test_accounts as t"
    run = f"{sys.executable} -c \"{inside}; t.inside('{tmp_path}', '{chroot}')\""
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", binds + run]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


def inside(folder: str, chroot: str) -> None:
    with Site(Path(folder), LOGIN | {"smtpd_sasl_path": "pam:estafeta-test"}, in_chroot(chroot)) as site:
        assert code(site.port, "ana-of-the-test", "uno") == 235
        assert code(site.port, "ana-of-the-test", "dos") == 535
        assert code(site.port, "nobody-of-this-name", "uno") == 535
        helpers = [process for process in _named("pam-asker") if _parent(process) in site.pids("smtpd")]
        assert helpers
    deadline = time.monotonic() + 10
    while any(Path("/proc", str(process)).exists() for process in helpers):
        assert time.monotonic() < deadline, "the process that asks PAM outlives smtpd"
        time.sleep(0.05)


def _named(name: str) -> list[int]:
    return [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and _read(folder / "comm").strip() == name
    ]


def _parent(process: int) -> int:
    fields = _read(Path("/proc", str(process), "stat")).rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
