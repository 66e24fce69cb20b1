"""A programmable SMTP and LMTP server: it answers what a test tells it to, and remembers what it was told.

`replies` maps a verb to what is answered: a text (lines joined with "\\n", CRLF added), `DROP` (hang up), `STALL`
(say nothing), `then_drop("421 ...")` (answer, hang up), a list (the first time, the second time, ...; the last one
repeats), or a function of the whole command line that returns any of these. Verbs are CONNECT EHLO HELO LHLO MAIL
RCPT DATA "." RSET QUIT NOOP and BODY, which happens when the first bytes of content arrive (DROP, or a reply given
too early).

Also a script: `python -m tests.support.smtp_sink PORT VERB=REPLY ...` for comparing with another client by hand.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from dataclasses import dataclass, field
from typing import Any

DROP = "\0drop"
STALL = "\0stall"


def then_drop(text: str) -> str:
    return DROP + text


EXTENSIONS = ("PIPELINING", "SIZE", "8BITMIME", "DSN", "ENHANCEDSTATUSCODES", "SMTPUTF8")


@dataclass
class Message:
    mail: str
    rcpt: list[str]
    content: bytes


@dataclass
class Talk:
    """One connection: the command lines in order, and how many reads (batches) they came in."""

    commands: list[str] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)


Reply = Any


class SmtpSink:
    def __init__(
        self,
        replies: dict[str, Reply] | None = None,
        *,
        name: str = "sink.example",
        extensions: tuple[str, ...] | None = EXTENSIONS,
        lmtp: bool = False,
    ) -> None:
        self.replies = dict(replies or {})
        self.name = name
        self.extensions = extensions
        self.lmtp = lmtp
        self.messages: list[Message] = []
        self.talks: list[Talk] = []
        self._counts: dict[str, int] = {}
        self._server: asyncio.AbstractServer | None = None
        self.sessions: set[Session] = set()
        self.port = 0
        self.arrived = asyncio.Event()

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> SmtpSink:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Session(self), host, port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def listen_unix(self, path: str) -> SmtpSink:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: Session(self), path)
        return self

    async def __aenter__(self) -> SmtpSink:
        if self._server is None:
            await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop listening and hang up on everybody."""
        if self._server:
            self._server.close()
            self._server = None
        for session in list(self.sessions):
            session.transport.abort()
        await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Close the connections that are open, as an impatient server does."""
        for session in list(self.sessions):
            session.transport.close()

    @property
    def commands(self) -> list[str]:
        """Every command line of every connection, in order of connections."""
        return [line for talk in self.talks for line in talk.commands]

    def answer(self, verb: str, line: str) -> str:
        rule = self.replies.get(verb)
        if isinstance(rule, list):
            count = self._counts.get(verb, 0)
            self._counts[verb] = count + 1
            rule = rule[min(count, len(rule) - 1)]
        if callable(rule):
            rule = rule(line)
        if rule is not None:
            return str(rule)
        return self._usual(verb)

    def _usual(self, verb: str) -> str:
        if verb == "CONNECT":
            return f"220 {self.name} ESMTP"
        if verb in ("EHLO", "LHLO"):
            if self.extensions is None:
                return "500 5.5.1 no such command"
            lines = [self.name, *self.extensions]
            return "\n".join(f"250{'-' if i < len(lines) - 1 else ' '}{line}" for i, line in enumerate(lines))
        if verb == "HELO":
            return f"250 {self.name}"
        if verb == "DATA":
            return "354 End data with <CR><LF>.<CR><LF>"
        if verb == ".":
            return f"250 2.0.0 Ok: queued as {len(self.messages):05X}"
        if verb == "QUIT":
            return then_drop("221 2.0.0 Bye")
        if verb == "BODY":
            return ""
        return {"MAIL": "250 2.1.0 Ok", "RCPT": "250 2.1.5 Ok"}.get(verb, "250 2.0.0 Ok")


class Session(asyncio.Protocol):
    def __init__(self, sink: SmtpSink) -> None:
        self.sink = sink
        self.talk = Talk()
        self.held = bytearray()
        self.content: bytearray | None = None
        self.mail = ""
        self.rcpt: list[str] = []
        self.dead = False
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.sink.talks.append(self.talk)
        self.sink.sessions.add(self)
        peer = transport.get_extra_info("peername")
        self.say("CONNECT", peer[0] if isinstance(peer, tuple) else "")

    def connection_lost(self, _: object) -> None:
        self.talk.closed.set()
        self.sink.sessions.discard(self)

    def say(self, verb: str, line: str) -> str:
        return self.utter(self.sink.answer(verb, line))

    def utter(self, answer: str) -> str:
        if answer == STALL:
            self.dead = True
            return answer
        text = answer.removeprefix(DROP)
        if text:
            self.transport.write(text.encode("utf-8", "surrogateescape").replace(b"\n", b"\r\n") + b"\r\n")
        if answer.startswith(DROP):
            self.dead = True
            self.transport.close()
        return answer

    def data_received(self, data: bytes) -> None:
        if self.dead:
            return
        self.talk.chunks.append(data)
        self.held += data
        while not self.dead:
            if self.content is not None:
                if not self.read_content():
                    return
                continue
            end = self.held.find(b"\n")
            if end < 0:
                return
            line = bytes(self.held[:end]).rstrip(b"\r").decode("utf-8", "surrogateescape")
            del self.held[: end + 1]
            self.command(line)

    def command(self, line: str) -> None:
        self.talk.commands.append(line)
        verb = line.split(" ", 1)[0].upper()
        answer = self.say(verb, line)
        good = answer[:1] in "23"
        if verb == "MAIL" and good:
            self.mail, self.rcpt = line, []
        elif verb == "RCPT" and good:
            self.rcpt.append(line)
        elif verb == "DATA" and answer[:1] == "3":
            self.content = bytearray()
            if self.sink.answer("BODY", "") != "":
                self.say("BODY", "")

    def read_content(self) -> bool:
        """Take content until the final dot; True when it was there."""
        self.content += self.held  # type: ignore[operator]
        self.held.clear()
        whole = self.content
        assert whole is not None
        if whole.startswith(b".\r\n"):
            end, skip = 0, 3
        else:
            end = whole.find(b"\r\n.\r\n")
            if end < 0:
                return False
            end, skip = end + 2, 3
        self.held += whole[end + skip :]
        body = bytes(whole[:end])
        if body.startswith(b"."):
            body = body[1:]
        self.content = None
        self.talk.commands.append(".")
        self.sink.messages.append(Message(self.mail, self.rcpt, body.replace(b"\r\n.", b"\r\n")))
        if self.sink.lmtp:
            for line in self.rcpt:
                self.say(".", line)
        else:
            self.say(".", "")
        self.sink.arrived.set()
        self.rcpt = []
        return True


def unused_port() -> int:
    """A loopback port where nobody listens (for a moment, at least)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def main(arguments: list[str]) -> None:
    words = {"DROP": DROP, "STALL": STALL}
    replies: dict[str, Reply] = {}
    options: dict[str, Any] = {}
    for argument in arguments[1:]:
        verb, _, text = argument.partition("=")
        if verb == "lmtp":
            options["lmtp"] = True
        elif verb == "extensions":
            options["extensions"] = tuple(text.split(","))
        elif text.startswith("THEN:"):
            replies[verb] = then_drop(text[5:])
        else:
            rules = [words.get(part, part.replace("\\n", "\n")) for part in text.split("|")]
            replies[verb] = rules
    sink = SmtpSink(replies, **options)
    if arguments[0].startswith("unix:"):
        await sink.listen_unix(arguments[0][5:])
    else:
        await sink.listen(port=int(arguments[0]))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
