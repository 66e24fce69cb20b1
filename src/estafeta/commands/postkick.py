"""postkick(1): send a request to a service over its local socket, for scripts.

postkick [-c config_dir] [-v] class service request
"""

from __future__ import annotations

import os
import sys

from estafeta.base import log
from estafeta.commands.options import parse_options
from estafeta.commands.terminal import Fatal, perform
from estafeta.config.instance import Config
from estafeta.services.trigger import trigger

USAGE = "usage: postkick [-c config_dir] [-v] class service request"


def main(words: list[str] | None = None) -> int:
    """The console script. Exit status 0, or 1."""
    given = sys.argv[1:] if words is None else words
    return perform("postkick", lambda: run(given), usage=USAGE)


def run(words: list[str]) -> int:
    options, rest = parse_options("postkick", words, "c:v")
    if len(rest) != 3:
        raise Fatal(USAGE)
    values = dict(options)
    if "c" in values:
        os.environ["MAIL_CONFIG"] = values["c"]
    conf = Config.load()
    kind, service, request = rest
    path = os.path.join(conf.queue_directory, kind, service)
    try:
        # Until it has been read: nothing is lost when the service is busy for a while.
        trigger(path, os.fsencode(request), conf.application_event_drain_time)
    except TimeoutError:
        log.warning(f"{kind}/{service}: the request was not taken up within {conf.application_event_drain_time}s")
        return 1
    except OSError as error:
        what = "unable to look up" if isinstance(error, FileNotFoundError) else "connect to"
        log.warning(f"{what} {kind}/{service}: {error.strerror}")
        log.warning(f"Cannot contact class {kind} service {service} - perhaps the mail system is down")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
