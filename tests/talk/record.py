"""Ask a real Postfix what it answers: fills in the S: and L: lines of .talk files.

    python -m tests.talk.record tests/talk/new_rule.talk ...      write what Postfix said
    python -m tests.talk.record --check                          compare all files with what Postfix says

Needs root and Debian's postfix package; uses directories of its own and a loopback port, and leaves /etc/postfix alone.
The file needs only settings and C: lines beforehand.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.talk.dialogue import BASE, CLOSE, Dialogue, matches, parse

PORT = int(os.environ.get("TALK_PORT", "10125"))
FIRST = 1.5
"""Seconds until the first reply at the latest."""
QUIET = 0.15
"""Seconds of silence after which no more is coming."""

MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
"""
AGENTS = ["smtp", "relay", "local", "virtual", "lmtp", "error", "retry", "discard"]
HELPERS = {"rewrite": "trivial-rewrite", "bounce": "bounce", "defer": "bounce", "trace": "bounce", "verify": "verify"}
HELPERS |= {"flush": "flush", "proxymap": "proxymap", "showq": "showq", "anvil": "anvil", "scache": "scache"}


SINGLE = {"verify": "1", "anvil": "1", "scache": "1"}


class Postfix:
    """A running instance of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.etc = home / "etc"
        self.log = home / "log"
        self.settings: dict[str, str] = {}
        for folder in ("etc", "queue", "data"):
            (home / folder).mkdir()
        shutil.chown(home / "data", "postfix")
        home.chmod(0o755)
        table = MASTER.format(port=PORT)
        table += "".join(
            f"{name} unix - - n - {SINGLE.get(name, '-')} {program}\n" for name, program in HELPERS.items()
        )
        table += "".join(f"{name} unix - - n - - discard\n" for name in AGENTS)
        (self.etc / "master.cf").write_text(table)
        self.configure({})
        self.postfix("start")

    def postfix(self, command: str) -> None:
        subprocess.run(["postfix", "-c", str(self.etc), command], check=True, capture_output=True)

    def configure(self, settings: dict[str, str]) -> None:
        own = {
            "queue_directory": self.home / "queue",
            "data_directory": self.home / "data",
            "command_directory": "/usr/sbin",
            "daemon_directory": "/usr/lib/postfix/sbin",
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "maillog_file": self.log,
            "maillog_file_prefixes": "/var, /dev/stdout, /tmp",
        }
        lines = [f"{name} = {value}\n" for name, value in (own | BASE | settings).items()]
        (self.etc / "main.cf").write_text("".join(lines))

    def use(self, dialogue: Dialogue) -> None:
        extra = {"smtpd_authorized_xclient_hosts": "127.0.0.1"} if dialogue.client else {}
        self.configure(dialogue.settings | extra)
        self.postfix("reload")
        time.sleep(0.7)

    def talk(self, dialogue: Dialogue) -> tuple[list[list[str]], list[str]]:
        """The replies to each step, and smtpd's log lines."""
        self.use(dialogue)
        start = self.log.stat().st_size if self.log.exists() else 0
        client = socket.create_connection(("127.0.0.1", PORT))
        found = [heard(client, 10)]
        if dialogue.client:
            name, address = dialogue.client
            name = "[UNAVAILABLE]" if name == "unknown" else name
            address = f"IPV6:{address}" if ":" in address else address
            reverse = " REVERSE_NAME=[UNAVAILABLE]" if name.startswith("[") else ""
            client.sendall(f"XCLIENT NAME={name} ADDR={address}{reverse}\r\n".encode())
            found = [heard(client)]
        for step in dialogue.steps[1:]:
            if step.sent is None:
                client.shutdown(socket.SHUT_WR)
            else:
                with contextlib.suppress(OSError):
                    client.sendall(step.sent)
            found.append(heard(client))
        client.close()
        if dialogue.client:
            # Offered only because the client of a dialogue is made up with it.
            found = [[line for line in lines if not line.startswith("250-XCLIENT ")] for lines in found]
        time.sleep(0.4)
        text = self.log.read_bytes()[start:].decode(errors="replace")
        lines = [m[1] for m in re.finditer(r"postfix/smtpd\[\d+\]: (.*)", text)]
        if dialogue.client:
            lines = lines[1:]
            lines = [re.sub(r" xclient=[0-9/]+", "", line) for line in lines]
            lines = [re.sub(r"commands=(\d+)(/\d+)?$", "commands=*", line) for line in lines]
            lines.insert(0, f"connect from {dialogue.client[0]}[{dialogue.client[1]}]")
        return found, lines


def heard(client: socket.socket, first: float = FIRST) -> list[str]:
    got, closed = b"", False
    while True:
        client.settimeout(QUIET if got else first)
        try:
            data = client.recv(65536)
        except TimeoutError:
            break
        except ConnectionError:
            closed = True
            break
        if not data:
            closed = True
            break
        got += data
    lines = got.decode(errors="replace").split("\r\n")[:-1]
    return lines + ([CLOSE] if closed else [])


def anonymous(text: str) -> str:
    """Queue ids as `*`."""
    return re.sub(r"(?<=\]:)[0-9]+\b", "*", re.sub(r"\b[0-9A-F]{9,12}\b", "*", text))


def rewrite(path: Path, dialogue: Dialogue, replies: list[list[str]], log: list[str]) -> None:
    out = [*dialogue.comments]
    out += [f"{name} = {value}".rstrip() for name, value in dialogue.settings.items()]
    if dialogue.client:
        out.append(f"client = {dialogue.client[0]}[{dialogue.client[1]}]")
    if out:
        out.append("")
    told = iter(replies)
    out += [f"S: {anonymous(line)}" for line in next(told)]
    for mark, text in dialogue.lines:
        if mark[0] != "C":
            continue
        out.append(f"{mark} {text}")
        if mark == "C:":
            out += [f"S: {anonymous(line)}" for line in next(told)]
    out += [f"L: {anonymous(line)}" for line in log]
    path.write_text("\n".join(out) + "\n", "utf-8")


def differences(dialogue: Dialogue, replies: list[list[str]], log: list[str]) -> Iterator[str]:
    for step, told in zip(dialogue.steps, replies, strict=True):
        if len(told) != len(step.replies) or not all(map(matches, step.replies, told)):
            yield f"{dialogue.name}: after {step.sent!r}: expected {step.replies}, Postfix says {told}"
    if dialogue.log and (len(log) != len(dialogue.log) or not all(map(matches, dialogue.log, log))):
        yield f"{dialogue.name}: log: expected {dialogue.log}, Postfix logs {log}"


def main() -> int:
    check = "--check" in sys.argv
    files = [Path(word) for word in sys.argv[1:] if word != "--check"]
    bad = 0
    with tempfile.TemporaryDirectory(prefix="talk-") as home:
        postfix = Postfix(Path(home))
        try:
            for path in files or sorted(Path(__file__).parent.glob("*.talk")):
                dialogue = parse(path)
                replies, log = postfix.talk(dialogue)
                if check:
                    for difference in differences(dialogue, replies, log):
                        bad += 1
                        print(difference)
                else:
                    rewrite(path, dialogue, replies, log)
                    print(path.name)
        finally:
            postfix.postfix("stop")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
