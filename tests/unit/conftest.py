"""What unit tests of many rooms share: the log as a list, and a clock to turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from estafeta.base import log


class Clock:
    """Seconds, turned by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> Iterator[list[str]]:
    """The texts that are logged."""
    lines: list[str] = []
    before = log.install(lambda level, text, program: lines.append(text))
    yield lines
    log.install(before)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged, `warning: ` and all."""
    found: list[str] = []
    before = log.install(lambda level, text, program: found.append(log.PREFIX[level] + text))
    yield found
    log.install(before)
