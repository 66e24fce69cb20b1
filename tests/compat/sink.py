"""The next host on the stage: an SMTP server that answers as told and prints what it hears.

    python -m tests.compat.sink [ADDRESS:]PORT|unix:PATH [VERB=REPLY ...]

VERB is also `RCPT user@example.com`: what that recipient is answered.
A reply is as in `tests.support.smtp_sink`: `a|b` for the first and the second time, `\\n` between lines, DROP,
STALL, THEN:421 to answer and hang up. `lmtp=yes` makes it an LMTP server; `peer=yes` prints who connects;
`extensions=SIZE, DSN` is what it offers.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support.smtp_sink import DROP, STALL, SmtpSink, then_drop


class Printing(SmtpSink):
    peer = False

    def answer(self, verb: str, line: str) -> str:
        if verb == ".":
            print(self.messages[-1].content.decode("utf-8", "surrogateescape") if self.messages else "", end="")
        if verb == "CONNECT" and self.peer:
            print(f"CONNECT from {line}", flush=True)
        elif verb != "BODY":
            print((verb if verb == "CONNECT" else line) or verb, flush=True)
        for asked, replies in self.replies.items():
            if asked.startswith("RCPT ") and f"<{asked[5:]}>" in line:
                return str(replies[0])
        return super().answer(verb, line)


def rule(text: str) -> str:
    if text in ("DROP", "STALL"):
        return DROP if text == "DROP" else STALL
    text = text.replace("\\n", "\n")
    return then_drop(text.removeprefix("THEN:")) if text.startswith("THEN:") else text


async def main(where: str, arguments: list[str]) -> None:
    settings = dict(each.split("=", 1) for each in arguments)
    lmtp = settings.pop("lmtp", "no") == "yes"
    peer = settings.pop("peer", "no") == "yes"
    offered = settings.pop("extensions", None)
    sink = Printing({verb: [rule(part) for part in text.split("|")] for verb, text in settings.items()}, lmtp=lmtp)
    sink.peer = peer
    if offered is not None:
        sink.extensions = tuple(word.strip() for word in offered.split(",") if word.strip())
    if where.startswith("unix:"):
        await sink.listen_unix(where[5:])
        Path(where[5:]).chmod(0o777)
    else:
        host, _, port = where.rpartition(":")
        await sink.listen(host or "127.0.0.1", int(port))
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
