"""postdrop(1): put a message into the maildrop.

`sendmail` calls `drop` with the rights of its caller: root, the mail owner, a member of a group that may write there,
anybody in an instance of his own or where the maildrop is open to all (mode 1733). The command is for a compiled front
end with more rights: it reads on standard input the packed Drop behind its length (four bytes), then the content with
CRLF line ends.

Exit status 0 only when the message is on stable storage.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator

import msgspec

from estafeta.base import log, verbose
from estafeta.commands.login_senders import refused_sender
from estafeta.commands.options import UsageError, parse_options
from estafeta.commands.submit_rights import SubmitRights
from estafeta.config.instance import Config, ConfigError, default_directory
from estafeta.intake.maildrop import FOLDER, LARGEST_DROP, Draft, Drop
from estafeta.skeleton.log import for_command
from estafeta.skeleton.trigger import trigger

EX_REFUSED, EX_DATAERR, EX_UNAVAILABLE, EX_TEMPFAIL = 1, 65, 69, 75
PIECE = 64 * 1024


class TooBig(Exception):
    """The message is over message_size_limit."""


class CannotDrop(Exception):
    """The maildrop cannot be written, or the caller may not use this sender; the text says what to do or why."""


def drop(conf: Config, content: Iterable[bytes], described: Drop) -> None:
    """Store a message and wake pickup. On stable storage when it returns. Raises TooBig or CannotDrop."""
    refused = refused_sender(conf, described.envelope.sender)
    if refused:
        raise CannotDrop(refused)
    folder = os.path.join(conf.queue_directory, FOLDER)
    try:
        draft = Draft(folder)
    except OSError as error:
        raise CannotDrop(f"create a file in {folder}: {error.strerror}: {_remedy(conf, error)}") from error
    verbose.tell(f"create file {draft.path}")
    try:
        lines = 0
        for piece in content:
            lines += piece.count(b"\n")
            if conf.message_size_limit and draft.length + len(piece) - lines > conf.message_size_limit:
                raise TooBig
            draft.write(piece)
        draft.commit(described)
    except OSError as error:
        draft.abandon()
        raise CannotDrop(f"write {draft.path}: {error.strerror}") from error
    except BaseException:
        draft.abandon()
        raise
    # It is safe; if pickup does not hear of it now, it finds it within a minute, or when the mail system starts.
    trigger(os.path.join(conf.queue_directory, "public", conf.pickup_service_name), b"W")


def _remedy(conf: Config, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return (
            f"only root, {conf.mail_owner} and the group {conf.setgid_group} may drop mail there; to let all users in, "
            f"run 'chmod 1733 {conf.queue_directory}/{FOLDER}' as root"
        )
    if isinstance(error, FileNotFoundError):
        return "run 'postfix check' as root, which makes missing directories"
    return f"look at the file system of {conf.queue_directory}, and try again later"


def main(words: list[str] | None = None) -> int:
    """The console script."""
    log.install(lambda level, text, program: _say(log.PREFIX[level] + text))
    try:
        options, rest = parse_options("postdrop", sys.argv[1:] if words is None else words, "c:rv")
    except UsageError:
        rest = ["?"]
        options = []
    if rest:
        return _fail("usage: postdrop [-c config_dir] [-v]", EX_REFUSED)
    for option in options:
        if option.letter == "c":
            os.environ["MAIL_CONFIG"] = option.value
    try:
        conf = Config.load(default_directory())
    except ConfigError as reason:
        return _fail(str(reason), EX_TEMPFAIL)
    for_command("postdrop", conf)
    refusal = SubmitRights(conf).refusal()
    if refusal:
        return _fatal(refusal, EX_REFUSED)
    try:
        described = _read_drop()
    except (EOFError, msgspec.MsgspecError) as error:
        return _fatal(f"uid={os.getuid()}: unexpected input: {error}: use the sendmail command", EX_DATAERR)
    described.envelope.owner_uid = os.getuid()
    try:
        drop(conf, _read_content(), described)
    except TooBig:
        return _fatal(f"uid={os.getuid()}: message file too big", EX_UNAVAILABLE)
    except CannotDrop as error:
        return _fatal(str(error), EX_TEMPFAIL)
    return 0


def _read_drop() -> Drop:
    length = int.from_bytes(_exactly(4), "big")
    if length > LARGEST_DROP:
        raise EOFError("impossible length")
    return msgspec.msgpack.decode(_exactly(length), type=Drop)


def _exactly(length: int) -> bytes:
    data = sys.stdin.buffer.read(length)
    if len(data) < length:
        raise EOFError("input ends early")
    return data


def _read_content() -> Iterator[bytes]:
    while piece := sys.stdin.buffer.read(PIECE):
        yield piece


def _say(text: str) -> None:
    sys.stderr.write(f"postdrop: {text}\n")


def _fail(text: str, status: int) -> int:
    _say(f"fatal: {text}")
    return status


def _fatal(text: str, status: int) -> int:
    log.fatal(text)
    return status


if __name__ == "__main__":
    sys.exit(main())
