"""What the benchmarks send with and to: Debian's smtp-source and smtp-sink, idle clients, hosts that never answer."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BufferedIOBase

STALL = 60.0
"""Seconds without a single arrival after which a run has failed."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Sink:
    """smtp-sink, counting the messages that have come."""

    def __init__(self, host: str = "127.0.0.1", most: int = 256) -> None:
        self.port = free_port()
        self.count = 0
        self._process = subprocess.Popen(
            ["/usr/sbin/smtp-sink", "-c", "-u", "nobody", "-m", str(most), f"{host}:{self.port}", "1000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while data := self._process.stdout.read1(65536):  # type: ignore[attr-defined]  # a BufferedReader
            numbers = re.findall(rb"mesg=(\d+)\r", data)
            if numbers:
                self.count = int(numbers[-1])

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def source(
    port: int,
    messages: int,
    sessions: int,
    recipient: str,
    *,
    keep: bool = True,
    size: int = 4096,
    recipients: int = 1,
) -> subprocess.Popen[bytes]:
    """smtp-source, started. `recipients` above 1 puts a number before each address."""
    arguments = ["/usr/sbin/smtp-source", "-s", str(sessions), "-m", str(messages), "-l", str(size)]
    arguments += ["-f", "sender@example.test", "-t", recipient, "-r", str(recipients)]
    if keep:
        arguments.append("-d")
    return subprocess.Popen([*arguments, f"inet:127.0.0.1:{port}"], stderr=subprocess.PIPE)


def finished(sender: subprocess.Popen[bytes]) -> None:
    """Wait for smtp-source; SystemExit with its words when it failed."""
    _, words = sender.communicate()
    if sender.returncode != 0:
        raise SystemExit(f"smtp-source: {words.decode()}")


def wait_for(arrived: Callable[[], int], wanted: int, what: str, stall: float = STALL) -> float:
    """Until `wanted` have come. Returns when the last did, in perf_counter seconds; SystemExit when nothing moves."""
    last, changed = arrived(), time.perf_counter()
    while last < wanted:
        time.sleep(0.01)
        now = arrived()
        if now != last:
            last, changed = now, time.perf_counter()
        elif time.perf_counter() - changed > stall:
            raise SystemExit(f"{what}: stuck at {last} of {wanted}")
    return changed


def send_each(port: int, recipients: list[str], sessions: int = 20) -> None:
    """A 4 KB message of its own to each recipient, over a few connections. Raises OSError."""
    shares = [recipients[start::sessions] for start in range(min(sessions, len(recipients)))]
    with ThreadPoolExecutor(len(shares)) as threads:
        list(threads.map(lambda share: _send_share(port, share), shares))


def _send_share(port: int, recipients: list[str]) -> None:
    content = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 56 + b".\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client, client.makefile("rb") as replies:
        _expect(replies, b"220")
        client.sendall(b"EHLO client.example.test\r\n")
        _expect(replies, b"250")
        for recipient in recipients:
            client.sendall(b"MAIL FROM:<sender@example.test>\r\nRCPT TO:<%b>\r\nDATA\r\n" % recipient.encode())
            for code in (b"250", b"250", b"354"):
                _expect(replies, code)
            client.sendall(content)
            _expect(replies, b"250")
        client.sendall(b"QUIT\r\n")


def _expect(replies: BufferedIOBase, code: bytes) -> None:
    while True:
        line = replies.readline()
        if not line.startswith(code):
            raise ConnectionError(f"{line!r} instead of {code.decode()}")
        if line[3:4] != b"-":
            return


class Idlers:
    """Clients that greet and then say nothing: connections held open."""

    def __init__(self, port: int, number: int) -> None:
        self._sockets: list[socket.socket] = []
        for _ in range(number):
            client = socket.create_connection(("127.0.0.1", port), timeout=60)
            self._sockets.append(client)
            if len(self._sockets) % 100 == 0:
                self._greet(self._sockets[-100:])
        self._greet(self._sockets[-(number % 100) :] if number % 100 else [])

    @staticmethod
    def _greet(clients: list[socket.socket]) -> None:
        for client in clients:
            if not client.recv(4096).startswith(b"220"):
                raise SystemExit("a held connection was not greeted")
            client.sendall(b"EHLO client.example.test\r\n")
        for client in clients:
            if not client.recv(4096).startswith(b"250"):
                raise SystemExit("a held connection was not let in")

    @property
    def alive(self) -> int:
        """How many the server has not closed or spoken to."""
        poll = select.poll()
        for client in self._sockets:
            poll.register(client, select.POLLIN)
        return len(self._sockets) - len(poll.poll(0))

    def close(self) -> None:
        for client in self._sockets:
            with contextlib.suppress(OSError):
                client.close()


class BlackHole:
    """A port that never completes a connection: its backlog is full, so every further SYN is dropped."""

    def __init__(self, host: str = "0.0.0.0") -> None:
        self._listener = socket.socket()
        self._listener.bind((host, 0))
        self._listener.listen(0)
        self.port = int(self._listener.getsockname()[1])
        self._filler = [socket.socket() for _ in range(4)]
        for each in self._filler:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", self.port))

    def close(self) -> None:
        for each in (*self._filler, self._listener):
            each.close()
