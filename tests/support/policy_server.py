"""A policy server that answers what a test tells it to, and prints what it was asked.

    python -m tests.support.policy_server PORT|unix:PATH [ATTRIBUTE=VALUE:REPLY ...]

REPLY goes to the first rule whose attribute has that value (`*:REPLY` fits all), `a|b` for the first and the second
time; DROP hangs up, STALL says nothing, GARBAGE=... is sent as it stands. Without a rule the answer is DUNNO.
The first request is printed whole, of later ones what differs from the one before; `instance` as a number that counts
the different ones, `client_port` as P.
"""

from __future__ import annotations

import asyncio
import sys

DROP, STALL, RAW = "DROP", "STALL", "GARBAGE="


class PolicyServer:
    """`rules`: (attribute=value or *, replies)."""

    def __init__(self, rules: list[tuple[str, list[str]]], *, aloud: bool = False) -> None:
        self.rules = rules
        self.requests: list[dict[str, str]] = []
        self.connections = 0
        self._aloud = aloud
        self._instances: list[str] = []
        self._last: dict[str, str] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while (text := await reader.readuntil(b"\n\n")) != b"":
                request = dict(
                    line.split("=", 1) for line in text.decode("utf-8", "surrogateescape").split("\n") if line
                )
                reply = self._reply(request, number)
                if reply == DROP:
                    return
                if reply == STALL:
                    await asyncio.sleep(3600)
                answer = reply[len(RAW) :].replace("\\n", "\n") if reply.startswith(RAW) else f"action={reply}\n\n"
                writer.write(answer.encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _reply(self, request: dict[str, str], connection: int) -> str:
        self.requests.append(request)
        instance = request.get("instance", "")
        if instance not in self._instances:
            self._instances.append(instance)
        if self._aloud:
            shown = request | {"instance": str(self._instances.index(instance) + 1), "connection": str(connection)}
            if shown.get("client_port"):
                shown["client_port"] = "P"
            print(
                "".join(f"{name}={text}\n" for name, text in shown.items() if self._last.get(name) != text), flush=True
            )
            self._last = shown
        for condition, replies in self.rules:
            name, _, value = condition.partition("=")
            if condition == "*" or request.get(name) == value:
                return replies.pop(0) if len(replies) > 1 else replies[0]
        return "DUNNO"


def parse_rules(words: list[str]) -> list[tuple[str, list[str]]]:
    """`sender=a@b:REJECT no|OK` -> ("sender=a@b", ["REJECT no", "OK"])."""
    return [(rule.partition(":")[0], rule.partition(":")[2].split("|")) for rule in words]


async def main(place: str, *rules: str) -> None:
    server = PolicyServer(parse_rules(list(rules)), aloud=True)
    if place.startswith("unix:"):
        listening = await asyncio.start_unix_server(server.serve, place[5:])
    else:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", int(place))
    async with listening:
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
