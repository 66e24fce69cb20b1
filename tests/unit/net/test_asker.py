"""Questions and answers over one connection, with the other side played here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from estafeta.net.asker import Asker


class Word(msgspec.Struct, array_like=True):
    number: int
    text: str


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Word).decode


class Service:
    """Connections to it, and what it does with a question: nothing, unless told."""

    def __init__(self, answer: Callable[[Line, Word], None] = lambda line, word: None) -> None:
        self.answer = answer
        self.lines: list[Line] = []
        self.error: OSError | None = None
        self.asked: list[Word] = []

    async def connect(self, path: str, received: Any, closed: Any) -> Any:
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        self.lines.append(Line(self, received, closed))
        return self.lines[-1]


class Line:
    """As net.frames.Frames."""

    def __init__(self, service: Service, received: Callable[[bytes], None], closed: Callable[[None], None]) -> None:
        self.service, self.received, self.closed, self.open = service, received, closed, True

    def send(self, payload: bytes) -> None:
        word = decode(payload)
        self.service.asked.append(word)
        asyncio.get_running_loop().call_soon(self.service.answer, self, word)

    def say(self, word: Word) -> None:
        self.received(encode(word))

    def close(self) -> None:
        if self.open:
            self.open = False
            asyncio.get_running_loop().call_soon(self.closed, None)


def echo(line: Line, word: Word) -> None:
    line.say(word)


def talk(service: Service, work: Callable[[Asker[Word]], Awaitable[Any]], timeout: float = 10.0) -> Any:
    async def run() -> Any:
        return await work(Asker("private/x", timeout, decode, connect=service.connect))

    return asyncio.run(run())


def test_many_questions_share_a_connection_and_each_gets_its_own_answer() -> None:
    service = Service()

    def backwards(line: Line, word: Word) -> None:
        if len(service.asked) == 3:
            for each in reversed(service.asked):
                line.say(each)

    service.answer = backwards

    async def work(asker: Asker[Word]) -> list[Word]:
        return await asyncio.gather(*(asker.ask(Word(0, text)) for text in "abc"))

    assert talk(service, work) == [Word(1, "a"), Word(2, "b"), Word(3, "c")]
    assert len(service.lines) == 1


def test_an_answer_that_nobody_waits_for_is_ignored() -> None:
    def twice(line: Line, word: Word) -> None:
        line.say(Word(99, "nobody's"))
        line.say(word)
        line.say(Word(word.number, "again"))

    assert talk(Service(twice), lambda asker: asker.ask(Word(0, "a"))) == Word(1, "a")


def test_a_lost_connection_is_an_error_that_names_the_socket_and_the_next_question_connects_again() -> None:
    service = Service(lambda line, word: line.close())

    async def work(asker: Asker[Word]) -> Word:
        with pytest.raises(ConnectionResetError) as lost:
            await asker.ask(Word(0, "a"))
        assert (lost.value.filename, lost.value.strerror) == ("private/x", "lost connection")
        service.answer = echo
        return await asker.ask(Word(0, "b"))

    assert talk(service, work) == Word(2, "b")
    assert len(service.lines) == 2


def test_a_question_that_may_be_asked_twice_goes_to_the_process_that_took_the_place() -> None:
    service = Service(lambda line, word: line.close() if len(service.lines) == 1 else line.say(word))
    assert talk(service, lambda asker: asker.ask(Word(0, "a"), retry_lost=True)) == Word(2, "a")


def test_it_is_asked_again_once_only() -> None:
    service = Service(lambda line, word: line.close())
    with pytest.raises(ConnectionResetError):
        talk(service, lambda asker: asker.ask(Word(0, "a"), retry_lost=True))
    assert len(service.asked) == 2


def test_the_end_of_an_old_connection_does_not_concern_questions_over_the_new_one() -> None:
    service = Service(echo)

    async def work(asker: Asker[Word]) -> Word:
        await asker.ask(Word(0, "a"))
        asker.close()  # the other end hears of it later than we ask again
        return await asker.ask(Word(0, "b"))

    assert talk(service, work) == Word(2, "b")


def test_nobody_listens() -> None:
    service = Service()
    service.error = FileNotFoundError(2, "No such file or directory")
    with pytest.raises(FileNotFoundError) as away:
        talk(service, lambda asker: asker.ask(Word(0, "a"), retry_lost=True))
    assert str(away.value) == "[Errno 2] No such file or directory: 'private/x'"


def test_no_answer_in_time() -> None:
    with pytest.raises(TimeoutError) as late:
        talk(Service(), lambda asker: asker.ask(Word(0, "a")), timeout=0)
    assert (late.value.filename, late.value.strerror) == ("private/x", "no answer within 0 seconds")


def test_a_malformed_answer_fails_what_is_under_way_and_closes_the_connection() -> None:
    service = Service(lambda line, word: line.received(b"\xc1"))
    with pytest.raises(OSError, match="malformed reply"):
        talk(service, lambda asker: asker.ask(Word(0, "a"), retry_lost=True))
    assert [line.open for line in service.lines] == [False]


def test_who_waits_when_we_hang_up_is_told() -> None:
    async def work(asker: Asker[Word]) -> None:
        question = asyncio.create_task(asker.ask(Word(0, "a")))
        while not service.asked:
            await asyncio.sleep(0)
        asker.close()
        with pytest.raises(ConnectionResetError):
            await question

    service = Service()
    talk(service, work)
