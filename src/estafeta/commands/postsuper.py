"""postsuper(1): delete, hold, release, requeue and expire queued mail. For the administrator.

While qmgr runs it is asked, since it has messages in memory; while it does not, the queue's lock is ours and the same
changes are made here.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterable, Iterator

from estafeta.base import log
from estafeta.commands.options import parse_options
from estafeta.commands.queue_repair import change_offline, delete_dropped, purge
from estafeta.commands.terminal import Fatal, perform
from estafeta.config.instance import Config
from estafeta.daemons.master import locks
from estafeta.queue.keeper import SpoolBusy
from estafeta.services.queue_control import DELETE, EXPIRE, HOLD, RELEASE, REQUEUE, Control, ControlReply, ask
from estafeta.skeleton.log import for_command
from estafeta.skeleton.privileges import acting_as_owner_of

LETTERS = "c:d:e:f:h:H:psr:Sv"
USAGE = (
    "usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] [-f queue_id (expire and/or "
    "un-hold)] [-h queue_id (hold)] [-H queue_id (un-hold)] [-p (purge temporary files)] [-r queue_id (requeue)] "
    "[-s (structure fix)] [-S (redundant structure fix)][-v (verbose)] [queue...]"
)
OPERATIONS = {"d": DELETE, "e": EXPIRE, "f": EXPIRE, "h": HOLD, "H": RELEASE, "r": REQUEUE}
ORDER = (REQUEUE, DELETE, EXPIRE, HOLD, RELEASE)
WORDS = {
    DELETE: ("removed", "Deleted"),
    EXPIRE: ("expired", "Force-expired"),
    HOLD: ("placed on hold", "Placed on hold"),
    RELEASE: ("released from hold", "Released from hold"),
    REQUEUE: ("requeued", "Requeued"),
}
QUEUES = frozenset({"maildrop", "incoming", "active", "deferred", "hold", "bounce", "defer", "trace", "flush"})
ALL = "ALL"
AT_ONCE = 2000
"""Ids in one request while somebody watches: the terminal shows how far it is."""
PATIENCE = 30.0
"""Seconds for a queue manager that master starts just now, as during a reload, to answer."""
AGAIN = 0.1


def main(words: list[str] | None = None) -> int:
    """The console script. Exit status 0, or 1."""
    given = sys.argv[1:] if words is None else words
    return perform("postsuper", lambda: run(given), usage=USAGE)


def run(words: list[str]) -> int:
    options, queues = parse_options("postsuper", words, LETTERS)
    directory = next((value for letter, value in options if letter == "c"), None)
    if directory is not None:
        os.environ["MAIL_CONFIG"] = directory
    conf = Config.load()
    for_command("postsuper", conf, direct=True)
    for queue in queues:
        if queue not in QUEUES:
            raise Fatal(f"invalid directory name: {queue}")
    if not os.access(os.path.join(conf.queue_directory, "incoming"), os.W_OK | os.X_OK):
        raise Fatal("use of this command is reserved for the superuser")
    letters = {letter for letter, _ in options} - {"c", "v"}
    if letters & {"p", "s", "S"} or not letters:
        purge(conf.queue_directory)
    wanted: dict[str, list[str]] = {}
    release = False
    for letter, value in options:
        if letter in OPERATIONS:
            wanted.setdefault(OPERATIONS[letter], []).extend(_valid(_ids(value)))
            release = release or letter == "f"
    if release:
        wanted.setdefault(RELEASE, []).extend(wanted[EXPIRE])
    for operation in ORDER:
        if operation in wanted:
            change(conf, operation, wanted[operation], queues)
    return 0


def _ids(value: str) -> list[str]:
    if value == "-":
        return [line.rstrip("\r\n") for line in sys.stdin]
    return [value]


def change(conf: Config, operation: str, ids: list[str], queues: list[str]) -> None:
    """Do it and say how many messages it was done to."""
    everything = ALL in ids
    good = [] if everything else ids
    done, summary = WORDS[operation]
    count = 0
    if operation == DELETE and "maildrop" in queues and (everything or good):
        for queue_id in delete_dropped(conf.queue_directory, None if everything else set(good)):
            count += 1
            if not everything:
                log.info(f"{queue_id}: {done}")
    for ids_now in _portions(good) if good else [[]] if everything else []:
        reply = request(conf, Control(operation, ids_now, _searched(queues)))
        count += reply.count
        if not everything:
            for queue_id in reply.queue_ids:
                log.info(f"{queue_id}: {done}")
        if reply.reason:
            log.info(f"{summary}: {count} {_messages(count)}")
            raise Fatal(reply.reason)
    log.info(f"{summary}: {count} {_messages(count)}")


def _portions(ids: list[str]) -> Iterator[list[str]]:
    """All at once; on a terminal in parts, so that something is seen to happen, and where it is."""
    if len(ids) <= AT_ONCE or not sys.stderr.isatty():
        yield ids
        return
    for start in range(0, len(ids), AT_ONCE):
        yield ids[start : start + AT_ONCE]
        sys.stderr.write(f"\r{min(start + AT_ONCE, len(ids))} of {len(ids)}\r")
        sys.stderr.flush()


def _messages(count: int) -> str:
    return "message" if count == 1 else "messages"


def _valid(ids: Iterable[str]) -> Iterable[str]:
    for queue_id in ids:
        if queue_id.isalnum() and queue_id.isascii():
            yield queue_id
        else:
            log.warning(f"invalid mail queue id: {queue_id}")


def _searched(queues: list[str]) -> list[str]:
    """Of the named queues those that hold messages. None of them: no message is meant."""
    if not queues:
        return []
    return [queue for queue in queues if queue in {"incoming", "active", "deferred", "hold"}] or ["none"]


def request(conf: Config, control: Control) -> ControlReply:
    """Ask qmgr, or do it ourselves while there is none.

    During a reload there is a moment without a qmgr, in which the queue's lock is free: who took it then would be told
    that the mail system is down, or keep the new qmgr waiting. So as long as a master runs, its qmgr is waited for.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return _asked(conf, control)
        except (FileNotFoundError, ConnectionError) as error:
            if not locks.running_master(conf):
                break
            if time.monotonic() > deadline:
                raise Fatal(f"cannot talk to the queue manager: {error.strerror or error}") from None
        except OSError as error:
            raise Fatal(f"cannot talk to the queue manager: {error.strerror or error}") from None
        time.sleep(AGAIN)
    try:
        # What is written now must be qmgr's later, which runs as the owner of the queue.
        with acting_as_owner_of(os.path.join(conf.queue_directory, "incoming")):
            return asyncio.run(change_offline(conf, control))
    except SpoolBusy:
        raise Fatal("the queue manager is starting or ending: try again in a moment") from None


def _asked(conf: Config, control: Control) -> ControlReply:
    for reply in ask(control, directory=conf.queue_directory):
        if reply.last:
            return reply
    raise ConnectionError("it gave no answer")


if __name__ == "__main__":
    sys.exit(main())
