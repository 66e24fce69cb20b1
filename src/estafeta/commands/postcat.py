"""postcat(1): show a message file, or a queued message by its id (`-q`), in readable form.

A message in a journal has no file of its own; with `-q` it is found there as well, and so is one in maildrop/.

What is shown has Postfix's form, record types (`-d`) included. Our files hold the content first, as it is, and then
the envelope: so file order (`-r`) shows that last, and its fields in the order in which they lie there.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from estafeta.base import log, verbose
from estafeta.commands.envelope_records import TYPES, envelope_lines, spots_of
from estafeta.commands.options import parse_options
from estafeta.commands.terminal import Fatal, perform
from estafeta.config.instance import Config
from estafeta.intake import maildrop
from estafeta.mail.envelope import Envelope
from estafeta.queue import record, scan
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
CONTENT, LINE, EXTRACTED, END = 77, 78, 88, 69
MOST_HEADER = 1024 * 1024
"""Bytes in which the end of the header is looked for, of a message that nobody has taken in yet."""


@dataclass(slots=True)
class Opened:
    """A message that was found: `name` is how it is called in the output."""

    name: str
    directory: str
    place: Place
    envelope: Envelope
    full_name: str | None = None
    """The sender's, of a message in maildrop/."""

    @property
    def content_at(self) -> int:
        return self.place.offset + record.HEADER_SIZE

    @property
    def envelope_at(self) -> int:
        return self.content_at + self.place.head + self.place.body


@dataclass(slots=True)
class Wanted:
    """What to show, and how."""

    parts: set[str]
    types: bool = False
    offsets: bool = False
    file_order: bool = False
    skip: int = 0
    labels: bool = False
    """`-v`: lines of content have a label, as records of the envelope have."""

    @property
    def plain(self) -> bool:
        """Content is shown as it is, not line by line."""
        return not (self.types or self.offsets or self.skip or self.labels)

    @property
    def label(self) -> bytes:
        return b"regular_text: " if self.labels and not self.types else b""

    def mark(self, offset: int, kind: int) -> bytes:
        shown = b"%9d " % offset if self.offsets else b""
        return shown + (b"%3d " % kind if self.types else b"")


def main(words: list[str] | None = None) -> int:
    """The console script. Exit status 0, or 1."""
    given = sys.argv[1:] if words is None else words
    return perform("postcat", lambda: run(given, sys.stdout.buffer), usage=USAGE)


def run(words: list[str], out: BinaryIO) -> int:
    options, names = parse_options("postcat", words, LETTERS)
    letters = {letter for letter, _ in options}
    directory = next((value for letter, value in options if letter == "c"), None)
    if directory is not None:
        os.environ["MAIL_CONFIG"] = directory
    parts = letters & {"b", "e", "h"} or {"b", "e", "h"}
    conf = Config.load()
    for_command("postcat", conf, record=False)
    wanted = Wanted(parts, "d" in letters, "o" in letters, "r" in letters, labels="v" in letters)
    for letter, value in options:
        if letter == "s":
            if not (value.isascii() and value.isdigit()) or len(value) > 18:
                raise Fatal(f"bad offset: {value}")
            wanted.skip = int(value)
    if "q" in letters and not names:
        raise Fatal(USAGE)
    for name in names:
        opened = in_queue(conf.queue_directory, name) if "q" in letters else named(name)
        if opened is not None:
            show(opened, wanted, out)
    if not names:
        _show_input(wanted, out)
    out.flush()
    return 0


def _show_input(wanted: Wanted, out: BinaryIO) -> None:
    """A message file on standard input."""
    with tempfile.NamedTemporaryFile() as copy:
        while piece := sys.stdin.buffer.read(1 << 20):
            copy.write(piece)
        copy.flush()
        opened = named(copy.name, "stdin")
        if opened is not None:
            show(opened, wanted, out)


def named(path: str, shown: str = "") -> Opened | None:
    """A message file by its name. None, after a warning, if it is not one."""
    folder, name = os.path.split(os.path.abspath(path))
    try:
        place, envelope = MessageFiles(directory=folder, hash_names=(), hash_depth=0).load(name)
    except Damaged:
        log.warning(f"{shown or path}: input is not a valid queue file")
        return None
    except OSError as error:
        raise Fatal(f"open {path}: {error.strerror}") from None
    return Opened(shown or path, folder, _divided(folder, place), envelope)


def _divided(directory: str, place: Place) -> Place:
    """Where the header ends, of a message in maildrop/: intake has not looked for that yet."""
    if place.head:
        return place
    with open(os.path.join(directory, place.path), "rb") as file:
        file.seek(place.offset + record.HEADER_SIZE)
        start = file.read(min(place.body, MOST_HEADER))
    head = start.find(b"\r\n\r\n") + 4 if not start.startswith(b"\r\n") else 2
    head = place.body if head < 4 and head != 2 else head
    return Place(place.path, place.offset, head, place.body - head, place.envelope)


def in_queue(directory: str, queue_id: str) -> Opened:
    """A queued message by its id."""
    if not queue_id.isalnum() or not queue_id.isascii():
        raise Fatal(f"bad mail queue ID: {queue_id}")
    files = MessageFiles(directory=directory, hash_names=(), hash_depth=0)
    try:
        for queue in QUEUES:
            path = files.find(queue, queue_id)
            if path is not None:
                place, envelope = files.load(path)
                return Opened(path, directory, place, envelope)
        dropped = os.path.join(directory, maildrop.FOLDER, queue_id)
        if os.path.exists(dropped):
            return _dropped(directory, queue_id)
        return _in_incoming(directory, files, queue_id)
    except Damaged as error:
        raise Fatal(str(error)) from None
    except OSError as error:
        raise Fatal(f"open queue file {queue_id}: {error.strerror}") from None


def _dropped(directory: str, name: str) -> Opened:
    path = f"{maildrop.FOLDER}/{name}"
    try:
        dropped = maildrop.Dropped(os.path.join(directory, path))
    except maildrop.BadDrop as problem:
        raise Fatal(f"{path}: {problem}") from None
    dropped.close()
    place = _divided(directory, Place(path, 0, 0, dropped.length, 0))
    return Opened(path, directory, place, dropped.drop.envelope, dropped.drop.full_name)


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


def show(opened: Opened, wanted: Wanted, out: BinaryIO) -> None:
    """Write the wanted parts: `e` envelope, `h` header, `b` body."""
    verbose.tell(f"open file {os.path.join(opened.directory, opened.place.path)}, offset {opened.place.offset}")
    name = os.fsencode(opened.name)
    with_envelope = "e" in wanted.parts
    if with_envelope:
        out.write(b"*** ENVELOPE RECORDS %s ***\n" % name)
        if not wanted.file_order:
            _show_envelope(opened, wanted, out)
        out.write(wanted.mark(opened.content_at, CONTENT) + b"*** MESSAGE CONTENTS %s ***\n" % name)
    if wanted.plain:
        for piece in _content(opened, wanted.parts):
            out.write(piece)
    else:
        for offset, line in _content_lines(opened, wanted.parts):
            if offset >= wanted.skip:
                out.write(wanted.mark(offset, LINE) + wanted.label + line + b"\n")
    if with_envelope:
        if wanted.file_order:
            _show_envelope(opened, wanted, out)
        end = opened.envelope_at + opened.place.envelope
        out.write(wanted.mark(opened.envelope_at, EXTRACTED) + b"*** HEADER EXTRACTED %s ***\n" % name)
        out.write(wanted.mark(end, END) + b"*** MESSAGE FILE END %s ***\n" % name)


def _show_envelope(opened: Opened, wanted: Wanted, out: BinaryIO) -> None:
    spots, name_at = spots_of(
        opened.directory, opened.place.path, opened.place.offset, dropped=opened.full_name is not None
    )
    name = (name_at, opened.full_name) if opened.full_name else None
    records = list(envelope_lines(opened.envelope, opened.content_at, spots, name))
    if wanted.file_order:
        records.sort(key=lambda each: each[0])
    for offset, line in records:
        if offset >= wanted.skip:
            kind = TYPES[line.partition(":")[0]]
            out.write(wanted.mark(offset, kind) + line.encode("utf-8", "surrogateescape") + b"\n")


def _content_lines(opened: Opened, parts: set[str]) -> Iterator[tuple[int, bytes]]:
    """(offset in the file, line without its end) of the wanted part of the content."""
    reader = Reader(directory=opened.directory)
    offset, held = opened.content_at, b""
    body_at = offset + opened.place.head
    try:
        for piece in reader.pieces(opened.place):
            *lines, held = (held + piece).split(b"\n")
            for line in lines:
                # The empty line between header and body belongs to what is shown of the body.
                of_body = offset >= body_at or (line == b"\r" and offset + 2 == body_at)
                if ("b" if of_body else "h") in parts:
                    yield offset, line.removesuffix(b"\r")
                offset += len(line) + 1
        if held and ("b" if offset >= body_at else "h") in parts:
            yield offset, held
    finally:
        reader.close()


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
