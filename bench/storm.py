"""A storm of spambots, side by side with Debian's Postfix. Run as root: `make bench`, or

    python bench/storm.py [--rate 2000] [--seconds 15] [--ours] [--small]

Every second 2,000 new clients come, each with an address and a connection of its own. Of 20, six are on a DNS block
list, six want to relay, seven write to users who do not exist, and one is a good server with a letter of 4 KB. First
the good ones come alone, then all. What is measured: how many clients a second are served to their end, whether each
hears the right answer, how long the good ones wait for their 250, and the processor time of a client. The last two
rows are of a saturated sender beside the storm: what rate is left to it. Ratios above 1 are in our favour.

It runs in a network namespace of its own, where all of 127.0.0.0/8 are clients and a block list answers on port 53.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import uvloop
from mta import Mta
from results import Results
from traffic import Sink, free_port, source

TICK = 0.01
PATIENCE = 30.0
"""Seconds a client waits for its end."""
LETTER = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 56 + b".\r\n"
LISTED, RELAYING, STRAY, GOOD = "listed", "relaying", "stray", "good"
KINDS = (*[LISTED] * 6, *[RELAYING] * 6, *[STRAY] * 7, GOOD)
OCTET = {LISTED: 1, RELAYING: 2, STRAY: 3, GOOD: 4}
RECIPIENT = {
    LISTED: b"user@good.test",
    RELAYING: b"victim@elsewhere.test",
    STRAY: b"nobody@good.test",
    GOOD: b"user@good.test",
}
EXPECTED = {LISTED: b"554 5.7.1", RELAYING: b"554 5.7.1", STRAY: b"550 5.1.1", GOOD: b"250 2.0.0"}


class Client(asyncio.Protocol):
    """One client from its connection to its end. `said`: the reply that decides."""

    def __init__(self, kind: str, ended: Callable[[Client], None]) -> None:
        self.kind = kind
        self.began = time.perf_counter()
        self.took = 0.0
        self.said = b""
        self._ended = ended
        self._words = [b"EHLO bot.example\r\n", b"MAIL FROM:<x@bot.example>\r\n", b"RCPT TO:<%s>\r\n" % RECIPIENT[kind]]
        if kind == GOOD:
            self._words += [b"DATA\r\n", LETTER]
        self._held = b""
        self._transport: asyncio.WriteTransport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        self._held += data
        while b"\n" in self._held:
            line, self._held = self._held.split(b"\n", 1)
            if line[3:4] != b"-":
                self._answer(line)

    def _answer(self, line: bytes) -> None:
        assert self._transport is not None
        if self.said:
            return  # 221
        if line[:1] in b"23" and self._words:
            self._transport.write(self._words.pop(0))
            return
        self.said, self.took = line, time.perf_counter() - self.began
        self._transport.write(b"QUIT\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._ended(self)


@dataclass
class Tally:
    """What became of the clients of one run."""

    ended: Counter[str] = field(default_factory=Counter)
    """Kind -> how many heard what they should."""
    wrong: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    """Seconds from a good client's connection to its 250."""
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return self.ended.total() / self.seconds


async def storm(port: int, rate: float, seconds: float, kinds: tuple[str, ...]) -> Tally:
    """Clients of these kinds in turn, `rate` of them a second, whether earlier ones have ended or not."""
    loop = asyncio.get_running_loop()
    tally = Tally()
    open_now: set[asyncio.Task[None]] = set()
    left = asyncio.Event()

    def ended(client: Client) -> None:
        if client.said.startswith(EXPECTED[client.kind]):
            tally.ended[client.kind] += 1
            if client.kind == GOOD:
                tally.waits.append(client.took)
        else:
            tally.wrong[f"{client.kind}: {client.said[:40].decode(errors='replace') or 'no reply'}"] += 1
        left.set()

    async def come(number: int) -> None:
        kind = kinds[number % len(kinds)]
        own = f"127.{OCTET[kind]}.{number // 250 % 250}.{number % 250 + 1}"
        try:
            await loop.create_connection(lambda: Client(kind, ended), "127.0.0.1", port, local_addr=(own, 0))
        except OSError as error:
            tally.wrong[f"{kind}: {error.strerror}"] += 1
            left.set()

    began, sent = time.perf_counter(), 0
    while (now := time.perf_counter() - began) < seconds:
        for number in range(sent, int(now * rate)):
            task = loop.create_task(come(number))
            open_now.add(task)
            task.add_done_callback(open_now.discard)
        sent = max(sent, int(now * rate))
        await asyncio.sleep(TICK)
    while tally.ended.total() + tally.wrong.total() < sent:
        left.clear()
        await left.wait()
    tally.seconds = time.perf_counter() - began
    return tally


def storm_elsewhere(port: int, rate: float, seconds: float, kinds: tuple[str, ...]) -> Connection:
    """The storm in a process of its own; its Tally comes over the connection."""
    ours, theirs = multiprocessing.Pipe()

    def run() -> None:
        theirs.send(uvloop.run(storm(port, rate, seconds, kinds)))

    multiprocessing.get_context("fork").Process(target=run, daemon=True).start()
    return ours


class BlockList(asyncio.DatagramProtocol):
    """DNS: `<reversed address>.bl.test` is there if the second octet is that of listed bots; nothing else is."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].lower())
            at += data[at] + 1
        question, is_a = data[12 : at + 5], data[at + 1 : at + 3] == b"\0\1"
        listed = labels[-2:] == [b"bl", b"test"] and labels[2:3] == [b"%d" % OCTET[LISTED]]
        answer = b"\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\x7f\0\0\2" if listed and is_a else b""
        head = data[:2] + (b"\x81\x80" if listed else b"\x81\x83") + b"\0\1" + (b"\0\1" if answer else b"\0\0")
        self._transport.sendto(head + b"\0\0\0\0" + question + answer, addr)


def serve_block_list() -> multiprocessing.Process:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(BlockList, ("127.0.0.1", 53))
        await asyncio.Event().wait()

    process = multiprocessing.get_context("fork").Process(target=lambda: uvloop.run(serve()), daemon=True)
    process.start()
    return process  # type: ignore[return-value]  # a ForkProcess is one


def settings(sink: Sink, folder: Path) -> dict[str, str]:
    users = folder / "users"
    users.write_text("user@good.test ok\n")
    return {
        "mynetworks": "127.0.0.1/32",
        "relay_domains": "good.test",
        "relay_recipient_maps": f"texthash:{users}",
        "transport_maps": f"inline:{{good.test=smtp:[127.0.0.1]:{sink.port}}}",
        "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
        "smtpd_recipient_restrictions": "permit_mynetworks, reject_rbl_client bl.test",
        "smtpd_delay_reject": "yes",
        "smtpd_client_connection_count_limit": "50",
    }


def run(folder: Path, systems: list[bool], rate: float, seconds: float) -> None:
    results = Results(f"a storm of {rate:.0f} clients a second for {seconds:g} seconds, 95 of 100 to be refused")
    serve_block_list()
    for ours in systems:
        place = folder / str(int(ours))
        place.mkdir()
        sink = Sink()
        mta = Mta(place / "mta", free_port(), settings(sink, place), ours=ours)
        try:
            mta.start()
            scene(mta, sink, rate, seconds, results)
        finally:
            mta.stop()
            sink.stop()
            shutil.rmtree(place, ignore_errors=True)
    results.show()


def scene(mta: Mta, sink: Sink, rate: float, seconds: float, results: Results) -> None:
    storm_elsewhere(mta.port, 50, 1, KINDS).recv()  # warm: processes are up
    calm: Tally = storm_elsewhere(mta.port, rate / len(KINDS), seconds / 3, (GOOD,)).recv()
    arrived, cpu = sink.count, mta.cpu()
    wild: Tally = storm_elsewhere(mta.port, rate, seconds, KINDS).recv()
    for what, times in (calm.wrong + wild.wrong).most_common(3):
        print(f"{mta.name}: {times} clients {what}", file=sys.stderr)
    results.add(mta, "clients a second that were served", wild.rate, more_is_better=True)
    results.add(
        mta, "of 100 clients, heard the right answer", 100 * wild.ended.total() / _all(wild), more_is_better=True
    )
    results.add(mta, "CPU of a client, ms", (mta.cpu() - cpu) / _all(wild) * 1000)
    results.add(mta, "a good client's 250 in calm, ms, median", statistics.median(calm.waits) * 1000)
    results.add(mta, "a good client's 250 in the storm, ms, median", statistics.median(wild.waits) * 1000)
    results.add(mta, "... the slowest of 100", statistics.quantiles(wild.waits, n=100)[-1] * 1000)
    time.sleep(2)
    good = wild.ended[GOOD]
    results.add(mta, "letters of the storm that arrived", sink.count - arrived, more_is_better=True)
    if sink.count - arrived < good:
        print(f"{mta.name}: {good} letters were taken and {sink.count - arrived} arrived", file=sys.stderr)
    for row, beside in (("saturated sender in calm, messages a second", False), ("... beside the storm", True)):
        results.add(mta, row, saturated(mta, sink, rate if beside else 0, seconds / 3), more_is_better=True)


def saturated(mta: Mta, sink: Sink, rate: float, seconds: float) -> float:
    """Messages a second of 20 sessions that send without a pause, perhaps beside the storm."""
    bots = tuple(kind for kind in KINDS if kind != GOOD)
    weather = storm_elsewhere(mta.port, rate, seconds + 1, bots) if rate else None
    time.sleep(0.5)
    sender = source(mta.port, 1_000_000, 20, "user@good.test")
    before, began = sink.count, time.perf_counter()
    time.sleep(seconds)
    figure = (sink.count - before) / (time.perf_counter() - began)
    sender.terminate()
    sender.wait()
    if weather is not None:
        weather.recv()
    return figure


def _all(tally: Tally) -> int:
    return tally.ended.total() + tally.wrong.total()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=2000)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--ours", action="store_true")
    parser.add_argument("--small", action="store_true")
    chosen = parser.parse_args()
    if "ESTAFETA_STORM" not in os.environ:
        os.environ["ESTAFETA_STORM"] = "1"
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="estafeta-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        own = folder / "resolv.conf"
        own.write_text("nameserver 127.0.0.1\n")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["mount", "--bind", str(own), "/etc/resolv.conf"], check=True)
        small = 10 if chosen.small else 1
        run(folder, [True] if chosen.ours else [False, True], chosen.rate / small, max(3, chosen.seconds / small))


if __name__ == "__main__":
    main()
