"""postcat(1): show a message file, or a queued message by its id (`-q`), in readable form.

A message in a journal has no file of its own; with `-q` it is found there as well.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from estafeta.base import log
from estafeta.commands.options import UsageError, parse_options
from estafeta.commands.terminal import Terminal
from estafeta.config.instance import Config, ConfigError
from estafeta.mail.envelope import Envelope
from estafeta.queue import scan
from estafeta.queue.files import MessageFiles
from estafeta.queue.place import Place
from estafeta.queue.record import Damaged
from estafeta.queue.spool import MessageGone, Reader
from estafeta.skeleton.log import for_command

LETTERS = "bc:dehoqrs:v"
USAGE = (
    "usage: postcat [-b (body text)] [-c config_dir] [-d (decimal record type)] [-e (envelope records)] [-h (header "
    "text)] [-q (access queue)] [-v] [file(s)...]"
)
QUEUES = ("deferred", "hold")


class _Fatal(Exception):
    """The command ends here; the text is its last line."""


@dataclass(slots=True)
class Opened:
    """A message that was found: `name` is how it is called in the output."""

    name: str
    directory: str
    place: Place
    envelope: Envelope


def main(words: list[str] | None = None) -> int:
    """The console script. Exit status 0, or 1."""
    before = log.install(Terminal("postcat"))
    try:
        return run(sys.argv[1:] if words is None else words, sys.stdout.buffer)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UsageError:
        log.fatal(USAGE)
    except (_Fatal, ConfigError) as error:
        log.fatal(str(error))
    finally:
        log.install(before)
    return 1


def run(words: list[str], out: BinaryIO) -> int:
    options, names = parse_options("postcat", words, LETTERS)
    letters = {letter for letter, _ in options}
    directory = next((value for letter, value in options if letter == "c"), None)
    if directory is not None:
        os.environ["MAIL_CONFIG"] = directory
    parts = letters & {"b", "e", "h"} or {"b", "e", "h"}
    conf = Config.load()
    for_command("postcat", conf, record=False)
    for letter in sorted(letters & {"d", "o", "r", "s"}):
        log.warning(f"option -{letter} has no meaning for message files of this mail system")
    if "q" not in letters and not names:
        raise _Fatal("a file name is needed: this mail system reads no message file from standard input")
    for name in names:
        opened = in_queue(conf.queue_directory, name) if "q" in letters else named(name)
        if opened is not None:
            show(opened, parts, out)
    out.flush()
    return 0


def named(path: str) -> Opened | None:
    """A message file by its name. None, after a warning, if it is not one."""
    folder, name = os.path.split(os.path.abspath(path))
    try:
        place, envelope = MessageFiles(directory=folder, hash_names=(), hash_depth=0).load(name)
    except Damaged:
        log.warning(f"{path}: input is not a valid queue file")
        return None
    except OSError as error:
        raise _Fatal(f"open {path}: {error.strerror}") from None
    return Opened(path, folder, place, envelope)


def in_queue(directory: str, queue_id: str) -> Opened:
    """A queued message by its id."""
    files = MessageFiles(directory=directory, hash_names=(), hash_depth=0)
    try:
        for queue in QUEUES:
            path = files.find(queue, queue_id) if queue_id.isalnum() else None
            if path is not None:
                place, envelope = files.load(path)
                return Opened(path, directory, place, envelope)
        return _in_incoming(directory, files, queue_id)
    except Damaged as error:
        raise _Fatal(str(error)) from None
    except OSError as error:
        raise _Fatal(f"open queue file {queue_id}: {error.strerror}") from None


def _in_incoming(directory: str, files: MessageFiles, queue_id: str) -> Opened:
    segments, large, _ = scan.incoming(directory)
    for path in large:
        if os.path.basename(path) == queue_id:
            place, envelope = files.load(path)
            return Opened(path, directory, place, envelope)
    for path in segments:
        for place, envelope in scan.scan_segment(directory, path).messages:
            if envelope.queue_id == queue_id:
                return Opened(f"incoming/{queue_id}", directory, place, envelope)
    raise MessageGone(2, os.strerror(2), queue_id)


def show(opened: Opened, parts: set[str], out: BinaryIO) -> None:
    """Write the wanted parts: `e` envelope, `h` header, `b` body."""
    name = os.fsencode(opened.name)
    with_envelope = "e" in parts
    if with_envelope:
        out.write(b"*** ENVELOPE RECORDS %s ***\n" % name)
        for line in envelope_lines(opened.envelope):
            out.write(line.encode("utf-8", "surrogateescape") + b"\n")
        out.write(b"*** MESSAGE CONTENTS %s ***\n" % name)
    for piece in _content(opened, parts):
        out.write(piece)
    if with_envelope:
        out.write(b"*** HEADER EXTRACTED %s ***\n" % name)
        out.write(b"*** MESSAGE FILE END %s ***\n" % name)


def envelope_lines(envelope: Envelope) -> Iterator[str]:
    """`label: value` for all that is known, with the labels that Postfix has for the same things."""
    yield f"message_size: {envelope.size:15d}{len(envelope.recipients):16d}"
    yield f"message_arrival_time: {time.ctime(envelope.arrived)}"
    yield f"create_time: {time.ctime(envelope.arrived)}"
    client = envelope.client
    attributes = {
        "rewrite_context": envelope.context,
        "envelope_id": envelope.envid,
        "ret_flags": envelope.ret,
        "encoding": envelope.encoding,
        "smtputf8": "yes" if envelope.smtputf8 else "",
        "log_client_name": client.name,
        "log_client_address": client.address,
        "log_client_port": client.port,
        "log_helo_name": client.helo,
        "log_protocol_name": client.protocol,
        "sasl_method": client.sasl_method,
        "sasl_username": client.sasl_username,
        "sasl_sender": client.sasl_sender,
        "content_filter": envelope.content_filter,
        "redirect_to": envelope.redirect,
    }
    for label, value in attributes.items():
        if value:
            yield f"named_attribute: {label}={value}"
    yield f"sender: {envelope.sender}"
    done = set(envelope.done)
    for index, recipient in enumerate(envelope.recipients):
        if recipient.orcpt:
            yield f"named_attribute: dsn_orig_rcpt={recipient.orcpt}"
        if recipient.notify:
            yield f"named_attribute: notify_flags={recipient.notify}"
        if recipient.original:
            yield f"original_recipient: {recipient.original}"
        yield f"{'done_recipient' if index in done else 'recipient'}: {recipient.address}"


def _content(opened: Opened, parts: set[str]) -> Iterator[bytes]:
    """The wanted part of the content, lines ending in LF."""
    reader = Reader(directory=opened.directory)
    place = opened.place
    try:
        head = reader.head(place)
        # The empty line between header and body belongs to what is shown of the body.
        header, empty = (head[:-2], head[-2:]) if head.endswith(b"\r\n\r\n") or head == b"\r\n" else (head, b"")
        if "h" in parts:
            yield header.replace(b"\r\n", b"\n")
        if "b" in parts:
            yield empty.replace(b"\r\n", b"\n")
            yield from _body(reader, place)
    finally:
        reader.close()


def _body(reader: Reader, place: Place) -> Iterator[bytes]:
    skip, held = place.head, b""
    for piece in reader.pieces(place):
        if skip >= len(piece):
            skip -= len(piece)
            continue
        data = held + piece[skip:]
        skip = 0
        # A line end may be cut in two.
        held = data[-1:] if data.endswith(b"\r") else b""
        yield (data[:-1] if held else data).replace(b"\r\n", b"\n")
    if held:
        yield held


if __name__ == "__main__":
    sys.exit(main())
