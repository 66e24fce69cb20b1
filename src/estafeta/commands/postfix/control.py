"""What `postfix` does to a mail system: start it, stop it, tell it to read its configuration again."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError
from estafeta.daemons.master import locks

from . import layout
from .check import accounts, check, check_configuration, mistyped
from .upgrade import upgrade

WORD = "the Postfix mail system"
STOP_PATIENCE = 5
"""Seconds until a master that does not stop is killed."""


class Control:
    """The commands, by name. Each returns the exit status."""

    def __init__(self, conf: Config, *, verbose: int = 0, debug: bool = False) -> None:
        self.conf = conf
        self.directory = conf.config_directory
        self.verbose = verbose
        self.debug = debug

    def start(self) -> int:
        if not self._may_start():
            return 1
        log.info(f"starting {WORD}")
        if subprocess.call([*self._master(), "-w"]) != 0:
            log.fatal("mail system startup failed; the log says why")
            return 1
        return 0

    def start_fg(self) -> int:
        """Becomes master, and so returns only when it cannot."""
        if self.conf.multi_instance_directories:
            log.fatal("start-fg does not support multi_instance_directories")
            return 1
        if not self._may_start():
            return 1
        log.info(f"starting {WORD}")
        command = [*self._master(), "-i" if os.getpid() == 1 else "-s"]
        os.execv(command[0], command)  # noqa: S606 - our own program
        return 1

    def _may_start(self) -> bool:
        if locks.running_master(self.conf):
            log.fatal(f"{WORD} is already running")
            return False
        if not check(self.directory, report=False):
            log.fatal("Postfix integrity check failed!")
            return False
        return True

    def _master(self) -> list[str]:
        flags = ["-v"] * self.verbose + ["-D"] * self.debug
        return [sys.executable, "-m", "estafeta.daemons.master", "-c", self.directory, *flags]

    def stop(self) -> int:
        pid = self._running()
        if not pid:
            return 1
        log.info(f"stopping {WORD}")
        return self._end(pid, signal.SIGTERM)

    def abort(self) -> int:
        pid = self._running()
        if not pid:
            return 1
        log.info(f"aborting {WORD}")
        return self._end(pid, signal.SIGQUIT)

    def _end(self, pid: int, number: int) -> int:
        os.kill(pid, number)
        for _ in range(STOP_PATIENCE):
            if self._ended_within(1.0):
                return 0
            log.info(f"waiting for {WORD} to terminate")
        if self._ended_within(1.0):
            return 0
        log.warning(f"stopping {WORD} with force")
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)  # master leads no process group, as in start-fg
        return 0

    def _ended_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while locks.running_master(self.conf):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def reload(self) -> int:
        pid = self._running()
        if not pid:
            return 1
        try:
            conf = check_configuration(self.directory)
        except ConfigError as reason:
            log.fatal(f"{reason}; {WORD} keeps its old configuration")
            return 1
        for text in mistyped(conf):
            log.warning(text)
        log.info(f"refreshing {WORD}")
        os.kill(pid, signal.SIGHUP)
        return 0

    def status(self) -> int:
        pid = locks.running_master(self.conf)
        if not pid:
            log.info(f"{WORD} is not running")
            return 1
        log.info(f"{WORD} is running: PID: {pid}")
        return 0

    def check(self) -> int:
        return 0 if check(self.directory) else 1

    def flush(self) -> int:
        os.environ["MAIL_CONFIG"] = self.directory
        postqueue: Callable[[list[str]], int] = importlib.import_module("estafeta.commands.postqueue").main
        return postqueue(["-f"])

    def set_permissions(self) -> int:
        accounts(self.conf)
        layout.make_missing(self.conf)
        for folder in layout.folders(self.conf):
            if folder.create:
                layout.set_rights(folder)
            if folder.deep:
                uid, _ = layout.ids(folder)
                for place, _, names in os.walk(folder.path):
                    for name in names:
                        os.chown(os.path.join(place, name), uid, -1, follow_symlinks=False)
        return 0

    def upgrade_configuration(self) -> int:
        layout.make_missing(self.conf)
        return upgrade(self.conf)

    def logrotate(self) -> int:
        for name in ("maillog_file", "maillog_file_compressor", "maillog_file_rotate_suffix"):
            if not self.conf.value(name):
                log.fatal(f"empty '{name}' parameter value - logfile rotation failed")
                return 1
        path = self.conf.maillog_file
        if path.startswith("/dev/"):
            log.fatal(f"not rotating '{path}'")
            return 1
        finished = f"{path}.{time.strftime(self.conf.maillog_file_rotate_suffix)}"
        try:
            Path(path).rename(finished)
            pid = locks.running_master(self.conf)
            if pid > 0:
                os.kill(pid, signal.SIGHUP)
                time.sleep(1)  # until everybody writes to the new file
            compressor = shutil.which(self.conf.maillog_file_compressor) or self.conf.maillog_file_compressor
            subprocess.run([compressor, finished], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as reason:
            log.fatal(f"logfile '{path}' rotation failed: {reason}")
            return 1
        return 0

    def _running(self) -> int:
        """The process number of master; 0, and said so, if none runs."""
        pid = locks.running_master(self.conf)
        if pid <= 0:
            log.fatal(f"{WORD} is not running")
            return 0
        return pid
