"""Several machines in one room: each its own /etc/postfix, users, mailboxes, queue and address, one network, one DNS.

    def scene() -> None:                                     # played by `tests.support.room.play`
        with Network(zone, outside="203.0.113.25") as net:
            relay = Machine("relay.univ.es", "192.168.1.1")
            relay.configure(main, master, {"transport": TRANSPORT})
            relay.start()
            typed = net.telnet("192.168.1.1", caller="203.0.113.66")

A machine is a mount namespace inside the room, so that the configuration stands where the tutorials have it and
commands are called as they print them. All share the loopback interface, on which every machine has an address; what
this asks of main.cf (`Machine.own`) is appended to it under a heading of its own. With ESTAFETA_SYSTEM=postfix the
same machines run the real Postfix, for comparing by hand (`tests.whole.test_two_levels` says how).
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from tests.support import room
from tests.support.dns_server import DnsServer, Zone
from tests.support.printed import merged
from tests.support.room import Dialogue
from tests.support.smtp_sink import Message, SmtpSink

REAL = os.environ.get("ESTAFETA_SYSTEM") == "postfix"
COMMANDS = Path("/usr/sbin") if REAL else room.COMMANDS
HOMES = Path("/srv/machines")
OWN = {"mail": "/var/mail", "spool": "/var/spool", "lib": "/var/lib", "log": "/var/log", "home": "/home"}
POSTLOG = "\n# --- the test's own\npostlog unix-dgram n - n - 1 postlogd\n"


class Machine:
    """One host. `users` have mailboxes there; root and the accounts of the mail system always exist."""

    def __init__(self, name: str, address: str, users: Iterable[str] = ()) -> None:
        self.name, self.address = name, address
        self.place = HOMES / name
        self.users: dict[str, int] = {}
        room.do("ip", "address", "add", f"{address}/32", "dev", "lo")
        shutil.copytree("/etc", self.place / "etc", symlinks=True)
        for folder in OWN:
            (self.place / folder).mkdir()
        for folder in ("spool", "lib") if REAL else ():  # which ours makes
            (self.place / folder / "postfix").mkdir()
        os.chown(self.place / "mail", 0, 8)
        (self.place / "mail").chmod(0o2775)
        self.etc, self.mailboxes = self.place / "etc/postfix", self.place / "mail"
        (self.place / "etc/hosts").write_text("127.0.0.1 localhost\n")
        self._add_users(users)
        self._holder = self._begin()

    def _add_users(self, users: Iterable[str]) -> None:
        passwd, group = self.place / "etc/passwd", self.place / "etc/group"
        entries = [line for line in passwd.read_text().splitlines() if line.split(":")[0] not in room.USERS]
        names = group.read_text().splitlines()
        for number, user in enumerate(users, 3001):
            home = self.place / "home" / user
            home.mkdir()
            os.chown(home, number, number)
            entries.append(f"{user}:x:{number}:{number}:{user.title()}:/home/{user}:/bin/sh")
            names.append(f"{user}:x:{number}:")
            self.users[user] = number
        passwd.write_text("\n".join(entries) + "\n")
        if REAL:
            shutil.chown(self.place / "lib/postfix", "postfix")
        group.write_text("\n".join(names) + "\n")

    def _begin(self) -> subprocess.Popen[bytes]:
        """A process that holds the namespaces until the room is left."""
        places = {"etc": "/etc", **OWN}
        mounts = [f"mount --bind {self.place / own} {there}" for own, there in places.items() if Path(there).exists()]
        script = " && ".join([*mounts, f"hostname {self.name}", "echo ready", "exec sleep infinity"])
        holder = subprocess.Popen(
            ["unshare", "--mount", "--uts", "--propagation", "private", "sh", "-c", script], stdout=subprocess.PIPE
        )
        assert holder.stdout is not None and holder.stdout.readline() == b"ready\n", self.name
        return holder

    @property
    def own(self) -> dict[str, str]:
        """What main.cf needs on top of what is printed, because all machines are on one loopback interface."""
        settings = {
            "inet_interfaces": self.address,
            "inet_protocols": "ipv4",
            "maillog_file": str(room.LOG),
            "maillog_file_prefixes": "/var",
        }
        if REAL:
            settings |= {"daemon_directory": "/usr/lib/postfix/sbin", "meta_directory": str(room.AS_INSTALLED)}
        return settings

    def configure(
        self, main: str, master: str, files: dict[str, str] | None = None, own: dict[str, str] | None = None
    ) -> None:
        """Write /etc/postfix anew: `main` with what is the test's `own` in place of lines of the same name.

        `files` are more of them, by name in /etc/postfix or by whole path.
        """
        shutil.rmtree(self.etc, ignore_errors=True)
        self.etc.mkdir()
        own = self.own | (own or {})
        (self.etc / "main.cf").write_text(merged(main, own, "# --- the test's own"))
        (self.etc / "master.cf").write_text(master + ("" if "postlogd" in master else POSTLOG))
        for name, text in (files or {}).items():
            path = self.place / name.lstrip("/") if name.startswith("/") else self.etc / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    # --- commands

    def run(self, *command: str, text: str | bytes = "", user: str = "", status: int | None = 0) -> str:
        """Run a command there, by its name one of the mail system; what it wrote. `status` None: any will do."""
        words = list(command)
        if "/" not in words[0]:
            words[0] = str((Path("/usr/bin") if REAL and words[0] in ("mailq", "newaliases") else COMMANDS) / words[0])
        number = str(self.users[user]) if user else "0"
        environment = {**os.environ, "PATH": f"{COMMANDS}:{os.environ.get('PATH', '')}"}
        if user:
            environment |= {"USER": user, "LOGNAME": user, "HOME": f"/home/{user}"}
            words = ["setpriv", "--reuid", number, "--regid", number, "--clear-groups", *words]
        raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        enter = ["nsenter", "--target", str(self._holder.pid), "--mount", "--uts", "--wd=/"]
        done = subprocess.run(
            [*enter, *words], input=raw, capture_output=True, env=environment, timeout=60, check=False
        )
        said = (done.stdout + done.stderr).decode("utf-8", "surrogateescape")
        assert status in (None, done.returncode), f"{self.name}: {' '.join(command)}: {done.returncode}\n{said}"
        return said

    def start(self) -> str:
        """`postfix start`, and wait until it listens; what the command said."""
        said = self.run("postfix", "start")
        number = "".join(f"{int(part):02X}" for part in reversed(self.address.split(".")))
        room.until(lambda: f" {number}:0019 0" in room.listening(), f"{self.name} does not listen\n{self.log}")
        return said

    def stop(self) -> None:
        self.run("postfix", "stop")

    # --- what a test looks at

    @property
    def log(self) -> str:
        path = self.place / "log" / room.LOG.name
        return path.read_text(errors="surrogateescape") if path.exists() else ""

    def wait_for(self, pattern: str, patience: float = 30) -> re.Match[str]:
        """Wait until the log of this machine shows it."""
        room.until(
            lambda: re.search(pattern, self.log, re.MULTILINE), f"{self.name} does not log {pattern!r}", patience
        )
        found = re.search(pattern, self.log, re.MULTILINE)
        assert found
        return found

    def mailbox(self, user: str) -> list[str]:
        """The messages in /var/mail/USER, each from its `From ` line on."""
        path = self.mailboxes / user
        return re.split(r"(?m)^(?=From )", path.read_text())[1:] if path.exists() else []

    def wait_for_mail(self, user: str, holding: str) -> str:
        """Wait until a message that holds this text is in the mailbox; the message."""

        def found() -> list[str]:
            return [message for message in self.mailbox(user) if holding in message]

        room.until(found, f"{self.name}: no message with {holding!r} for {user}")
        return found()[0]

    def complaints(self) -> list[str]:
        """Lines of the log that no healthy system writes; what a parameter cannot do yet is said in warnings."""
        if REAL:
            return []  # today's Postfix has no sdbm: tables and no fifos, and says so
        return re.findall(r"^.*(?:fatal:|panic:|error:|Traceback).*$", self.log, re.MULTILINE)


class Network:
    """The name server, and the rest of the world: one SMTP server that takes everything, at address `outside`."""

    def __init__(self, zone: Zone, outside: str, callers: Iterable[str] = ()) -> None:
        self._dns = DnsServer(zone, port=53)
        self.outside = outside
        self.sink = SmtpSink(name="mx.ejemplo.example")
        self._callers = [outside, *callers]
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> Network:
        for address in self._callers:
            room.do("ip", "address", "add", f"{address}/32", "dev", "lo")
        self._dns.start()
        ready = threading.Event()

        def serve() -> None:
            self._loop.run_until_complete(self.sink.listen(self.outside, 25))
            ready.set()
            self._loop.run_forever()

        threading.Thread(target=serve, daemon=True).start()
        assert ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        if reason is not None:
            for path in sorted(HOMES.glob("*/log/mail.log")):
                sys.stderr.write(f"--- {path.parts[-3]}\n{path.read_text(errors='replace')[-4000:]}\n")

    def telnet(self, address: str, caller: str, port: int = 25) -> Dialogue:
        """A connection to a machine from `caller`, one of the addresses that were named."""
        return Dialogue(port, address, caller)

    def arrived(self, holding: str) -> Message:
        """Wait until the world outside has a message that holds this text."""

        def found() -> list[Message]:
            return [message for message in self.sink.messages if holding.encode() in message.content]

        room.until(found, f"nothing with {holding!r} went out")
        return found()[0]
