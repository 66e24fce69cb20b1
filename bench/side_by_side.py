"""Side by side with Debian's Postfix, in one run: relaying, Maildir delivery, latency. Run as root: `make bench`.

    python bench/side_by_side.py [--messages N] [--only relay,maildir,latency] [--rounds K]

smtp-source sends 4 KB messages over loopback, smtp-sink takes them. A run counts from the first connection until the
last message has arrived. Ratios above 1 are in our favour.
"""

from __future__ import annotations

import argparse
import os
import shutil
import smtplib
import socket
import socketserver
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mta import Mta
from traffic import Sink, finished, free_port, source, wait_for

SIZE = 4096
LETTER = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * (SIZE // 72)


@dataclass
class Figures:
    rate: float
    cpu: float
    memory: float


def measure(
    mta: Mta, messages: int, sessions: int, recipient: str, arrived: Callable[[], int], *, keep: bool
) -> Figures:
    """One run. `arrived()` counts what has come to its end."""
    before, cpu, began = arrived(), mta.cpu(), time.perf_counter()
    mta.reset_peak()
    sender = source(mta.port, messages, sessions, recipient, keep=keep, size=SIZE)
    took = wait_for(arrived, before + messages, f"{mta.name}, see {mta.log}") - began
    finished(sender)
    time.sleep(1.1)
    return Figures(messages / took, (mta.cpu() - cpu) / messages * 1000, mta.peak_memory)


def relay(folder: Path, messages: int, rounds: int) -> None:
    for keep in (True, False):
        for sessions in (100, 20):
            title = f"relay, {sessions} sessions, {'connection kept' if keep else 'connection per message'}"
            compare(title, folder, messages, rounds, sessions, keep=keep, maildir=False)


def maildir(folder: Path, messages: int, rounds: int) -> None:
    compare("Maildir, 20 sessions, connection kept", folder, messages, rounds, 20, keep=True, maildir=True)


def compare(title: str, folder: Path, messages: int, rounds: int, sessions: int, *, keep: bool, maildir: bool) -> None:
    results: dict[str, list[Figures]] = {}
    for turn in range(rounds):
        for ours in (False, True):
            place = folder / f"{turn}{int(ours)}"
            sink = None if maildir else Sink()
            main: dict[str, str] = {}
            if sink is not None:
                main["relayhost"] = f"[127.0.0.1]:{sink.port}"
            boxes = place / "boxes"
            if maildir:
                main |= {
                    "virtual_mailbox_domains": "box.test",
                    "virtual_mailbox_base": str(boxes),
                    "virtual_mailbox_maps": "static:user/",
                    "virtual_uid_maps": "static:65534",
                    "virtual_gid_maps": "static:65534",
                }
            mta = Mta(place, free_port(), main, ours=ours)
            if maildir:
                boxes.mkdir()
                boxes.chmod(0o777)  # the mailboxes' owner is nobody
            try:
                mta.start()
                recipient = "user@box.test" if maildir else "someone@example.org"
                arrived = _sink_count(sink) if sink is not None else _box_count(boxes / "user" / "new")
                measure(mta, min(500, messages), sessions, recipient, arrived, keep=keep)  # warm: processes are up
                results.setdefault(mta.name, []).append(measure(mta, messages, sessions, recipient, arrived, keep=keep))
            finally:
                mta.stop()
                if sink is not None:
                    sink.stop()
                shutil.rmtree(place, ignore_errors=True)
    show(title, results)


def _sink_count(sink: Sink) -> Callable[[], int]:
    return lambda: sink.count


def _box_count(folder: Path) -> Callable[[], int]:
    def count() -> int:
        try:
            return len(os.listdir(folder))
        except FileNotFoundError:
            return 0

    return count


def median(runs: list[Figures]) -> Figures:
    return Figures(*(statistics.median(getattr(run, field) for run in runs) for field in ("rate", "cpu", "memory")))


def show(title: str, results: dict[str, list[Figures]]) -> None:
    theirs, ours = median(results["Postfix"]), median(results["Estafeta"])
    print(f"{title}")
    print(f"  Postfix   {theirs.rate:8.0f} msg/s  {theirs.cpu:6.2f} ms CPU/msg  {theirs.memory:6.0f} MB")
    print(f"  Estafeta  {ours.rate:8.0f} msg/s  {ours.cpu:6.2f} ms CPU/msg  {ours.memory:6.0f} MB")
    print(
        f"  ratio     {ours.rate / theirs.rate:8.2f}        {theirs.cpu / ours.cpu:6.2f}"
        f"             {theirs.memory / ours.memory:6.2f}",
        flush=True,
    )


class _Sink(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Arrival)
        self.arrivals: list[float] = []
        """When each message came, as perf_counter tells time."""


class _Arrival(socketserver.StreamRequestHandler):
    """The least SMTP server there is: it notes when a message has come."""

    disable_nagle_algorithm = True
    server: _Sink

    def handle(self) -> None:
        self.wfile.write(b"220 sink ESMTP\r\n")
        data = False
        while line := self.rfile.readline():
            if data:
                if line == b".\r\n":
                    data = False
                    self.server.arrivals.append(time.perf_counter())
                    self.wfile.write(b"250 2.0.0 Ok\r\n")
                continue
            verb = line[:4].upper()
            data = verb == b"DATA"
            answer = {b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n", b"EHLO": b"250-sink\r\n250 PIPELINING\r\n"}
            self.wfile.write(answer.get(verb, b"250 2.0.0 Ok\r\n"))
            if verb == b"QUIT":
                return


def latency(folder: Path, count: int = 100) -> None:
    """From the client's final dot to the arrival at the next host, one message at a time."""
    medians: dict[str, float] = {}
    for ours in (False, True):
        server = _Sink()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = folder / f"latency{int(ours)}"
        mta = Mta(place, free_port(), {"relayhost": f"[127.0.0.1]:{server.server_address[1]}"}, ours=ours)
        spans = []
        try:
            mta.start()
            client = smtplib.SMTP("127.0.0.1", mta.port, local_hostname="client.test")
            assert client.sock is not None
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else 40 ms of Nagle are measured
            for number in range(count + 5):
                came = len(server.arrivals)
                began = time.perf_counter()
                client.sendmail("sender@example.test", ["someone@example.org"], LETTER)
                while len(server.arrivals) == came:
                    time.sleep(0.0001)
                if number >= 5:
                    spans.append(server.arrivals[came] - began)
                time.sleep(0.02)
            client.quit()
        finally:
            mta.stop()
            server.shutdown()
            shutil.rmtree(place, ignore_errors=True)
        medians[mta.name] = statistics.median(spans) * 1000
    print("latency of a single message, unloaded, MAIL to arrival at the next host (median)")
    print(f"  Postfix   {medians['Postfix']:8.2f} ms\n  Estafeta  {medians['Estafeta']:8.2f} ms")
    print(f"  ratio     {medians['Postfix'] / medians['Estafeta']:8.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default="relay,maildir,latency")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="estafeta-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        if "relay" in chosen.only:
            relay(folder, chosen.messages, chosen.rounds)
        if "maildir" in chosen.only:
            maildir(folder, chosen.messages, chosen.rounds)
        if "latency" in chosen.only:
            latency(folder)


if __name__ == "__main__":
    main()
