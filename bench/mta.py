"""The two mail systems under test, started alike: the same main.cf, the same queue file system, the same machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
OURS = Path(sys.executable).parent
DEBIAN = Path("/usr/sbin")

MASTER_CF = """\
{port} inet n - n - {clients} smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - {deliveries} smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Mta:
    """One mail system in a folder of its own. `ours`: Estafeta, else Debian's Postfix.

    `clients` and `deliveries` are the process limits of smtpd and smtp in master.cf, `-` for the default.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        main: dict[str, str],
        *,
        ours: bool,
        clients: str = "-",
        deliveries: str = "-",
    ) -> None:
        self.name = "Estafeta" if ours else "Postfix"
        self.ours = ours
        self.port = port
        self.folder = folder
        self._bin = OURS if ours else DEBIAN
        self.config, self.queue, self.log = folder / "etc", folder / "queue", folder / "log" / "mail.log"
        for path in (self.config, self.queue, folder / "data", folder / "log"):
            path.mkdir(parents=True)
        settings = {
            "compatibility_level": "3.6",
            "queue_directory": str(self.queue),
            "data_directory": str(folder / "data"),
            "maillog_file": str(self.log),
            "maillog_file_prefixes": str(folder),
            "myhostname": "mail.example.test",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "smtpd_client_connection_count_limit": "0",
        }
        if not ours:
            settings |= {"daemon_directory": "/usr/lib/postfix/sbin", "shlib_directory": "/usr/lib/postfix"}
        settings |= main
        text = "".join(f"{name} = {value}\n" for name, value in settings.items())
        (self.config / "main.cf").write_text(text)
        (self.config / "master.cf").write_text(MASTER_CF.format(port=port, clients=clients, deliveries=deliveries))
        shutil.chown(folder / "data", "postfix")
        self.master = 0
        self._peak = 0
        self._read: dict[str, tuple[int, int]] = {}
        self._sampling: threading.Thread | None = None

    def command(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._bin / name), "-c", str(self.config), *arguments], capture_output=True, text=True, check=False
        )

    def set(self, settings: dict[str, str]) -> None:
        """Change main.cf. Raises SystemExit."""
        for name, value in settings.items():
            done = self.command("postconf", "-e", f"{name} = {value}")
            if done.returncode:
                raise SystemExit(f"{self.name}: {done.stderr}")

    def removed(self) -> int:
        """Messages that have left the queue, by the log."""
        return self._counted(": removed")

    def deferred(self) -> int:
        """Deliveries that were put off, by the log."""
        return self._counted("status=deferred")

    def _counted(self, words: str) -> int:
        """Lines of the log with these words; only what is new is read."""
        offset, count = self._read.get(words, (0, 0))
        try:
            with self.log.open("rb") as log:
                log.seek(offset)
                new = log.read()
        except FileNotFoundError:
            return count
        new = new[: new.rfind(b"\n") + 1]
        count += new.count(words.encode())
        self._read[words] = offset + len(new), count
        return count

    def start(self) -> None:
        done = self.command("postfix", "start")
        pid_file = self.queue / "pid" / "master.pid"
        for _ in range(200):
            if pid_file.exists() and pid_file.read_text().strip():
                break
            time.sleep(0.05)
        else:
            raise SystemExit(f"{self.name} does not start: {done.stdout}{done.stderr}")
        self.master = int(pid_file.read_text())
        self._sampling = threading.Thread(target=self._sample, daemon=True)
        self._sampling.start()

    def stop(self) -> None:
        master, self.master = self.master, 0
        if not master:
            return
        self.command("postfix", "stop")
        for _ in range(100):
            if not Path(f"/proc/{master}").exists():
                return
            time.sleep(0.1)
        for pid in [master, *_descendants(master)]:
            os.kill(pid, signal.SIGKILL)

    def cpu(self) -> float:
        """Seconds of processor time of all its processes so far, those that ended included."""
        ticks = 0
        for pid in [self.master, *_descendants(self.master)]:
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
            except OSError:
                continue
            ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Kilobytes of proportional set size now, all processes together."""
        total = 0
        for pid in [self.master, *_descendants(self.master)]:
            try:
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
            except OSError:
                continue
        return total

    @property
    def peak_memory(self) -> float:
        """Megabytes of proportional set size, all processes together, highest sample."""
        return self._peak / 1024

    def reset_peak(self) -> None:
        self._peak = 0

    def _sample(self) -> None:
        while self.master:
            self._peak = max(self._peak, self.memory())
            time.sleep(1.0)


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rsplit(") ", 1)[1].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, waiting = [], [root]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.append(child)
            waiting.append(child)
    return found
