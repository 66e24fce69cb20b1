"""How postconf(1) lays out what it prints: folded lines, and the columns of master.cf."""

from __future__ import annotations

from collections.abc import Iterable

WIDTH = 80
SERVICE_WIDTH = 79
INDENT = "    "
COLUMNS = (0, 11, 17, 25, 33, 41, 49, 57)
"""Where the fields of a service begin, when the fields before leave room."""


def folded(label: str, words: Iterable[str], width: int = WIDTH) -> str:
    """`label` and then words, in lines of at most `width`; a word that is longer gets a line of its own."""
    lines = [label] if label else []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word) <= width and lines[-1] != INDENT:
            lines[-1] += " " + word
        elif not lines:
            lines.append(word)
        else:
            lines.append(INDENT + word)
    return "\n".join(lines)


def columns(fields: Iterable[str]) -> str:
    """The first seven fields of a service, aligned where they fit, ready for the command."""
    line = ""
    for start, text in zip(COLUMNS, fields, strict=False):
        line = (line + " ").ljust(start) if line else ""
        line += text
    return (line + " ").ljust(COLUMNS[7])


def braced(word: str) -> str:
    """A word of a command as it must be written to stay one word."""
    return "{" + word + "}" if any(char.isspace() for char in word) else word


def command_lines(first: str, words: list[str], *, fold: bool) -> str:
    """A command behind `first`: options of master.cf each on a line of their own when folded."""
    groups = option_groups(words)
    if not fold:
        return " ".join([first + words[0], *(word for group in groups for word in group)])
    lines = [folded(first + words[0], groups[0] if groups else [], SERVICE_WIDTH)]
    lines += [folded(INDENT + group[0], group[1:], SERVICE_WIDTH) for group in groups[1:]]
    return "\n".join(lines)


def option_groups(words: list[str]) -> list[list[str]]:
    """The words behind the program, as lines: the first goes beside the program, each `-o` has its own."""
    groups: list[list[str]] = [[]]
    rest = words[1:]
    after_override = False
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "-o" and rest:
            groups.append([f"-o {_setting(rest.pop(0))}"])
            after_override = True
        elif after_override:
            groups.append([braced(word)])
            after_override = False
        else:
            groups[-1].append(braced(word))
    if rest and after_override:
        groups.append([])
    groups[-1] += [braced(word) for word in rest]
    return [group for place, group in enumerate(groups) if group or place == 0]


def _setting(text: str) -> str:
    name, equals, value = text.partition("=")
    return braced(f"{name.strip()}={value.strip()}" if equals else text)
