"""Log lines: Postfix's form, one record one line, held back only as long as allowed."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable

from estafeta.base import log
from estafeta.base.log import ERROR, FATAL, INFO, WARNING
from estafeta.skeleton.log import LATEST, MOST_HELD, PROMPT, LineSink, host_label, printable, stamp
from estafeta.skeleton.log_targets import Lines, allowed, facility_code, painted, plain, whole_lines


class Kept:
    """A target that keeps what it is given."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def write(self, lines: Lines, host: str) -> None:
        self.batches.append([plain(level, when, rest, host) for level, when, rest in lines])

    def fileno(self) -> int:
        return -1

    @property
    def lines(self) -> list[str]:
        return [line for batch in self.batches for line in batch]


class Timer:
    """A call_later whose time comes when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.delays: list[float] = []

    def __call__(self, delay: float, action: Callable[[], None]) -> None:
        self.delays.append(delay)
        self.waiting.append(action)

    def fire(self) -> None:
        waiting, self.waiting = self.waiting, []
        for action in waiting:
            action()


def sink_with_timer(syslog_name: str = "postfix") -> tuple[LineSink, Kept, Timer]:
    kept, timer = Kept(), Timer()
    sink = LineSink(kept, syslog_name, "smtpd", "host")
    sink.use_loop(timer)
    return sink, kept, timer


def test_a_line_has_the_form_of_postfix() -> None:
    sink, kept, _ = sink_with_timer()
    sink(WARNING, "text", None)
    assert re.fullmatch(
        rf"[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d host postfix/smtpd\[{os.getpid()}\]: warning: text\n", kept.lines[0]
    )


def test_the_day_is_padded_with_a_space() -> None:
    assert re.fullmatch(r"Nov  1 \d\d:\d\d:\d\d", stamp(1793534400))


def test_every_severity_has_its_word() -> None:
    sink, kept, _ = sink_with_timer()
    for level, text in ((WARNING, "w"), (ERROR, "e"), (FATAL, "f")):
        sink(level, text, None)
    assert [line.rpartition("]: ")[2] for line in kept.lines] == ["warning: w\n", "error: e\n", "fatal: f\n"]


def test_a_line_may_bear_another_program_name() -> None:
    sink, kept, _ = sink_with_timer("postfix/submission")
    sink(INFO, "message-id=<x>", "cleanup")
    sink.flush()
    assert f" postfix/submission/cleanup[{os.getpid()}]: message-id=<x>" in kept.lines[0]


def test_information_waits_for_others_and_goes_in_one_batch() -> None:
    sink, kept, timer = sink_with_timer()
    for text in "abc":
        sink(INFO, text, None)
    assert kept.batches == []
    assert len(timer.waiting) == 1
    timer.fire()
    assert [len(batch) for batch in kept.batches] == [3]
    sink(INFO, "d", None)
    assert len(timer.waiting) == 1


def test_lines_wait_longer_only_when_there_are_many() -> None:
    sink, _, timer = sink_with_timer()
    for _ in range(PROMPT + 1):
        sink(INFO, "x", None)
        timer.fire()
    assert timer.delays[:PROMPT] == [0.0] * PROMPT
    assert 0 < timer.delays[PROMPT] <= LATEST


def test_a_line_of_another_thread_is_written_there_and_then() -> None:
    sink, kept, timer = sink_with_timer()
    other = threading.Thread(target=sink, args=(INFO, "from a thread", None))
    other.start()
    other.join()
    assert len(kept.lines) == 1
    assert timer.waiting == []


def test_a_warning_is_written_at_once_with_all_before_it() -> None:
    sink, kept, _ = sink_with_timer()
    sink(INFO, "first", None)
    sink(WARNING, "second", None)
    assert [len(batch) for batch in kept.batches] == [2]


def test_many_lines_do_not_wait() -> None:
    sink, kept, _ = sink_with_timer()
    for _ in range(MOST_HELD):
        sink(INFO, "x", None)
    assert len(kept.lines) == MOST_HELD


def test_without_a_loop_nothing_waits() -> None:
    sink, kept, _ = sink_with_timer()
    sink(INFO, "held", None)
    sink.use_loop(None)
    sink(INFO, "direct", None)
    assert [len(batch) for batch in kept.batches] == [1, 1]


def test_one_record_stays_one_line() -> None:
    assert printable("a\nb\r\x1b[31m\x00 \t é ü \udcff") == "a?b??[31m? ? é ü ?"
    sink, kept, _ = sink_with_timer()
    sink(WARNING, "to=<a\nNov 21 00:00:00 forged>", None)
    assert kept.lines[0].count("\n") == 1


def test_the_host_is_the_first_label() -> None:
    assert host_label("mail.example.com") == "mail"


def test_facilities() -> None:
    assert (facility_code("mail"), facility_code("LOCAL3"), facility_code("nonsense")) == (2, 19, 2)


def test_the_log_file_must_be_where_it_may_be() -> None:
    assert allowed("/var/log/mail.log", ("/var", "/dev/stdout"))
    assert allowed("/dev/stdout", ("/var", "/dev/stdout"))
    assert not allowed("/variety/mail.log", ("/var",))
    assert not allowed("/etc/passwd", ("/var/",))


def test_colours_mark_what_matters() -> None:
    assert "status=\x1b[32msent" in painted(INFO, "T", "postfix/smtp[1]: to=<a>, status=sent (ok)", "host")
    assert "status=\x1b[31mbounced" in painted(INFO, "T", "postfix/smtp[1]: to=<a>, status=bounced (no)", "host")
    assert "\x1b[33mwarning: x" in painted(WARNING, "T", "postfix/smtp[1]: warning: x", "host")
    assert "\x1b[31mfatal: x" in painted(FATAL, "T", "postfix/smtp[1]: fatal: x", "host")


def test_a_sink_can_be_installed() -> None:
    sink, kept, _ = sink_with_timer()
    before = log.install(sink)
    try:
        log.warning("through the register", "bounce")
    finally:
        log.install(before)
    assert "postfix/bounce[" in kept.lines[0]


def test_what_goes_to_a_pipe_is_cut_between_lines() -> None:
    data = b"".join(b"%d %s\n" % (number, b"x" * (number % 7)) for number in range(50)) + b"y" * 100 + b"\nend\n"
    pieces = list(whole_lines(data, 40))
    assert b"".join(pieces) == data
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert max(len(piece) for piece in pieces if b"y" not in piece) <= 40
    assert list(whole_lines(b"short\n", 40)) == [b"short\n"]


def test_without_smtputf8_the_log_is_ascii_with_a_mark_for_each_byte() -> None:
    kept = Kept()
    LineSink(kept, "postfix", "smtp", "host", ascii_only=True)(log.INFO, "to=<ñ\udcff@b.example>", None)
    assert kept.lines[0].endswith("to=<???@b.example>\n")
