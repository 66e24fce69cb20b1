"""`estafeta up`: one command, and there is a mail system."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.site import ROOT, free_port


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="ef-up-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Running, and past what it prints to be read."""
    command = [sys.executable, "-m", "estafeta.commands.estafeta", "up", "--dir", str(folder), *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert running.stdout is not None
    said = []
    for line in running.stdout:
        said.append(line)
        if "Ctrl-C stops it" in line:
            running.greeting = "".join(said)  # type: ignore[attr-defined]
            return running
    raise AssertionError("".join(said))


def stopped(running: subprocess.Popen[str]) -> str:
    """Ctrl-C, as the terminal sends it: to everybody in the foreground."""
    os.killpg(running.pid, signal.SIGINT)
    rest, _ = running.communicate(timeout=20)
    assert running.returncode == 0, rest
    return rest


def test_up_serves_says_how_and_ends_with_ctrl_c(folder: Path) -> None:
    port = free_port()
    running = started(folder, "--port", str(port))
    try:
        text: str = running.greeting  # type: ignore[attr-defined]
        assert f"swaks --server 127.0.0.1:{port} --to you@example.test" in text
        assert str(folder / "mail/example.test/you") in text
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.sendmail("bob@example.com", ["you@example.test"], "Subject: hi\n\nHello.\n")
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("bob@example.com", ["you@example.org"], "Subject: hi\n\nHello.\n")
        deadline = time.monotonic() + 30
        while not (mail := list((folder / "mail/example.test/you/new").glob("*"))) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        log = stopped(running)
    assert "to=<you@example.test>" in log, log
    assert [b"\nHello.\n" in path.read_bytes() for path in mail] == [True]


def test_a_second_start_finds_its_configuration_and_refuses_a_third(folder: Path) -> None:
    port = free_port()
    stopped(started(folder, "--port", str(port)))
    running = started(folder)
    try:
        assert f"Estafeta is up again: SMTP on 127.0.0.1:{port}" in running.greeting  # type: ignore[attr-defined]
        third = subprocess.run(
            [sys.executable, "-m", "estafeta.commands.estafeta", "up", "--dir", str(folder)],
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert third.returncode == 1
        assert f"it runs already, as process {running.pid}" in third.stderr
    finally:
        stopped(running)


def test_closing_the_terminal_stops_it(folder: Path) -> None:
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "estafeta.commands.estafeta",
        "up",
        "--dir",
        str(folder),
        "--port",
        str(free_port()),
    ]
    running = subprocess.Popen(
        ["setsid", "--ctty", *command],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    while b"Ctrl-C stops it" not in said:
        said += os.read(ours, 4096)
    assert b"\x1b[" in said  # in colour
    pid = int((folder / "queue/pid/master.pid").read_text())
    os.kill(pid, signal.SIGHUP)
    while b"reload --" not in said:
        said += os.read(ours, 4096)
    os.close(ours)
    assert running.wait(20) == 0
