"""A machine to itself, for tests that need root, port 25 and /etc/postfix, without a trace on the real one.

    @pytest.mark.root
    @needs_room
    def test_it() -> None:
        play(scene)                 # scene: a function of this module, in which main.cf may be written and mail sent

`play` runs the function in namespaces of its own (unshare(1)): own processes, all of which end with it; an own network
with loopback only; own copies of /etc, /var/mail, /var/spool, /var/lib, /var/log, /home and /srv, in memory. So
commands are called without -c, as an admin does. The accounts postfix and postdrop exist, `antonio` and `laura` have
homes; /etc/postfix is empty until `configure`. An assertion that fails inside fails outside, with the mail log.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = Path(sys.executable).parent
ETC, QUEUE, MAILBOXES = Path("/etc/postfix"), Path("/var/spool/postfix"), Path("/var/mail")
LOG = Path("/var/log/mail.log")
AS_INSTALLED = Path("/etc/postfix-as-installed")
"""The machine's own /etc/postfix, if it has one."""
USERS = {"antonio": 2001, "laura": 2002}
OWN_FOLDERS = ("/var/mail", "/var/spool", "/var/lib", "/var/log", "/home", "/srv")

APART = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]


def _possible() -> bool:
    """Whether namespaces can be made here: in a container even root may be unable to."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "mount", "ip"))):
        return False
    return subprocess.run([*APART, "true"], capture_output=True, timeout=30, check=False).returncode == 0


needs_room = pytest.mark.skipif(not _possible(), reason="needs root, unshare, mount and ip, and the right to use them")


def play(scene: Callable[..., None], *arguments: str, timeout: float = 90) -> str:
    """Run a function of a test module in a room; what it printed. Raises AssertionError with its traceback."""
    own = [sys.executable, "-m", "tests.support.room", inspect.getfile(scene), scene.__name__, *arguments]
    done = subprocess.run(
        [*APART, *own],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{scene.__name__}{arguments}\n{done.stdout[-3000:]}\n{done.stderr[-12000:]}"
    return done.stdout


# --- for the functions that are played


def run(*command: str | Path, text: str | bytes = "", user: str = "", status: int | None = 0) -> str:
    """Run a command of ours (by its name) or any other (by its path); what it wrote. `status` None: any will do.

    `user` runs it as that user, with its home and name in the environment.
    """
    words = list(map(str, command))
    if "/" not in words[0]:
        words[0] = str(COMMANDS / words[0])
    environment = {**os.environ, "PATH": f"{COMMANDS}:{os.environ.get('PATH', '')}"}
    who: dict[str, object] = {}
    if user:
        environment |= {"USER": user, "LOGNAME": user, "HOME": f"/home/{user}"}
        who = {"user": USERS[user], "group": USERS[user], "extra_groups": []}
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    done = subprocess.run(words, input=raw, capture_output=True, env=environment, timeout=60, check=False, **who)  # type: ignore[call-overload]
    said = (done.stdout + done.stderr).decode("utf-8", "surrogateescape")
    assert status in (None, done.returncode), f"{' '.join(words)}: status {done.returncode}\n{said}"
    return said


def configure(main: str, master: str, files: dict[str, str] | None = None) -> None:
    """Write /etc/postfix anew; `files`: more of them, by name or path.

    Logs to a file, whatever main.cf says, with the service that this needs where master.cf is older than that.
    """
    shutil.rmtree(ETC, ignore_errors=True)
    ETC.mkdir()
    (ETC / "main.cf").write_text(f"{main}\nmaillog_file = {LOG}\n")
    needed = "" if "postlogd" in master else "postlog unix-dgram n - n - 1 postlogd\n"
    (ETC / "master.cf").write_text(master + needed)
    for name, text in (files or {}).items():
        (ETC / name).parent.mkdir(parents=True, exist_ok=True)
        (ETC / name).write_text(text)


def start(ports: Iterable[int] = (25,)) -> None:
    """`postfix start`, and wait until these ports are listened on."""
    run("postfix", "start")
    for port in ports:
        until(lambda port=port: f":{port:04X} 0" in listening(), f"nobody listens on port {port}")  # type: ignore[misc]


def stop() -> None:
    """`postfix stop`; nothing of it may be left."""
    run("postfix", "stop")
    until(lambda: f":{25:04X} 0" not in listening(), "port 25 is still listened on")


def listening() -> str:
    """The kernel's table of listening TCP sockets; no connection is made that would be logged."""
    tables = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    return "\n".join(line for line in tables.splitlines() if " 0A " in line)


def log() -> str:
    return LOG.read_text(errors="surrogateescape") if LOG.exists() else ""


def until(condition: Callable[[], object], what: str, patience: float = 30) -> None:
    """Wait until it is true; fails with the log when it does not become so."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def wait_for(pattern: str, patience: float = 30) -> re.Match[str]:
    """Wait until the log shows it."""
    until(lambda: re.search(pattern, log(), re.MULTILINE), f"the log does not show {pattern!r}", patience)
    found = re.search(pattern, log(), re.MULTILINE)
    assert found
    return found


class Dialogue:
    """An SMTP client that types, as over telnet."""

    def __init__(self, port: int = 25, address: str = "127.0.0.1", caller: str = "") -> None:
        self._socket = socket.create_connection((address, port), timeout=30, source_address=(caller, 0))
        self._lines = self._socket.makefile("rb")

    def reply(self) -> str:
        """The last line of the next reply; empty when the connection ends."""
        while (line := self._lines.readline().decode()) and line[3:4] == "-":
            pass
        return line.rstrip("\r\n")

    def say(self, line: str) -> str:
        self._socket.sendall(line.encode() + b"\r\n")
        return self.reply()

    def send(self, sender: str, recipient: str, content: bytes) -> str:
        """One transaction; the first reply that is not positive, or the last one. `content` with CRLF, no dots."""
        for command in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA"):
            answer = self.say(command)
            if answer[:1] not in ("2", "3"):
                self.say("RSET")
                return answer
        self._socket.sendall(content + b".\r\n")
        return self.reply()

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


# --- inside


def _prepare() -> None:
    do("ip", "link", "set", "lo", "up")
    stage = "/srv"
    do("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", stage)
    shutil.copytree("/etc", f"{stage}/etc", symlinks=True)
    do("mount", "--bind", f"{stage}/etc", "/etc")
    for folder in OWN_FOLDERS[:-1]:
        # Through a symbolic link (/var/spool/mail) the same folder would be covered twice.
        if Path(folder).exists():
            do("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", folder)
    if ETC.exists():
        shutil.move(ETC, AS_INSTALLED)
    _accounts()
    MAILBOXES.chmod(0o2775)
    os.chown(MAILBOXES, 0, 8)
    Path("/etc/resolv.conf").unlink(missing_ok=True)
    Path("/etc/resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    Path("/etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 servidor.pruebas.local servidor\n")
    Path("/etc/aliases").write_text("postmaster: root\n")


def _accounts() -> None:
    passwd, group = Path("/etc/passwd"), Path("/etc/group")
    users, groups = passwd.read_text(), group.read_text()
    for name, number in (("postfix", 1901), ("postdrop", 1902)):
        if not re.search(f"^{name}:", groups, re.MULTILINE):
            groups += f"{name}:x:{number}:\n"
    if not re.search("^postfix:", users, re.MULTILINE):
        own = re.search(r"^postfix:[^:]*:(\d+):", groups, re.MULTILINE)
        assert own
        users += f"postfix:x:1901:{own[1]}::/var/spool/postfix:/usr/sbin/nologin\n"
    for name, number in USERS.items():
        users += f"{name}:x:{number}:{number}:{name.title()}:/home/{name}:/bin/sh\n"
        groups += f"{name}:x:{number}:\n"
        Path("/home", name).mkdir()
        os.chown(f"/home/{name}", number, number)
    passwd.write_text(users)
    group.write_text(groups)


def do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")


def main() -> None:
    path, name, *arguments = sys.argv[1:]
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    status = 0
    try:
        _prepare()
        spec = importlib.util.spec_from_file_location("scene", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        getattr(module, name)(*arguments)
    except BaseException:
        traceback.print_exc()
        sys.stderr.write(f"--- mail log\n{log()[-8000:]}\n")
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # as process 1 of its namespace: all others end with it


if __name__ == "__main__":
    main()
