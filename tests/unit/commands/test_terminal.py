from collections.abc import Callable

import pytest

from estafeta.base import log
from estafeta.commands.options import parse_options
from estafeta.commands.terminal import Fatal, perform
from estafeta.config.instance import ConfigError


def ends_with(error: Exception) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


def test_what_ends_a_command_is_its_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert perform("postcat", lambda: 7, usage="usage: postcat") == 7
    assert perform("postcat", ends_with(Fatal("open x: no")), usage="") == 1
    assert perform("postqueue", ends_with(ConfigError("main.cf: no")), usage="", failed=69) == 69
    assert perform("postcat", lambda: len(parse_options("postcat", ["-Z"], "v")), usage="usage: postcat") == 1
    assert capsys.readouterr().err.splitlines() == [
        "postcat: fatal: open x: no",
        "postqueue: fatal: main.cf: no",
        "postcat: invalid option -- 'Z'",
        "postcat: fatal: usage: postcat",
    ]


def test_the_log_is_left_as_it_was() -> None:
    said: list[str] = []
    before = log.install(lambda level, text, program: said.append(text))
    try:
        perform("postcat", ends_with(Fatal("no")), usage="")
        log.info("after")
    finally:
        log.install(before)
    assert said == ["after"]
