"""Delivery status notifications: what bounce(8) writes to the sender of a message. RFC 3461, 3462, 3464; bounce(5).

Pure composition: facts in, header block and body out, with CRLF lines. The form (order of parts, names of fields, how
long lines fold) is what Postfix sends, since programs that read bounces rely on it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from estafeta.mail.address import quote
from estafeta.mail.envelope import implied_orcpt

LINE = 79
"""Columns after which the text of a reason is folded."""
INDENT = "    "


@dataclass(frozen=True, slots=True)
class Template:
    """bounce(5): the headers and the text that say what happened. Text lines end in LF; empty for no text."""

    name: str
    subject: str
    postmaster_subject: str
    text: str
    sender: str = "MAILER-DAEMON (Mail Delivery System)"
    charset: str = "us-ascii"


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one recipient."""

    recipient: str
    original: str
    """The address before virtual aliases, or the same again."""
    orcpt: str
    action: str
    """failed, delayed, delivered, relayed, expanded, deliverable, undeliverable: RFC 3464 2.3.3."""
    dsn: str
    text: str
    remote_mta: str = ""
    diagnostic: str = ""
    """Words that are not ours: the remote server's, or where there is none, the operating system's."""


@dataclass(frozen=True, slots=True)
class Message:
    """The message that is reported on. `content` is what is returned of it: header block, or header block and body."""

    queue_id: str
    sender: str
    arrival: str
    """Date of arrival, as in a Date header."""
    envid: str
    content: bytes
    headers_only: bool
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """The report's own frame."""

    hostname: str
    mail_name: str
    origin: str
    """Domain of the From address, with its @: myorigin."""
    recipient: str
    template: Template
    boundary: str
    to_sender: bool = True
    """False for a copy to the postmaster: other subject, no text."""
    encoding: str = "8bit"
    """"8bit", "7bit", or empty when nobody has told how the message is encoded: then the report does not say either."""
    date: str = ""
    """Of the report itself, as in a Date header."""
    retry_until: str = ""
    """Date, for a delay report."""
    thread: str = ""
    """Message id of the message that this answers, with its brackets; empty: it does not say."""


def compose(letter: Letter, message: Message, fates: Sequence[Fate]) -> tuple[bytes, bytes]:
    """(header block with its empty line, body) of the report."""
    message, fates = _cleaned(message), [_cleaned(fate) for fate in fates]
    eight_bit = letter.encoding == "8bit" or message.smtputf8
    body: list[str] = ["This is a MIME-encapsulated message.", "", f"--{letter.boundary}"]
    body += _notification(letter, fates, eight_bit=eight_bit)
    body += ["", f"--{letter.boundary}"]
    body += _delivery_status(letter, message, fates)
    body += [f"--{letter.boundary}"]
    body += _returned_header(letter, message, eight_bit=eight_bit)
    packed = _wire(body) + _closed(message.content) + _wire(["", f"--{letter.boundary}--"])
    return _wire(_head(letter, "8bit" if eight_bit else letter.encoding)) + b"\r\n", packed


_Facts = TypeVar("_Facts", Fate, Message)


def _cleaned(facts: _Facts) -> _Facts:
    """Without control characters: a line end in what a stranger said would be a field, or a part, of his own."""
    changes: dict[str, Any] = {}
    for field in fields(facts):
        text = getattr(facts, field.name)
        if isinstance(text, str) and field.name not in ("text", "diagnostic") and _CONTROL.search(text):
            changes[field.name] = _CONTROL.sub("?", text)
    return replace(facts, **changes) if changes else facts


_CONTROL = re.compile("[\x00-\x1f\x7f]")


def _head(letter: Letter, encoding: str) -> list[str]:
    template = letter.template
    subject = template.subject if letter.to_sender else template.postmaster_subject
    return [
        f"Date: {letter.date}",
        f"From: {_from(template.sender, letter.origin)}",
        f"Subject: {subject}",
        f"To: {quote(letter.recipient)}",
        *([f"References: {letter.thread}", f"In-Reply-To: {letter.thread}"] if letter.thread else []),
        f"Auto-Submitted: {'auto-replied' if letter.to_sender else 'auto-generated'}",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;",
        f'\tboundary="{letter.boundary}"',
        *([f"Content-Transfer-Encoding: {encoding}"] if encoding else []),
    ]


def _from(sender: str, origin: str) -> str:
    """`MAILER-DAEMON (Mail Delivery System)` in the standard form, `Mail Delivery System <MAILER-DAEMON@origin>`."""
    address, _, comment = sender.partition(" ")
    if "@" not in address:
        address += origin
    if comment.startswith("(") and comment.endswith(")"):
        return f"{comment[1:-1]} <{address}>"
    return sender


def _notification(letter: Letter, fates: Sequence[Fate], *, eight_bit: bool) -> list[str]:
    template = letter.template
    charset = "utf-8" if eight_bit and template.charset == "us-ascii" else template.charset
    lines = [
        "Content-Description: Notification",
        f"Content-Type: text/plain; charset={charset}",
        *_part_encoding(eight_bit),
        "",
    ]
    if letter.to_sender:
        lines += template.text.rstrip("\n").split("\n")
    for fate in fates:
        lines.append("")
        expanded = f" (expanded from <{quote(fate.original)}>)" if fate.original != fate.recipient else ""
        lines += fold(f"<{quote(fate.recipient)}>{expanded}: {fate.text}")
    return lines


def _delivery_status(letter: Letter, message: Message, fates: Sequence[Fate]) -> list[str]:
    kind = "message/global-delivery-status" if message.smtputf8 else "message/delivery-status"
    lines = ["Content-Description: Delivery report", f"Content-Type: {kind}"]
    if message.smtputf8:
        lines.append("Content-Transfer-Encoding: 8bit")
    lines += ["", f"Reporting-MTA: dns; {letter.hostname}"]
    if message.envid:
        lines.append(f"Original-Envelope-Id: {message.envid}")
    lines.append(f"X-{_token(letter.mail_name)}-Queue-ID: {message.queue_id}")
    if message.sender:
        lines.append(f"X-{_token(letter.mail_name)}-Sender: {_typed(message.smtputf8, message.sender)}")
    lines.append(f"Arrival-Date: {message.arrival}")
    for fate in fates:
        lines += ["", *_recipient_fields(letter, message, fate)]
    return [*lines, ""]


def _recipient_fields(letter: Letter, message: Message, fate: Fate) -> list[str]:
    original = _unitext(fate.orcpt, message.smtputf8) or implied_orcpt(fate.original)
    lines = [
        f"Final-Recipient: {_typed(message.smtputf8, fate.recipient)}",
        f"Original-Recipient: {original}",
        f"Action: {fate.action}",
        f"Status: {fate.dsn}",
    ]
    if fate.remote_mta:
        lines.append(f"Remote-MTA: dns; {fate.remote_mta}")
    if fate.diagnostic:
        lines += fold(f"Diagnostic-Code: {'smtp' if fate.remote_mta else 'x-unix'}; {fate.diagnostic}")
    else:
        lines += fold(f"Diagnostic-Code: X-{_token(letter.mail_name)}; {fate.text}")
    if letter.retry_until:
        lines.append(f"Will-Retry-Until: {letter.retry_until}")
    return lines


def _unitext(orcpt: str, smtputf8: bool) -> str:
    """An original recipient of type utf-8 as its characters, where the report may have such. RFC 6533 3."""
    if not smtputf8 or not orcpt.lower().startswith("utf-8;"):
        return orcpt
    return _EMBEDDED.sub(_character, orcpt)


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    if number > 0x10FFFF or 0xD800 <= number < 0xE000 or not chr(number).isprintable():
        return found[0]
    return chr(number)


_EMBEDDED = re.compile(r"\\x\{([0-9A-F]{2,6})\}")


def _typed(smtputf8: bool, address: str) -> str:
    return f"{'utf-8' if smtputf8 and not address.isascii() else 'rfc822'}; {quote(address)}"


def _token(name: str) -> str:
    """`name` as part of the name of a header field or a type: no spaces, no special characters of RFC 5322."""
    return name.translate(_SPECIAL)


_SPECIAL = str.maketrans(dict.fromkeys(' \t"(),.:;<>@[]\\', "-"))


def _part_encoding(eight_bit: bool) -> list[str]:
    return ["Content-Transfer-Encoding: 8bit"] if eight_bit else []


def _returned_header(letter: Letter, message: Message, *, eight_bit: bool) -> list[str]:
    part = "global" if message.smtputf8 else "rfc822"
    if message.headers_only:
        kind = "message/global-headers" if message.smtputf8 else "text/rfc822-headers"
        what = "Message Headers"
    else:
        kind, what = f"message/{part}", "Message"
    if letter.template.name in ("failure", "delay"):
        what = f"Undelivered {what}"
    return [
        f"Content-Description: {what}",
        f"Content-Type: {kind}",
        *_part_encoding(eight_bit),
        "",
        f"Return-Path: <{quote(message.sender) if message.sender else ''}>",
    ]


def _closed(content: bytes) -> bytes:
    return content if not content or content.endswith(b"\r\n") else content + b"\r\n"


def _wire(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")


def fold(text: str) -> list[str]:
    """The text in lines of at most 79 columns, broken at blanks, continued with four spaces."""
    lines: list[str] = []
    line = ""
    for word in text.replace("\r", " ").replace("\n", " ").split(" "):
        if line and len(line) + 1 + len(word) > LINE:
            lines.append(line)
            line = INDENT + word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]
