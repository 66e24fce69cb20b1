r"""A .talk file: settings, then what the client sends and what it must hear and what must be logged.

    # Why this rule is there.
    smtpd_helo_required = yes
    client = mail.client.example[192.0.2.5]

    S: 220 mx.example.com ESMTP Postfix
    C: MAIL FROM:<a@b.example>
    S: 503 5.5.1 Error: send HELO/EHLO first
    L: disconnect from mail.client.example[192.0.2.5] mail=0/1 commands=0/1

`C:` sends a line with CRLF; `\r`, `\n`, `\0`, `\t`, `\xHH` and `\\` are escapes, and a line that ends in a lone `\` is
sent without CRLF. `C+` is sent together with the `C:` line after it. `C: <close>` ends the client's side. `S: <close>`:
the server hangs up. `*` in `S:` and `L:` stands for a queue id or whatever else differs each time; `L:` lines must be
the log lines of smtpd, all of them, in order, if there is one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

CLOSE = "<close>"
_ESCAPE = re.compile(r"\\(r|n|0|t|\\|x[0-9A-Fa-f]{2})")
_ESCAPES = {"r": "\r", "n": "\n", "0": "\0", "t": "\t", "\\": "\\"}


@dataclass
class Step:
    """One write of the client (None: it closes; b"": the greeting is awaited), and the replies to it."""

    sent: bytes | None
    replies: list[str] = field(default_factory=list)


@dataclass
class Dialogue:
    name: str
    comments: list[str]
    settings: dict[str, str]
    client: tuple[str, str] | None
    steps: list[Step]
    log: list[str]
    lines: list[tuple[str, str]]
    """The body as written: (mark, text)."""


def parse(path: Path) -> Dialogue:
    comments, settings, client = [], {}, None
    steps, log, lines = [Step(b"")], [], []
    ahead = b""
    for line in path.read_text("utf-8").splitlines():
        if not lines and line.startswith("#"):
            comments.append(line)
        elif not line.strip():
            continue
        elif line[:2] in ("C:", "C+", "S:", "L:"):
            mark, text = line[:2], line[3:]
            lines.append((mark, text))
            if mark == "C+":
                ahead += to_bytes(text)
            elif mark == "C:":
                steps.append(Step(None if text == CLOSE else ahead + to_bytes(text)))
                ahead = b""
            elif mark == "S:":
                steps[-1].replies.append(text)
            else:
                log.append(text)
        else:
            name, equals, value = (part.strip() for part in line.partition("="))
            assert equals and not lines, f"{path}: neither a setting nor C:, S: or L: -- {line}"
            if name == "client":
                found = re.fullmatch(r"(.*)\[(.*)\]", value)
                assert found, f"{path}: client = name[address]"
                client = found[1], found[2]
            else:
                settings[name] = value
    return Dialogue(path.stem, comments, settings, client, steps, log, lines)


def to_bytes(text: str) -> bytes:
    end = b"\r\n"
    if text.endswith("\\") and not text.endswith("\\\\"):
        text, end = text[:-1], b""
    return _ESCAPE.sub(_unescaped, text).encode("utf-8", "surrogateescape") + end


def _unescaped(found: re.Match[str]) -> str:
    if found[1][0] != "x":
        return _ESCAPES[found[1]]
    return bytes([int(found[1][1:], 16)]).decode("utf-8", "surrogateescape")


def matches(expected: str, heard: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, expected.split("*"))), heard) is not None


BASE = {
    "compatibility_level": "3.6",
    "myhostname": "mx.example.com",
    "mydomain": "example.com",
    "mail_name": "Postfix",
    "mydestination": "example.com, mx.example.com, localhost",
    "mynetworks": "192.0.2.0/24",
    "inet_interfaces": "127.0.0.1",
    "alias_maps": "",
    "alias_database": "",
    "local_recipient_maps": "inline:{ {user=x} {a=x} {b=x} {c=x} {postmaster=x} {abuse=x} }",
    "relay_domains": "relay.example",
    "smtpd_error_sleep_time": "0",
    "smtpd_forbid_bare_newline": "normalize",
    "smtpd_forbid_bare_newline_exclusions": "",
    "smtpd_forbid_unauth_pipelining": "yes",
}
"""What every dialogue starts from, here and where it is recorded."""
