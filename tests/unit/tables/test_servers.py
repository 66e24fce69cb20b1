"""tcp and socketmap: what is asked, what answers mean, connections that are kept and that break."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from estafeta.tables import settings
from estafeta.tables.index import open_table
from estafeta.tables.table import Flags, Table, TableDown, TableError


class Server:
    """Answers each question with the next of its answers (the last one again and again); None hangs up."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while question := await reader.read(1 << 20):
            self.asked.append(question)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer is None:
                break
            writer.write(answer)
        writer.close()


def with_server(kind: str, server: Server, act: Callable[[Table], Any]) -> Any:
    async def main() -> Any:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        table = open_table(f"tcp:127.0.0.1:{port}" if kind == "tcp" else f"socketmap:inet:127.0.0.1:{port}:nm")
        try:
            return await act(table)
        finally:
            table.close()
            listening.close()

    return asyncio.run(main())


def ask(kind: str, server: Server, *keys: str) -> list[str | None]:
    async def act(table: Table) -> list[str | None]:
        return [await table.get(key) for key in keys]

    result: list[str | None] = with_server(kind, server, act)
    return result


def netstring(content: bytes) -> bytes:
    return b"%d:%b," % (len(content), content)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"200 value%20x\n", "value x"),
        (b"200 a b\n", "a b"),
        (b"200 \n", ""),
        (b"200  two\n", " two"),
        (b"500 no\n", None),
        (b"200 x" + b"y" * 4090 + b"\n", "x" + "y" * 4090),
    ],
)
def test_tcp_answers(line: bytes, value: str | None) -> None:
    assert ask("tcp", Server(line), "key") == [value]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"400 later\n", "later"),
        (b"500\n", "malformed reply: 500"),
        (b"300 x\n", "bad status code: 300 x"),
        (b"garbage\n", "malformed reply: garbage"),
        (b"200 %zz\n", "malformed reply: 200 %zz"),
        (b"2001 a\n", "malformed reply: 2001 a"),
        (b"200 x" + b"y" * 4091 + b"\n", "text longer than 4096"),
        (b"200 \xff\n", "the value is not UTF-8"),
        (None, "unexpected disconnect"),
    ],
)
def test_tcp_failures_are_ask_later(line: bytes | None, complaint: str, lines: list[str]) -> None:
    with pytest.raises(TableDown, match=complaint):
        ask("tcp", Server(line), "key")


def test_tcp_keys_are_encoded_and_keep_their_case() -> None:
    server = Server(b"200 a\n")
    ask("tcp", server, "K ey%é\x01\t")
    assert server.asked == [b"get K%20ey%25%C3%A9%01%09\n"]


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        (b"OK value x", "value x"),
        (b"OK ", ""),
        (b"OK", None),
        (b"NOTFOUND ", None),
        (b"NOTFOUND", None),
        (b"OK a\0b", "a"),
        (b"OK  lead", " lead"),
        (b"OK " + b"y" * 99997, "y" * 99997),
    ],
)
def test_socketmap_answers(reply: bytes, value: str | None) -> None:
    server = Server(netstring(reply))
    assert ask("socketmap", server, "KEy é") == [value]
    assert server.asked == [b"9:nm KEy \xc3\xa9,"]


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (netstring(b"TEMP later"), "socketmap server temporary error: later"),
        (netstring(b"TIMEOUT "), "socketmap server timeout error"),
        (netstring(b"PERM never"), "socketmap server permanent error: never"),
        (netstring(b"WHAT x"), "socketmap server unknown error: x"),
        (netstring(b"ok v"), "socketmap server unknown error: v"),
        (b"garbage", "lookup error: input format error"),
        (b"5:OK xx;", "lookup error: input format error"),
        (b":abc,", "lookup error: input format error"),
        (b"99999999999:x,", "lookup error: input exceeds size limit"),
        (netstring(b"OK " + b"y" * 99998), "lookup error: input exceeds size limit"),
        (None, "lookup error: unexpected disconnect"),
    ],
)
def test_socketmap_failures_are_ask_later(raw: bytes | None, complaint: str, lines: list[str]) -> None:
    with pytest.raises(TableDown):
        ask("socketmap", Server(raw), "key")
    assert any(line.endswith(complaint) for line in lines)


@pytest.mark.parametrize(("kind", "good"), [("tcp", b"200 a\n"), ("socketmap", netstring(b"OK a"))])
def test_a_connection_is_kept_and_replaced_once_when_it_breaks(kind: str, good: bytes, lines: list[str]) -> None:
    server = Server(good, good, None, good)
    assert ask(kind, server, "1", "2", "3") == ["a", "a", "a"]
    assert (server.connections, len(server.asked)) == (2, 4)
    with pytest.raises(TableDown):
        ask(kind, Server(good, None, None, good), "1", "2")


@pytest.mark.parametrize(("kind", "good"), [("tcp", b"200 %b\n"), ("socketmap", b"4:OK %b,")])
def test_questions_at_the_same_time_do_not_mix_their_answers(kind: str, good: bytes) -> None:
    class Echo(Server):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            while question := await reader.read(1000):
                await asyncio.sleep(0)
                writer.write(good % (question.strip(b",\n")[-1:]))
            writer.close()

    server = Echo()

    async def act(table: Table) -> list[str | None]:
        return await asyncio.gather(*(table.get(key) for key in "abcdefghijklmnopqrstuvwxyz"))

    assert with_server(kind, server, act) == list("abcdefghijklmnopqrstuvwxyz")
    assert server.connections <= 20


def test_a_question_given_up_takes_its_connection_along() -> None:
    class Late(Server):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            question = await reader.readline()
            if question == b"get slow\n":
                await held.wait()
                writer.write(b"200 late\n")
            else:
                writer.write(b"200 right\n")
            writer.close()

    server = Late()
    held = asyncio.Event()

    async def act(table: Table) -> str | None:
        task = asyncio.ensure_future(table.get("slow"))
        while not server.connections:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        held.set()
        return await table.get("quick")

    assert with_server("tcp", server, act) == "right"


def test_a_query_that_is_too_long_is_not_asked(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    monkeypatch.setattr(settings, "in_force", settings.Settings(socketmap_query=6))
    server = Server(netstring(b"OK a"))
    assert ask("socketmap", server, "key", "longer") == ["a", None]
    assert len(server.asked) == 1
    assert any("socketmap_max_query_size" in line for line in lines)


def test_replies_are_limited_by_configuration(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    monkeypatch.setattr(settings, "in_force", settings.Settings(socketmap_reply=4))
    assert ask("socketmap", Server(netstring(b"OK a")), "key") == ["a"]
    with pytest.raises(TableDown):
        ask("socketmap", Server(netstring(b"OK ab")), "key")


def test_a_local_socket_serves_too(tmp_path: Any) -> None:
    server = Server(netstring(b"OK local"))

    async def main() -> str | None:
        listening = await asyncio.start_unix_server(server.serve, f"{tmp_path}/s")
        table = open_table(f"socketmap:unix:{tmp_path}/s:nm")
        try:
            return await table.get("k")
        finally:
            table.close()
            listening.close()

    assert asyncio.run(main()) == "local"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [("tcp:127.0.0.1:1", "Connection refused"), ("socketmap:unix:/nonexistent/s:nm", "No such file or directory")],
)
def test_nobody_there_is_ask_later(spec: str, reason: str, lines: list[str]) -> None:
    with pytest.raises(TableDown, match=reason):
        asyncio.run(open_table(spec).get("k"))


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("tcp:127.0.0.1", "127.0.0.1: garbage after numerical service"),
        ("socketmap:x", "socketmap requires server:socketmap argument"),
        ("socketmap:unix:/tmp/x", 'need service transport:endpoint instead of "unix"'),
        ("socketmap:foo:bar:x", "invalid transport name: foo in service: foo:bar"),
        ("socketmap:inet:127.0.0.1:nm", "127.0.0.1: garbage after numerical service"),
    ],
)
def test_what_cannot_be_a_server_is_an_error(spec: str, complaint: str) -> None:
    with pytest.raises(TableError) as caught:
        open_table(spec)
    assert caught.value.problem == complaint


@pytest.mark.parametrize("spec", ["tcp:127.0.0.1:1", "socketmap:unix:/s:nm", "unionmap:{tcp:127.0.0.1:1}"])
def test_servers_do_not_decide_about_privileges(spec: str) -> None:
    with pytest.raises(TableError, match="not allowed for security-sensitive data"):
        open_table(spec, Flags(trusted=True))
