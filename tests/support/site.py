"""A whole mail system in a folder of its own, for tests that need processes.

    with Site(tmp_path, main={"smtpd_helo_required": "yes"}) as site:
        site.submit("ann@example.test")                       # smtplib: asserts that it is accepted
        site.wait_for(r"to=<ann@example.test>.*status=sent")   # in the log; returns the match
        assert site.mail("ann@example.test")                   # the messages in the Maildir, as bytes

SMTP listens on 127.0.0.1:`site.port`. `example.test` is a virtual mailbox domain whose every address has a Maildir,
made on first delivery, below `site.mailboxes`; everything else is refused unless `main` says more. `main` adds or
replaces main.cf settings, `master` replaces all of master.cf (`{port}` stands for the port), `services` adds lines to
the default one or replaces those of the same name and type.

Paths: `site.config`, `site.queue`, `site.data`, `site.log_file`; text of the log: `site.log`. `site.start()` and
`site.stop()` may be called many times. `site.kill("smtpd")` sends SIGKILL to every process of a program,
`site.kill("master")` to master; `site.pids("smtpd")` lists them; `site.reload()` is SIGHUP, and waits until it is done.
`site.command("postqueue", "-p")` runs a command of ours with MAIL_CONFIG set. The folder is short and in /tmp,
because names of sockets may have 107 bytes only; `tmp_path / "site"` is a link to it. As root, services run as
`site.owner`; otherwise as the caller.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]
QUEUE_FOLDERS = [
    "active",
    "bounce",
    "corrupt",
    "defer",
    "deferred",
    "flush",
    "hold",
    "incoming",
    "private",
    "saved",
    "trace",
]

MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n  -  n  60    1  pickup
cleanup   unix  n  -  n  -     0  cleanup
qmgr      unix  n  -  n  300   1  qmgr
rewrite   unix  -  -  n  -     -  trivial-rewrite
bounce    unix  -  -  n  -     0  bounce
defer     unix  -  -  n  -     0  bounce
trace     unix  -  -  n  -     0  bounce
smtp      unix  -  -  n  -     -  smtp
relay     unix  -  -  n  -     -  smtp
showq     unix  n  -  n  -     -  showq
error     unix  -  -  n  -     -  error
retry     unix  -  -  n  -     -  error
discard   unix  -  -  n  -     -  discard
local     unix  -  n  n  -     -  local
virtual   unix  -  n  n  -     -  virtual
lmtp      unix  -  -  n  -     -  lmtp
postlog   unix-dgram n - n -   1  postlogd
"""

MESSAGE = "From: bob@example.com\r\nTo: ann@example.test\r\nSubject: hello\r\n\r\nHello.\r\n"


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def service_account() -> str:
    """Whom services run as when the test runs as root."""
    for name in ("postfix", "daemon", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise RuntimeError("no account to run services as")


def drop_group() -> str:
    """The group of sendmail and postqueue when the test runs as root."""
    for name in ("postdrop", "daemon", "nogroup"):
        with contextlib.suppress(KeyError):
            return grp.getgrnam(name).gr_name
    raise RuntimeError("no group for the queue")


class Site:
    """See above. Not started until `start`, or `with`."""

    def __init__(
        self,
        tmp_path: Path,
        main: dict[str, str] | None = None,
        master: str | None = None,
        services: Iterable[str] = (),
        program: list[str] | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ef-", dir="/tmp"))
        self.folder.chmod(0o755)
        with contextlib.suppress(OSError):
            (tmp_path / "site").symlink_to(self.folder)
        self.root = os.geteuid() == 0
        self.owner = service_account() if self.root else pwd.getpwuid(os.geteuid()).pw_name
        self.group = drop_group() if self.root else grp.getgrgid(os.getegid()).gr_name
        self.config, self.queue, self.data = self.folder / "etc", self.folder / "queue", self.folder / "data"
        self.mailboxes, self.log_file = self.folder / "mail", self.folder / "mail.log"
        self.port = free_port()
        self._program = program or [sys.executable, "-m", "estafeta.daemons.master"]
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: list[int] = []
        self._make_folders()
        self.write_main(main or {})
        self.write_master(MASTER if master is None else master, services)

    # --- configuration

    def _make_folders(self) -> None:
        for folder in (self.config, self.queue, self.data, self.mailboxes, *(self.queue / n for n in QUEUE_FOLDERS)):
            folder.mkdir()
        for folder in (self.data, *(self.queue / n for n in QUEUE_FOLDERS)):
            folder.chmod(0o700)
        for name, mode in (("pid", 0o755), ("public", 0o2710), ("maildrop", 0o1730)):
            (self.queue / name).mkdir()
            (self.queue / name).chmod(mode)
        if self.root:
            account = pwd.getpwnam(self.owner)
            for folder in (self.data, *(self.queue / n for n in QUEUE_FOLDERS)):
                os.chown(folder, account.pw_uid, -1)
            for name in ("public", "maildrop"):
                os.chown(self.queue / name, account.pw_uid, grp.getgrnam(self.group).gr_gid)
            os.chown(self.mailboxes, *self._delivery_ids())

    def _delivery_ids(self) -> tuple[int, int]:
        """User and group of the virtual mailboxes."""
        if not self.root:
            return os.getuid(), os.getgid()
        account = pwd.getpwnam("nobody")
        return account.pw_uid, account.pw_gid

    def write_main(self, main: dict[str, str]) -> None:
        """Write main.cf: the defaults of a site, with `main` on top."""
        uid, gid = self._delivery_ids()
        settings = {
            "compatibility_level": "3.6",
            "queue_directory": str(self.queue),
            "data_directory": str(self.data),
            "mail_owner": self.owner,
            "setgid_group": self.group,
            "maillog_file": str(self.log_file),
            "maillog_file_prefixes": "/tmp",
            "maillog_file_permissions": "0644",
            "myhostname": "mail.example.test",
            "mydomain": "example.test",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8 [::1]/128",
            "inet_interfaces": "loopback-only",
            "inet_protocols": "ipv4",
            "alias_maps": "",
            "alias_database": "",
            "virtual_mailbox_domains": "example.test",
            "virtual_mailbox_base": str(self.mailboxes),
            "virtual_mailbox_maps": "mailbox:%d/%u/",
            "virtual_uid_maps": f"static:{uid}",
            "virtual_gid_maps": f"static:{gid}",
            "virtual_minimum_uid": "1",
            "service_throttle_time": "1s",
            "smtpd_peername_lookup": "no",
        } | main
        (self.config / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))

    def write_master(self, master: str = MASTER, services: Iterable[str] = ()) -> None:
        """Write master.cf, with `services` in place of the lines of the same name and type, or added."""
        lines = {
            tuple(line.split()[:2]): line for line in master.replace("{port}", str(self.port)).splitlines() if line
        }
        if not services:
            (self.config / "master.cf").write_text(master.replace("{port}", str(self.port)))
            return
        for line in services:
            own = line.replace("{port}", str(self.port))
            lines[tuple(own.split()[:2])] = own
        (self.config / "master.cf").write_text("\n".join(lines.values()) + "\n")

    # --- life

    def __enter__(self) -> Site:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if reason is not None:
            sys.stderr.write(f"--- log of the site\n{self.log[-20000:]}\n")
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, patience: float = 30) -> None:
        """Start master and wait until it listens. Fails with the log when it does not come up."""
        seen = self.log.count("daemon started")
        self._process = subprocess.Popen(
            [*self._program, "-d", "-c", str(self.config)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._groups.append(self._process.pid)
        deadline = time.monotonic() + patience
        while self.log.count("daemon started") == seen:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"master did not start (status {self._process.poll()}):\n{self.log}")
            time.sleep(0.01)

    @property
    def environment(self) -> dict[str, str]:
        """For commands of ours."""
        return os.environ | {
            "MAIL_CONFIG": str(self.config),
            "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))),
        }

    def stop(self, patience: float = 20) -> None:
        """End everything that was started here, politely first."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        self._groups.clear()

    def reload(self, patience: float = 20) -> None:
        """SIGHUP, and wait until master has dealt with it (which is when the log says so)."""
        seen = self.log.count(": reload -- version")
        self.signal_master(signal.SIGHUP)
        self._until(lambda: self.log.count(": reload -- version") > seen, patience, "no reload")

    def signal_master(self, number: int) -> None:
        assert self._process is not None, "the site is not running"
        self._process.send_signal(number)

    @property
    def master_pid(self) -> int:
        assert self._process is not None, "the site is not running"
        return self._process.pid

    def pids(self, program: str) -> list[int]:
        """The processes of one program (`smtpd`, `qmgr`, ...) that run now."""
        if program == "master":
            return [self.master_pid] if self._process is not None and self._process.poll() is None else []
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):
                pid = int(folder.name)
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                if (
                    (folder / "comm").read_text().strip() == program[:15]
                    and os.getpgid(pid) in self._groups
                    and state != "Z"
                ):
                    found.append(pid)
        return found

    def kill(self, program: str, number: int = signal.SIGKILL) -> list[int]:
        """Send a signal, by default one that nobody survives, to all processes of a program; which they were."""
        pids = self.pids(program)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if program == "master" and number == signal.SIGKILL and self._process is not None:
            self._process.wait()
            self._process = None
        return pids

    # --- what a test looks at

    @property
    def log(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self.log_file.read_text(errors="surrogateescape")
        return ""

    def wait_for(self, pattern: str, patience: float = 20, since: int = 0) -> re.Match[str]:
        """Wait until the log (from character `since`) matches; fails with the log when it does not in time."""
        deadline = time.monotonic() + patience
        while True:
            if found := re.search(pattern, self.log[since:], re.MULTILINE):
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"the log does not show {pattern!r}:\n{self.log[-20000:]}")
            time.sleep(0.01)

    def wait_until(
        self, condition: object, patience: float = 20, what: str = "what was waited for did not happen"
    ) -> None:
        """Wait until `condition()` is true."""
        self._until(condition, patience, what)

    def _until(self, condition: object, patience: float, what: str) -> None:
        assert callable(condition)
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}:\n{self.log[-20000:]}")
            time.sleep(0.01)

    def client(self, timeout: float = 20) -> smtplib.SMTP:
        """A connected SMTP client (before EHLO)."""
        return smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.example", timeout=timeout)

    def submit(
        self,
        recipient: str | list[str] = "ann@example.test",
        message: str | bytes = MESSAGE,
        sender: str = "bob@example.com",
    ) -> str:
        """Hand in one message; raises smtplib's exceptions when it is refused. Returns the queue id."""
        with self.client() as client:
            client.ehlo_or_helo_if_needed()
            for command in (
                f"MAIL FROM:<{sender}>",
                *(f"RCPT TO:<{r}>" for r in ([recipient] if isinstance(recipient, str) else recipient)),
            ):
                code, text = client.docmd(command)
                if code != 250:
                    raise smtplib.SMTPResponseException(code, text)
            code, text = client.data(message)
            if code != 250:
                raise smtplib.SMTPDataError(code, text)
            return text.decode().rpartition(" ")[2]

    def mail(self, address: str) -> list[bytes]:
        """What is in the Maildir of an address of example.test, oldest first."""
        user, _, domain = address.partition("@")
        folder = self.mailboxes / domain / user
        files = [*folder.glob("new/*"), *folder.glob("cur/*")]
        return [path.read_bytes() for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)]

    def wait_for_mail(self, address: str, count: int = 1, patience: float = 20) -> list[bytes]:
        """Wait until there are at least `count` messages."""
        self._until(lambda: len(self.mail(address)) >= count, patience, f"fewer than {count} messages for {address}")
        return self.mail(address)

    def command(
        self, name: str, *arguments: str, stdin: bytes = b"", timeout: float = 30
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `estafeta.commands.<name>`."""
        return subprocess.run(
            [
                sys.executable,
                "-c",
                f"import sys; from estafeta.commands.{name} import main; sys.exit(main())",
                *arguments,
            ],
            env=self.environment,
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
