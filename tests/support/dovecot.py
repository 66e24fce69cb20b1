"""A Dovecot of our own that does nothing but check logins, for tests."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Protocol

PROGRAM = Path("/usr/sbin/dovecot")
PORT = 12345

_CONFIGURATION = """\
base_dir = {place}/run
state_dir = {place}/state
log_path = {place}/log
protocols =
ssl = no
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
auth_worker_max_count = 1
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {place}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  unix_listener {socket} {{
    mode = 0666
  }}
  inet_listener {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  unix_listener stats-reader {{
    mode = 0600
  }}
}}
{settings}
"""


class Wanted(Protocol):
    """The mechanisms, and lines of a passwd-file and settings."""

    argument: str
    lines: list[str]


def start_dovecot(wanted: Wanted, place: Path, socket: Path, *, port: int = PORT) -> subprocess.Popen[bytes]:
    """Start it and wait until it answers on `socket`; it needs root. `place` is a folder of its own."""
    place.mkdir(mode=0o755)
    users = [line for line in wanted.lines if " = " not in line]
    (place / "users").write_text("".join(f"{line}\n" for line in users))
    settings = "\n".join(line for line in wanted.lines if " = " in line)
    configuration = place / "dovecot.conf"
    configuration.write_text(
        _CONFIGURATION.format(place=place, mechanisms=wanted.argument, socket=socket, port=port, settings=settings)
    )
    process = subprocess.Popen(
        [PROGRAM, "-F", "-c", configuration],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 20
    while not socket.exists():
        if time.monotonic() > deadline or process.poll() is not None:
            process.terminate()
            log = place / "log"
            raise RuntimeError(f"Dovecot does not start: {log.read_text() if log.exists() else 'it says nothing'}")
        time.sleep(0.02)
    return process


def stop_dovecot(process: subprocess.Popen[bytes]) -> None:
    """With all its processes at once: they would go on serving for a while."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
