"""postqueue(1): list the queue, or have it delivered now. For every user."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Iterator

from estafeta.base import log
from estafeta.commands.options import parse_options
from estafeta.commands.queue_listing import as_json, traditional
from estafeta.commands.submit_rights import ANYONE, login_name
from estafeta.commands.terminal import Fatal, perform
from estafeta.config.instance import Config
from estafeta.mail.address import valid_domain
from estafeta.services.flush import BAD, DENIED, LONGEST_ID, OK, FlushClient
from estafeta.services.showq import Shown, fetch, listing
from estafeta.services.trigger import QMGR_FLUSH, trigger
from estafeta.skeleton.log import for_command
from estafeta.tables.match import MatchList
from estafeta.tables.table import TableDown

EX_UNAVAILABLE, EX_NOPERM = 69, 77
LETTERS = "c:fi:jps:v"
USAGE = "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site"
PATIENCE = 600.0
"""Seconds without a word from the list service."""


def main(words: list[str] | None = None) -> int:
    """The console script. Exit status 0; 77 for who may not; 69 for every other failure, as Postfix has it."""
    given = sys.argv[1:] if words is None else words
    return perform("postqueue", lambda: run(given), usage=USAGE, failed=EX_UNAVAILABLE)


def run(words: list[str]) -> int:
    options, rest = parse_options("postqueue", words, LETTERS)
    actions = [(letter, value) for letter, value in options if letter in "fijps"]
    directory = next((value for letter, value in options if letter == "c"), None)
    if rest or len(actions) != 1:
        raise Fatal(USAGE)
    if directory is not None:
        os.environ["MAIL_CONFIG"] = directory
    conf = Config.load()
    for_command("postqueue", conf)
    viewing = actions[0][0] in "jp"
    if not _is_allowed(conf, conf.authorized_mailq_users if viewing else conf.authorized_flush_users):
        what = "view" if viewing else "flush"
        log.fatal(f"User {login_name(os.getuid())}({os.getuid()}) is not allowed to {what} the mail queue")
        return EX_NOPERM
    letter, value = actions[0]
    if letter == "f":
        flush(conf)
    elif letter == "i":
        flush_message(conf, value)
    elif letter == "s":
        flush_site(conf, value)
    elif letter == "j":
        show(as_json(messages(conf)))
    else:
        show(traditional(messages(conf), long_ids=conf.enable_long_queue_ids))
    return 0


def _is_allowed(conf: Config, users: tuple[str, ...]) -> bool:
    """Whether the caller is on the list. Root and the mail owner always are."""
    if users == ANYONE or os.getuid() == 0 or login_name(os.getuid()) == conf.mail_owner:
        return True
    try:
        return asyncio.run(MatchList.open(users, name="authorized_mailq_users").matches_domain(login_name(os.getuid())))
    except TableDown as down:
        raise Fatal(f"cannot tell whether this is allowed: {down}") from None


def show(lines: Iterable[str]) -> None:
    out = sys.stdout
    for line in lines:
        if not line.isascii():
            line = line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        out.write(line + "\n")
    out.flush()


def messages(conf: Config) -> Iterator[Shown]:
    """The queue as the showq service tells it; read by ourselves while the mail system is down, if we may."""
    try:
        yield from fetch(conf.queue_directory, conf.showq_service_name, PATIENCE)
    except OSError as error:
        if isinstance(error, PermissionError):
            raise Fatal(f"Queue report unavailable - {_who_may(conf)}") from None
        reason = f"Connect to the {conf.mail_name} showq service: {error.strerror or error}"
        if not _may_read(conf):
            raise Fatal(f"Queue report unavailable - mail system is down ({reason})") from None
        log.warning(f"Mail system is down -- accessing queue directly ({reason})")
        try:
            yield from listing(conf.queue_directory)
        except OSError as problem:
            raise Fatal(f"{problem.filename or conf.queue_directory}: {problem.strerror or problem}") from None


def _who_may(conf: Config) -> str:
    """A Python script cannot be set-gid as Postfix's postqueue is, so the rights are those of the caller."""
    folder, user = os.path.join(conf.queue_directory, "public"), login_name(os.getuid())
    return (
        f"{folder}: Permission denied: only root, {conf.mail_owner} and the group {conf.setgid_group} may ask; to let "
        f"{user} in, run 'usermod -aG {conf.setgid_group} {user}' as root"
    )


def _may_read(conf: Config) -> bool:
    return os.access(os.path.join(conf.queue_directory, "incoming"), os.R_OK | os.X_OK)


def flush(conf: Config) -> None:
    """Try all mail now."""
    try:
        trigger(_public(conf, conf.queue_service_name), QMGR_FLUSH, conf.trigger_timeout)
    except PermissionError:
        raise Fatal(f"Cannot flush mail queue - {_who_may(conf)}") from None
    except OSError:
        raise Fatal("Cannot flush mail queue - mail system is down") from None


def flush_message(conf: Config, queue_id: str) -> None:
    """Try one message now. An id that nobody knows is no error."""
    if not 0 < len(queue_id) <= LONGEST_ID or not queue_id.isalnum() or not queue_id.isascii():
        raise Fatal(f'Cannot flush queue ID - invalid name: "{_cut(queue_id)}"')
    _answered(asyncio.run(_flush_service(conf).send_file(queue_id)), queue_id)


def flush_site(conf: Config, site: str) -> None:
    """Try all mail for one destination now."""
    if not valid_domain(site):
        raise Fatal(f'Cannot flush mail queue - invalid destination: "{_cut(site)}"')
    service = _flush_service(conf)
    status = asyncio.run(service.send_site(site))
    if status != DENIED:
        service.hint("flush mail", site)
    _answered(status, site)


def _cut(text: str) -> str:
    return text if len(text) <= 100 else text[:100] + "..."


def _flush_service(conf: Config) -> FlushClient:
    return FlushClient.open(conf, conf.queue_directory)


def _answered(status: str, what: str) -> None:
    if status == DENIED:
        raise Fatal(f'Flush service is not configured for destination "{what}"')
    if status == BAD:
        raise Fatal(f'Invalid request: "{what}"')
    if status != OK:
        raise Fatal("Cannot flush mail queue - mail system is down")


def _public(conf: Config, service: str) -> str:
    return os.path.join(conf.queue_directory, "public", service)


if __name__ == "__main__":
    sys.exit(main())
