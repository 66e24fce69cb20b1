"""The next host on the stage: an SMTP server that answers as told and prints what it hears.

    python -m tests.compat.sink PORT [VERB=REPLY ...]
"""

from __future__ import annotations

import asyncio
import sys

from tests.support.smtp_sink import SmtpSink


class Printing(SmtpSink):
    def answer(self, verb: str, line: str) -> str:
        if verb == ".":
            print(self.messages[-1].content.decode("utf-8", "surrogateescape") if self.messages else "", end="")
        print(line or verb, flush=True)
        return super().answer(verb, line)


async def main(port: int, replies: list[str]) -> None:
    rules = {verb: text.replace("\\n", "\n") for verb, _, text in (each.partition("=") for each in replies)}
    sink = Printing(rules)
    await sink.listen(port=port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
