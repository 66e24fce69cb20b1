"""The options of a command, as getopt(3) reads them: they end at the first word that is none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from estafeta.base import verbose
from estafeta.commands.help import answer_help


class UsageError(Exception):
    """A letter that the command does not know, or one whose value is missing; it is on standard error already."""


class Option(NamedTuple):
    letter: str
    value: str


def parse_options(
    program: str, words: Sequence[str], letters: str, *, other_v: int = 0
) -> tuple[list[Option], list[str]]:
    """`letters` as for getopt: `q:` takes a value. Returns the options in order and the remaining words.

    Raises UsageError, after naming the letter on standard error. `--help` alone is answered here, and ends the command.
    Each `-v` makes the process more verbose from here on, except the first `other_v`, which mean something else.
    """
    answer_help(program, words)
    found: list[Option] = []
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        at = 1
        while at < len(word):
            letter = word[at]
            at += 1
            place = letters.find(letter) if letter != ":" else -1
            if place < 0:
                raise _complain(program, f"invalid option -- '{letter}'")
            if letters[place + 1 : place + 2] != ":":
                found.append(Option(letter, ""))
                continue
            if at >= len(word) and not rest:
                raise _complain(program, f"option requires an argument -- '{letter}'")
            found.append(Option(letter, word[at:] if at < len(word) else rest.pop(0)))
            break
    verbose.begin(max(sum(option.letter == "v" for option in found) - other_v, 0))
    return found, rest


def again() -> list[str]:
    """As many `-v` as this command got, for another one that goes on with its work."""
    return ["-v"] * verbose.level


def _complain(program: str, text: str) -> UsageError:
    sys.stderr.write(f"{program}: {text}\n")
    return UsageError(text)
