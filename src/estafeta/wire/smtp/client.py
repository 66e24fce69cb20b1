"""The client's half of SMTP and LMTP, as far as it needs no connection: commands to send, answers to EHLO, content.

`daemons/smtp/` sends what is built here. RFC 5321 (SMTP), 2033 (LMTP), 1870 (SIZE), 6152 (8BITMIME), 3461 (DSN), 6531
(SMTPUTF8), 2920 (PIPELINING).
"""

from __future__ import annotations

import re

from estafeta.mail import xtext
from estafeta.mail.address import quote
from estafeta.mail.envelope import NOTIFY_DELAY, NOTIFY_FAILURE, NOTIFY_NEVER, NOTIFY_SUCCESS, Client, Recipient
from estafeta.wire.smtp.client_reply import Reply

_NOTIFY = ((NOTIFY_SUCCESS, "SUCCESS"), (NOTIFY_FAILURE, "FAILURE"), (NOTIFY_DELAY, "DELAY"))

_KEYWORD = re.compile(r"[ \t]*([^ \t=]+)[ \t=]*(.*)")
_DOT = ord(".")
_UTF8_ODD = re.compile(r"[^!-*,-<>-\[\]-~]")
"""What a `utf-8;` address shows as `\\x{...}`: RFC 6533 3, QCHAR."""


class Extensions:
    """What a server offers, from its answer to EHLO or LHLO."""

    __slots__ = ("bad_size", "dsn", "eight_bit", "keywords", "name", "pipelining", "size", "size_limit", "smtputf8")

    def __init__(self, keywords: dict[str, str], name: str = "") -> None:
        self.name = name
        """What the server calls itself."""
        self.keywords = keywords
        """Upper-case keyword -> its parameters."""
        self.pipelining = "PIPELINING" in keywords
        self.eight_bit = "8BITMIME" in keywords
        self.dsn = "DSN" in keywords
        self.smtputf8 = "SMTPUTF8" in keywords
        self.size = "SIZE" in keywords
        limit = keywords.get("SIZE", "").partition(" ")[0]
        self.size_limit = int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 20 else 0
        """Bytes; 0 when the server names no limit."""
        self.bad_size = "" if limit.isascii() and limit.isdigit() else limit
        """What the server names as limit, if that is no number."""

    @classmethod
    def parse(cls, reply: Reply, discard: frozenset[str] = frozenset()) -> Extensions:
        """Read the lines of an answer to EHLO; keywords in `discard` (upper case) are overlooked."""
        name = reply.lines[0][4:].split(" ", 1)[0] if reply.lines else ""
        keywords: dict[str, str] = {}
        for line in reply.lines[1:]:
            # "AUTH=LOGIN" is the form of old Outlook servers; of a keyword that comes twice, the last counts.
            words = _KEYWORD.match(line, 4)
            if words is not None and (keyword := words[1].upper()) not in discard:
                keywords[keyword] = words[2].strip()
        return cls(keywords, name)


NO_EXTENSIONS = Extensions({})
"""A server that knows HELO only."""


def mail_command(
    sender: str,
    offered: Extensions,
    *,
    size: int = 0,
    encoding: str = "",
    ret: str = "",
    envid: str = "",
    smtputf8: bool = False,
    quoting: bool = True,
) -> str:
    """MAIL FROM with the parameters that the server offers and the message needs. Internal addresses in, no line end.

    `size` in bytes as they travel; 0 says nothing about it.
    """
    text = f"MAIL FROM:<{quote(sender) if quoting else sender}>"
    if offered.size and size > 0:
        text += f" SIZE={size}"
    if offered.eight_bit and encoding:
        text += " BODY=8BITMIME" if encoding == "8bit" else " BODY=7BIT"
    if offered.dsn:
        if envid:
            text += f" ENVID={xtext.encode(envid)}"
        if ret:
            text += f" RET={ret}"
    if offered.smtputf8 and smtputf8:
        text += " SMTPUTF8"
    return text


def rcpt_command(recipient: Recipient, offered: Extensions, *, quoting: bool = True) -> str:
    """RCPT TO, where the server offers DSN with what the sender asked for and whom the sender wrote to. No line end."""
    address = recipient.address
    text = f"RCPT TO:<{quote(address) if quoting else address}>"
    if not offered.dsn:
        return text
    kind, semicolon, value = recipient.orcpt.partition(";")
    if semicolon:
        text += f" ORCPT={kind};{xtext.encode(value)}"
    else:
        text += f" ORCPT={_original(recipient.original or address)}"
    if recipient.notify & NOTIFY_NEVER:
        return text + " NOTIFY=NEVER"
    if recipient.notify:
        text += " NOTIFY=" + ",".join(word for bit, word in _NOTIFY if recipient.notify & bit)
    return text


def _original(address: str) -> str:
    """The address that the sender wrote to, for ORCPT: RFC 3461 4.2, RFC 6533 3 for addresses beyond ASCII."""
    external = quote(address)
    if external.isascii():
        return f"rfc822;{xtext.encode(external)}"
    return "utf-8;" + _UTF8_ODD.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", external)


def xforward_commands(client: Client, queue_id: str, context: str, offered: Extensions) -> list[tuple[str, str]]:
    """[(what it is about, command)]: who brought the message, for a content filter. Empty where it is not wanted.

    XFORWARD_README: values are xtext; only attributes that the server names; `context` is local or remote.
    """
    wanted = offered.keywords.get("XFORWARD", "").upper().split()
    unknown = "[UNAVAILABLE]"
    address = f"IPV6:{client.address}" if ":" in client.address else client.address
    name = "" if client.name == "unknown" else client.name
    first = {"NAME": name, "ADDR": address, "PORT": client.port}
    ident = client.ident or (queue_id if client.address else "")
    second = {"PROTO": client.protocol, "HELO": client.helo, "IDENT": ident}
    commands = []
    if any(value for key, value in first.items() if key in wanted):
        words = [f"{key}={xtext.encode(value) or unknown}" for key, value in first.items() if key in wanted]
        commands.append(("name/address", "XFORWARD " + " ".join(words)))
    known = any(value for key, value in second.items() if key in wanted)
    words = [f"{key}={xtext.encode(value) or unknown}" for key, value in second.items() if known and key in wanted]
    if "SOURCE" in wanted:
        words.append(f"SOURCE={'REMOTE' if context == 'remote' else 'LOCAL'}")
    if words:
        commands.append(("helo/protocol", "XFORWARD " + " ".join(words)))
    return commands


def encode_content(content: bytes) -> bytes:
    """A whole message as it goes after 354: dots doubled, the final dot added. RFC 5321 4.5.2.

    `content` has CRLF line ends; a missing one at the end is added. Long lines are `fold_lines`' business.
    """
    if b"\n." in content:
        content = content.replace(b"\r\n.", b"\r\n..")
    if content[:1] == b".":
        content = b"." + content
    if not content:
        return b".\r\n"
    return content + (b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n")


def has_long_line(content: bytes, limit: int, column: int = 0) -> bool:
    """Whether any line has more than `limit` bytes, its end not counted. `column` bytes of the first line went before.

    Looks at one place every `limit` bytes, not at every line.
    """
    at, end = 0, len(content)
    reach = limit - column + 2
    while end - at > reach - 2:
        newline = content.rfind(b"\n", at, at + max(reach, 0))
        if newline < 0:
            return True
        at = newline + 1
        reach = limit + 2
    return False


def fold_lines(content: bytes, limit: int, column: int = 0) -> bytes:
    """Break lines longer than `limit` with CRLF and a blank, as smtp_line_length_limit promises.

    `column`: how much of the first line went before.
    """
    folded: list[bytes] = []
    for line in content.split(b"\r\n"):
        first = limit - column
        column = 0
        if len(line) <= first:
            folded.append(line)
            continue
        at = max(first, 0)
        parts = [line[:at]]
        # The blank belongs to the continuation and counts.
        step = max(limit - 1, 1)
        parts.extend(line[i : i + step] for i in range(at, len(line), step))
        folded.append(b"\r\n ".join(parts))
    return b"\r\n".join(folded)


class ContentEncoder:
    """As `encode_content` after `fold_lines`, for a message that comes by pieces, cut anywhere."""

    __slots__ = ("_column", "_held", "_limit", "folded")

    def __init__(self, line_limit: int = 0) -> None:
        self._limit = line_limit
        self._column = 0
        self._held = b""
        self.folded = False
        """Some line was broken."""

    def feed(self, piece: bytes) -> bytes:
        """What of it can go out now."""
        data = self._held + piece if self._held else piece
        self._held = b""
        # A CRLF is never cut in two here, nor seen in halves.
        if data.endswith(b"\r"):
            self._held, data = b"\r", data[:-1]
        if not data:
            return b""
        column = self._column
        if self._limit and has_long_line(data, self._limit, column):
            data = fold_lines(data, self._limit, column)
            self.folded = True
        last = data.rfind(b"\r\n")
        self._column = len(data) - last - 2 if last >= 0 else column + len(data)
        if b"\n." in data:
            data = data.replace(b"\r\n.", b"\r\n..")
        return b"." + data if column == 0 and data[0] == _DOT else data

    def finish(self) -> bytes:
        """The rest, with the final dot."""
        rest, self._held = self._held, b""
        return rest + (b"\r\n.\r\n" if self._column or rest else b".\r\n")
