"""master(8)'s command line: `python -m estafeta.daemons.master [-Ddistvw] [-c config_dir] [-e exit_time]`."""

from __future__ import annotations

import contextlib
import gc
import getopt
import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

from estafeta.base import log, verbose
from estafeta.config.instance import Config, default_directory
from estafeta.config.main_cf import ConfigError
from estafeta.skeleton.accept import explain
from estafeta.skeleton.debugger import run_debugger
from estafeta.skeleton.log import LineSink, daemon_target, for_daemon

from . import locks
from .plan import make_plan, targets_of, warn_about_programs
from .preload import preload
from .supervisor import Supervisor

FILES = 65536
START_PATIENCE = 30
"""Seconds that -w waits for the daemon to be up."""


@dataclass(slots=True)
class Options:
    directory: str = ""
    keep_streams: bool = False
    keep_stdout: bool = False
    init: bool = False
    test: bool = False
    wait: bool = False
    verbose: int = 0
    exit_time: int = 0
    debug: bool = False


def parse(arguments: list[str]) -> Options:
    """Raises getopt.GetoptError or ValueError."""
    options = Options(directory=default_directory())
    found, rest = getopt.getopt(arguments, "c:Dde:istvw")
    if rest:
        raise ValueError(f"unexpected argument: {rest[0]}")
    for name, value in found:
        if name == "-c":
            options.directory = value
        elif name == "-e":
            options.exit_time = int(value)
        elif name == "-v":
            options.verbose += 1
        else:
            flag = {"-D": "debug", "-d": "keep_streams", "-i": "init", "-s": "keep_stdout", "-t": "test", "-w": "wait"}
            setattr(options, flag[name], True)
    options.directory = os.path.abspath(options.directory)
    return options


def main(arguments: list[str] | None = None) -> int:
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
    except (getopt.GetoptError, ValueError) as reason:
        sys.stderr.write(
            f"master: {reason}\nusage: master [-c config_dir] [-D (debug)] [-d (don't detach from terminal)] "
        )
        sys.stderr.write("[-e exit_time] [-i (init mode)] [-s] [-t (test)] [-v] [-w (wait for initialization)]\n")
        return 1
    if options.test:
        return test(options)
    if options.init and os.getpid() != 1:
        sys.stderr.write("master: fatal: -i is allowed only for PID 1 process\n")
        return 1
    if options.wait:
        return start_and_wait(options)
    return serve(options, lambda text: None)


def test(options: Options) -> int:
    """-t: 0 if no master holds the queue."""
    try:
        return 1 if locks.running_master(Config.load(options.directory)) else 0
    except (ConfigError, OSError) as reason:
        sys.stderr.write(f"master: fatal: {reason}\n")
        return 1


def start_and_wait(options: Options) -> int:
    """-w: the daemon runs in the background, and we return when it is up or has failed."""
    inward, outward = os.pipe()
    if os.fork() == 0:
        os.close(inward)
        os.setsid()

        def started(text: str) -> None:
            with contextlib.suppress(OSError):
                os.write(outward, (text or "ok").encode(errors="replace"))
            os.close(outward)

        os._exit(serve(options, started))
    os.close(outward)
    ready, _, _ = select.select([inward], [], [], START_PATIENCE)
    answer = os.read(inward, 65536).decode() if ready else f"the master did not start within {START_PATIENCE} seconds"
    if answer == "ok":
        return 0
    sys.stderr.write(f"master: fatal: {answer or 'the master ended while it was starting; see the log'}\n")
    return 1


def serve(options: Options, started: Callable[[str], None]) -> int:
    """Be master, to its end. `started` hears "" when everything is up, or why it cannot be."""
    sink: LineSink | None = None
    verbose.begin(options.verbose)
    try:
        os.environ["MAIL_CONFIG"] = options.directory
        plan = make_plan(options.directory)
        paint = options.keep_streams and plan.conf.maillog_file == "/dev/stdout" and os.isatty(1)
        target = daemon_target(plan.conf, paint=paint)
        sink = for_daemon("master", plan.conf, target)
        enter_queue_directory(plan.conf)
        if options.debug:
            run_debugger(plan.conf, "master")
        raise_file_limit()
        held = locks.take(plan.conf)
        plan.conf.report()
        warn_about_programs(plan)
        preload(targets_of(plan))
        supervisor = Supervisor(options.directory, plan, target, sink, verbose=options.verbose)
        if options.keep_streams and os.isatty(1):
            supervisor.terminal = 1
        supervisor.open()
        supervisor.handle_signals()
        detach(options)
        restrict_environment(plan.conf)
    except (ConfigError, OSError, ValueError) as reason:
        log.fatal(explain(reason))
        started(explain(reason))
        on_stdout = sink is not None and plan.conf.maillog_file == "/dev/stdout"
        if sink is not None and not on_stdout and not options.wait:
            sys.stderr.write(f"master: fatal: {explain(reason)}\n")
        return 1
    log.info(f"daemon started -- version {plan.conf.mail_version}, configuration {options.directory}")
    sink.flush()
    if options.exit_time:
        supervisor.exit_after(options.exit_time)
    gc.collect()
    gc.freeze()
    started("")
    supervisor.run()
    for descriptor in held:
        os.close(descriptor)
    return 0


def enter_queue_directory(conf: Config) -> None:
    """Raises ConfigError."""
    try:
        os.chdir(conf.queue_directory)
    except OSError as reason:
        raise ConfigError(
            f"{conf.origin('queue_directory')}: queue_directory {conf.queue_directory}: {reason.strerror}: "
            "run 'postfix check' to make it"
        ) from None


def raise_file_limit() -> None:
    """A process that serves many clients needs many files: as many as the hard limit allows, within reason."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def detach(options: Options) -> None:
    """Let go of the terminal and the standard streams, as far as the options say. What was opened is kept."""
    os.umask(0o077)
    if options.keep_streams or options.init:
        return
    if not options.wait and os.getpgrp() != os.getpid():
        with contextlib.suppress(PermissionError):
            os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 2) if options.keep_stdout else (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)


def restrict_environment(conf: Config) -> None:
    """Keep of the environment what import_environment names; `name=value` there sets it."""
    kept: dict[str, str] = {}
    for word in conf.import_environment:
        name, equals, value = word.strip("{} ").partition("=")
        if equals:
            kept[name.strip()] = value.strip()
        elif name in os.environ:
            kept[name] = os.environ[name]
    os.environ.clear()
    os.environ.update({"PATH": os.defpath} | kept)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    sys.exit(main())
