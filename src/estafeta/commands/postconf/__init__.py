"""postconf(1): show, check and change the configuration.

`options` reads the command line, `parameters` and `services` print main.cf and master.cf, `checks` finds what looks
mistyped, `changes` edits. Nothing here needs a configuration that a daemon would accept: the command is there to mend
the others.
"""

from __future__ import annotations

import os
import ssl
import sys

from estafeta.base import log
from estafeta.commands.help import answer_help

from ...config.expand import ExpandError
from ...config.instance import default_directory
from ...config.main_cf import ConfigError
from . import changes, checks, parameters, services, sources
from .options import Request, UsageError, parse

EX_OK, EX_FAILED = 0, 1

LOCK_TYPES = ("flock", "fcntl", "dotlock")
SERVER_SASL_TYPES = ("cyrus", "dovecot")
CLIENT_SASL_TYPES = ("cyrus",)
PUBLIC_KEY_ALGORITHMS = ("dsa", "ecdsa", "rsa")


def main(argv: list[str] | None = None) -> int:
    """`argv` without the program's name. Returns the exit status."""
    program = sys.argv[0] if argv is None else "postconf"
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]  # a TextIOWrapper
    sys.stderr.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]  # a TextIOWrapper

    def say(text: str) -> None:
        sys.stdout.flush()
        print(f"{program}: {text}", file=sys.stderr)

    before = log.install(lambda level, text, service: say(log.PREFIX[level] + text))
    answer_help("postconf", sys.argv[1:] if argv is None else argv)
    try:
        request = parse(sys.argv[1:] if argv is None else argv, program)
        return _run(request, lambda text: say(f"warning: {text}"))
    except (UsageError, ConfigError) as reason:
        say(f"fatal: {reason}")
        return EX_FAILED
    except ExpandError as reason:
        say(f"warning: {reason}")
        say("fatal: macro processing error: mend the value shown above")
        return EX_FAILED
    except BrokenPipeError:
        # The reader (`postconf | head`) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_OK
    finally:
        log.install(before)


def _run(request: Request, warn: changes.Warn) -> int:
    directory = request.directory or default_directory()
    if request.subject in "alAmT":
        return _show_features(request, warn)
    if request.subject in "bt":
        # Imported here: only these two options need the words of the bounce service.
        from . import templates

        print(templates.show(request, directory), end="")
        return EX_OK
    if request.change:
        changes.carry_out(request, directory, warn)
        return EX_OK
    _show(request, directory, warn)
    return EX_OK


def _show(request: Request, directory: str, warn: changes.Warn) -> None:
    of_services = request.subject in "MFP"
    defaults = "d" in request.flags
    found = sources.read(directory, request.overrides, warn, defaults=defaults, services=of_services)
    if request.directory or "MAIL_CONFIG" in os.environ:
        # A directory that was named counts as a setting, which -n shows.
        found.texts.settings.values.setdefault("config_directory", directory)
    findings = checks.Findings()
    if not defaults:
        findings = checks.examine(found.texts, found.rows, found.master.path, of_services=of_services)
        for text in (*checks.comment_findings(found.texts), *map(str, findings.undefined)):
            warn(text)
    for line in services.show(request, found) if of_services else parameters.show(request, found, findings):
        print(line)
    for finding in findings.unused:
        warn(str(finding))


def _show_features(request: Request, warn: changes.Warn) -> int:
    if request.subject == "T":
        return _show_tls(request.tls_mode, warn)
    lines = {"a": SERVER_SASL_TYPES, "A": CLIENT_SASL_TYPES, "l": LOCK_TYPES}.get(request.subject) or table_types()
    print("\n".join(lines))
    return EX_OK


def table_types() -> tuple[str, ...]:
    """Every table type that can be written in main.cf, sorted."""
    from ...tables.index import TYPES

    return tuple(sorted({*TYPES, "proxy"}))


def _show_tls(mode: str, warn: changes.Warn) -> int:
    if mode in ("compile-version", "run-version"):
        print(ssl.OPENSSL_VERSION)
    elif mode == "public-key-algorithms":
        print("\n".join(PUBLIC_KEY_ALGORITHMS))
    else:
        warn(f"unknown 'postconf -T' mode: {mode}")
        return EX_FAILED
    return EX_OK
