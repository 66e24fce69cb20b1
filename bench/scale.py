"""Large numbers, side by side with Debian's Postfix where it can do the same. Run as root: `make bench`, or

    python bench/scale.py [--only idle,list,deferred,dead,large] [--ours] [--small]

idle      10,000 connections held open while mail flows; Postfix holds 1,000, as each costs it a process
list      one message to 20,000 recipients
deferred  100,000 messages that wait: restart, mailq, memory, flush
dead      10,000 destinations, half of which never answer
large     20 MB messages while small ones pass

`--ours` leaves Postfix out; `--small` takes a twentieth of everything, to see that it works. Times are in seconds,
ratios above 1 are in our favour.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mta import Mta
from results import Results
from traffic import BlackHole, Idlers, Sink, finished, free_port, send_each, source, wait_for


class Scenes:
    """`factor`: 1, or 20 for a twentieth of everything."""

    def __init__(self, folder: Path, systems: list[bool], factor: int) -> None:
        self.folder = folder
        self.systems = systems
        self.factor = factor

    def idle(self) -> None:
        results = Results("connections held open while mail flows")
        messages, sessions = 20000 // self.factor, 50

        def scene(mta: Mta, sink: Sink) -> None:
            number = (10000 if mta.ours else 1000) // self.factor
            arrived = lambda: sink.count  # noqa: E731
            self._flow(mta, arrived, 500, sessions)
            before = mta.memory()
            alone = self._flow(mta, arrived, messages, sessions)
            idlers = Idlers(mta.port, number)
            time.sleep(1)
            held = mta.memory()
            beside = self._flow(mta, arrived, messages, sessions)
            if idlers.alive != number:
                raise SystemExit(f"{mta.name}: {number - idlers.alive} held connections were closed")
            idlers.close()
            results.add(mta, "connections held", number, more_is_better=True)
            results.add(mta, "kB for each", (held - before) / number)
            results.add(mta, "messages a second without them", alone, more_is_better=True)
            results.add(mta, "messages a second beside them", beside, more_is_better=True)

        self._each(scene, {}, clients="12000")
        results.show()

    def list(self) -> None:
        recipients = 20000 // self.factor
        results = Results(f"one message to {recipients} recipients of one domain")

        def scene(mta: Mta, sink: Sink) -> None:
            began, cpu = time.perf_counter(), mta.cpu()
            sender = source(mta.port, 1, 1, "someone@example.org", recipients=recipients)
            finished(sender)
            taken = time.perf_counter() - began
            done = wait_for(mta.removed, 1, f"{mta.name}, see {mta.log}") - began
            results.add(mta, "until it is accepted", taken)
            results.add(mta, "until it has arrived everywhere", done)
            results.add(mta, "CPU", mta.cpu() - cpu)
            results.add(mta, "MB in all, at most", mta.peak_memory)

        self._each(scene, {"smtpd_recipient_limit": "50000"})
        results.show()

    def deferred(self) -> None:
        number = 100000 // self.factor
        results = Results(f"{number} deferred messages")
        main = {"defer_transports": "smtp", "minimal_backoff_time": "1h", "maximal_backoff_time": "4h"}

        def scene(mta: Mta, sink: Sink) -> None:
            mta.set({"transport_maps": f"inline:{{ now.example=relay:[127.0.0.1]:{sink.port} }}"})
            mta.command("postfix", "reload")
            began = time.perf_counter()
            finished(source(mta.port, number, 50, "someone@example.org"))
            wait_for(mta.deferred, number, f"{mta.name}, see {mta.log}")
            results.add(mta, "until all are taken and put off", time.perf_counter() - began)
            results.add(mta, "MB before a restart", mta.memory() / 1024)
            mta.stop()
            began = time.perf_counter()
            mta.start()
            _send_until_taken(mta, "first@now.example")
            results.add(mta, "restart, until new mail has gone out", wait_for(lambda: sink.count, 1, mta.name) - began)
            time.sleep(5)
            results.add(mta, "MB after a restart", mta.memory() / 1024)
            began = time.perf_counter()
            listing = mta.command("postqueue", "-p").stdout
            results.add(mta, "mailq", time.perf_counter() - began)
            if f"in {number} Requests" not in listing[-100:]:
                raise SystemExit(f"{mta.name}: mailq says {listing[-100:]!r}")
            mta.set({"defer_transports": ""})
            mta.command("postfix", "reload")
            began, cpu = time.perf_counter(), mta.cpu()
            mta.command("postqueue", "-f")
            done = wait_for(lambda: sink.count, number + 1, f"{mta.name}, see {mta.log}")
            results.add(mta, "flush, until all have arrived", done - began)
            results.add(mta, "CPU of the flush", mta.cpu() - cpu)

        self._each(scene, main)
        results.show()

    def dead(self) -> None:
        """In a network of its own: 10.0.0.0/8 is this machine there."""
        if os.environ.get("ESTAFETA_BENCH_NETWORK") != "own":
            command = [sys.executable, *sys.argv, "--only", "dead"]
            environment = {**os.environ, "ESTAFETA_BENCH_NETWORK": "own"}
            subprocess.run(["unshare", "--net", *command], env=environment, check=True)
            return
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "address", "add", "10.0.0.1/8", "dev", "lo"], check=True)
        half = 5000 // self.factor
        for deliveries in ("100", "1000"):
            results = Results(f"{2 * half} destinations, half of them dead, {deliveries} deliveries at a time")
            self._dead(results, half, deliveries)
            results.show()

    def _dead(self, results: Results, half: int, deliveries: str) -> None:
        hole = BlackHole()
        names = [f"{kind}{number}.example" for number in range(half) for kind in ("live", "dead")]

        def scene(mta: Mta, sink: Sink) -> None:
            routes = mta.config / "routes"
            ports = {"live": sink.port, "dead": hole.port}
            lines = []
            for name in names:
                kind, number = name[:4], int(name[4:].removesuffix(".example"))
                second = 1 if kind == "live" else 2
                lines.append(f"{name} smtp:[10.{second}.{number // 250}.{number % 250}]:{ports[kind]}\n")
            routes.write_text("".join(lines))
            mta.set({"transport_maps": f"texthash:{routes}"})
            mta.command("postfix", "reload")
            time.sleep(1)
            began, cpu = time.perf_counter(), mta.cpu()
            send_each(mta.port, [f"someone@{name}" for name in names])
            done = wait_for(lambda: sink.count, half, f"{mta.name}, see {mta.log}")
            results.add(mta, "until the mail of the living has arrived", done - began)
            results.add(mta, "CPU", mta.cpu() - cpu)
            results.add(mta, "MB in all, at most", mta.peak_memory)

        main = {"smtp_connect_timeout": "2s", "inet_interfaces": "127.0.0.1", "relayhost": ""}
        self._each(scene, main, deliveries=deliveries, host="0.0.0.0", most=5000)
        hole.close()

    def large(self) -> None:
        results = Results("20 MB messages, four at a time, beside small ones")
        messages, large = 20000 // self.factor, max(1, 100 // self.factor)

        def scene(mta: Mta, sink: Sink) -> None:
            heavy = Sink()
            try:
                rule = f"inline:{{ heavy.example=smtp:[127.0.0.1]:{heavy.port} }}"
                mta.set({"transport_maps": rule})
                mta.command("postfix", "reload")
                arrived = lambda: sink.count  # noqa: E731
                self._flow(mta, arrived, 500, 20)
                alone = self._flow(mta, arrived, messages, 20)
                mta.reset_peak()
                began = time.perf_counter()
                sender = source(mta.port, large, 4, "someone@heavy.example", size=20_000_000)
                beside = self._flow(mta, arrived, messages, 20)
                small_done = time.perf_counter()
                done = wait_for(lambda: heavy.count, large, f"{mta.name}, see {mta.log}")
                finished(sender)
                if done < small_done:
                    print(f"  ({mta.name}: the large ones were through before the small ones)")
            finally:
                heavy.stop()
            results.add(mta, "small messages a second, alone", alone, more_is_better=True)
            results.add(mta, "small messages a second, beside", beside, more_is_better=True)
            results.add(mta, "MB a second of the large", 20 * large / (done - began), more_is_better=True)
            results.add(mta, "MB in all, at most", mta.peak_memory)

        self._each(scene, {"message_size_limit": "50000000", "mailbox_size_limit": "0"})
        results.show()

    def _flow(self, mta: Mta, arrived: Callable[[], int], messages: int, sessions: int) -> float:
        """Messages a second from smtp-source to the sink."""
        before, began = arrived(), time.perf_counter()
        sender = source(mta.port, messages, sessions, "someone@example.org")
        took = wait_for(arrived, before + messages, f"{mta.name}, see {mta.log}") - began
        finished(sender)
        return messages / took

    def _each(
        self,
        scene: Callable[[Mta, Sink], None],
        main: dict[str, str],
        *,
        clients: str = "-",
        deliveries: str = "-",
        host: str = "127.0.0.1",
        most: int = 256,
    ) -> None:
        for ours in self.systems:
            sink = Sink(host, most)
            place = self.folder / f"{int(ours)}"
            settings = {"relayhost": f"[127.0.0.1]:{sink.port}"} | main
            if ours:
                limit = {"clients": clients, "deliveries": deliveries}
            else:
                limit = {"clients": "2000" if clients != "-" else "-", "deliveries": deliveries}
            mta = Mta(place, free_port(), settings, ours=ours, **limit)
            try:
                mta.start()
                scene(mta, sink)
            finally:
                mta.stop()
                sink.stop()
                shutil.rmtree(place, ignore_errors=True)


def _send_until_taken(mta: Mta, recipient: str) -> None:
    for _ in range(2000):
        try:
            send_each(mta.port, [recipient])
            return
        except OSError:
            time.sleep(0.01)
    raise SystemExit(f"{mta.name} takes no mail after its restart; see {mta.log}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="idle,list,deferred,dead,large")
    parser.add_argument("--ours", action="store_true")
    parser.add_argument("--small", action="store_true")
    chosen = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="estafeta-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        scenes = Scenes(folder, [True] if chosen.ours else [False, True], 20 if chosen.small else 1)
        for scene in chosen.only.split(","):
            getattr(scenes, scene)()


if __name__ == "__main__":
    main()
