"""A queued message's envelope as postcat(1) shows it: `label: value`, with the place of each in the file.

The labels are Postfix's for the same things. The envelope is one msgpack array in the file, or in the amendment after
it that counts; so the offset of a line is that of the field which it shows, and reading there gives its value.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import msgspec

from estafeta.mail.envelope import RET_FULL, RET_HDRS, Client, Envelope, Recipient
from estafeta.queue import record
from estafeta.queue.record import Damaged

TYPES = {
    "message_size": 67,
    "message_arrival_time": 84,
    "named_attribute": 65,
    "create_time": 65,
    "sender_fullname": 70,
    "content_filter": 76,
    "redirect_to": 62,
    "sender": 83,
    "original_recipient": 79,
    "recipient": 82,
    "done_recipient": 68,
}
"""Postfix's numbers of record types: the letters that stand for them in its own files."""

_Fields = dict[str, int]
_decode_parts = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


class Spots:
    """Offsets of the fields of a packed envelope that begins at `start` of its file."""

    def __init__(self, start: int, packed: bytes) -> None:
        """Raises msgspec.MsgspecError for what is no envelope."""
        parts = _parts(start, packed)
        self.fields: _Fields = _named(Envelope.__struct_fields__, parts)
        raw = dict(parts)
        client = self.fields.get("client")
        self.client = _named(Client.__struct_fields__, _parts(client, raw[client])) if client is not None else {}
        recipients = self.fields["recipients"]
        self.recipients = [
            _named(Recipient.__struct_fields__, _parts(at, each)) for at, each in _parts(recipients, raw[recipients])
        ]


def _parts(start: int, packed: bytes) -> list[tuple[int, bytes]]:
    """(offset, bytes) of each member of a msgpack array."""
    members = [bytes(raw) for raw in _decode_parts(packed)]
    at = start + len(packed) - sum(map(len, members))  # past the length of the array
    found = []
    for member in members:
        found.append((at, member))
        at += len(member)
    return found


def _named(names: tuple[str, ...], parts: list[tuple[int, bytes]]) -> _Fields:
    # An older file may have fewer fields than we know.
    return {name: at for name, (at, _) in zip(names, parts, strict=False)}


def current(path: str, offset: int) -> tuple[int, bytes]:
    """Where the packed envelope lies that counts for the record at `offset`, and its bytes. Raises OSError, Damaged."""
    with open(path, "rb") as file:
        at, packed = 0, b""
        while True:
            file.seek(offset)
            try:
                header = record.parse_header(file.read(record.HEADER_SIZE))
            except Damaged:
                if not packed:
                    raise
                return at, packed
            if packed and header.flags != record.AMENDMENT:
                return at, packed
            begins = offset + record.HEADER_SIZE + header.head + header.body
            file.seek(begins)
            found = file.read(header.envelope)
            if len(found) < header.envelope:
                return at, packed  # torn: what stood before counts
            at, packed, offset = begins, found, offset + header.size


def envelope_lines(
    envelope: Envelope, content_at: int, spots: Spots | None = None, full_name: tuple[int, str] | None = None
) -> Iterator[tuple[int, str]]:
    """(offset, `label: value`) for all that is known. Without `spots` every offset is 0.

    `full_name`: of the sender, and its offset, while a message is in maildrop/.
    """
    at: _Fields = spots.fields if spots is not None else {}
    numbers = (envelope.size, content_at, len(envelope.recipients), 0, envelope.size, int(envelope.smtputf8))
    yield at.get("size", 0), f"message_size: {' '.join(f'{number:15d}' for number in numbers)}"
    yield at.get("arrived", 0), f"message_arrival_time: {time.ctime(envelope.arrived)}"
    yield at.get("arrived", 0), f"create_time: {time.ctime(envelope.arrived)}"
    ret = {RET_FULL: "1", RET_HDRS: "2"}.get(envelope.ret, "")
    yield from _attributes(
        at,
        ("context", "rewrite_context", envelope.context),
        ("envid", "envelope_id", envelope.envid),
        ("ret", "ret_flags", ret),
    )
    if full_name is not None:
        yield full_name[0], f"sender_fullname: {full_name[1]}"
    if envelope.content_filter:
        yield at.get("content_filter", 0), f"content_filter: {envelope.content_filter}"
    if envelope.redirect:
        yield at.get("redirect", 0), f"redirect_to: {envelope.redirect}"
    yield at.get("sender", 0), f"sender: {envelope.sender}"
    yield from _attributes(
        at, ("encoding", "encoding", envelope.encoding), ("smtputf8", "smtputf8", "yes" if envelope.smtputf8 else "")
    )
    yield from _client_lines(envelope.client, spots.client if spots is not None else {})
    for index, recipient in enumerate(envelope.recipients):
        where = spots.recipients[index] if spots is not None else {}
        notify = str(recipient.notify) if recipient.notify else ""
        yield from _attributes(where, ("notify", "notify_flags", notify), ("orcpt", "dsn_orig_rcpt", recipient.orcpt))
        if recipient.original:
            yield where.get("original", 0), f"original_recipient: {recipient.original}"
        label = "done_recipient" if index in envelope.done else "recipient"
        yield where.get("address", 0), f"{label}: {recipient.address}"


def _client_lines(client: Client, at: _Fields) -> Iterator[tuple[int, str]]:
    origin = f"{client.name}[{client.address}]" if client.address else ""
    return _attributes(
        at,
        ("name", "log_client_name", client.name),
        ("address", "log_client_address", client.address),
        ("port", "log_client_port", client.port),
        ("name", "log_message_origin", origin),
        ("helo", "log_helo_name", client.helo),
        ("protocol", "log_protocol_name", client.protocol),
        ("sasl_method", "sasl_method", client.sasl_method),
        ("sasl_username", "sasl_username", client.sasl_username),
        ("sasl_sender", "sasl_sender", client.sasl_sender),
    )


def _attributes(at: _Fields, *named: tuple[str, str, str]) -> Iterator[tuple[int, str]]:
    """`named`: field of ours, label, value; what has no value is left out."""
    return ((at.get(field, 0), f"named_attribute: {label}={value}") for field, label, value in named if value)


def spots_of(directory: str, path: str, offset: int, *, dropped: bool) -> tuple[Spots, int]:
    """Spots of the record at `offset` of a file below `directory`; in maildrop/, also where the full name lies.

    Raises OSError, Damaged.
    """
    start, packed = current(os.path.join(directory, path), offset)
    try:
        if not dropped:
            return Spots(start, packed), 0
        (start, packed), (name_at, _) = _parts(start, packed)[:2]
        return Spots(start, packed), name_at
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise Damaged(f"{path}: the envelope is unreadable: {error}") from error
