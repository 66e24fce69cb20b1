"""The command line of postconf(1): what is asked for, and which options exclude each other."""

from __future__ import annotations

import getopt
from dataclasses import dataclass, field

from estafeta.base import verbose

LETTERS = "aAbdefFhHlmMnopPtTxX#"
"""Every option that can conflict with another, in the order in which conflicts name them."""

SUBJECTS = "aAbFlmMpPtT"
"""What to show or edit: one of these, or none for main.cf."""

CHANGES = "eX#"
ALLOWED = {
    "F": "efhHox",
    "M": "efoxX#",
    "P": "efhHoxX",
    **dict.fromkeys("aAblmtT", ""),
}
"""The options that make sense with a subject; main.cf takes all."""

USAGE = (
    "usage: {program} [-a (server SASL types)] [-A (client SASL types)] [-b (bounce templates)] [-c config_dir] "
    "[-C param_class] [-d (parameter defaults)] [-e (edit configuration)] [-f (fold lines)] [-F (master.cf fields)] "
    "[-h (no names)] [-H (no values)] [-l (lock types)] [-m (map types)] [-M (master.cf)] [-n (non-default "
    "parameters)] [-o name=value (override parameter value)] [-p (main.cf, default)] [-P (master.cf parameters)] "
    "[-t (bounce templates)] [-T compile-version|run-version|public-key-algorithms] [-v (verbose)] [-x (expand "
    "parameter values)] [-X (exclude)] [-# (comment-out)] [name...]"
)

CLASSES = ("builtin", "service", "user", "all")


class UsageError(Exception):
    """The command line cannot be carried out; the text says why."""


@dataclass(slots=True)
class Request:
    """What the command line asks for."""

    flags: set[str] = field(default_factory=set)
    directory: str | None = None
    classes: set[str] = field(default_factory=set)
    overrides: dict[str, str] = field(default_factory=dict)
    tls_mode: str = ""
    names: list[str] = field(default_factory=list)

    @property
    def subject(self) -> str:
        """The letter of what to show or edit: p for main.cf."""
        return next((letter for letter in SUBJECTS if letter in self.flags), "p")

    @property
    def change(self) -> str:
        """e, X or # when a file is to be edited, otherwise ''."""
        return next((letter for letter in CHANGES if letter in self.flags), "")

    @property
    def fold(self) -> bool:
        return "f" in self.flags

    @property
    def expand(self) -> bool:
        return "x" in self.flags

    def shown(self, name: str, value: str) -> str:
        """One line of output, as -h and -H want it."""
        if "h" in self.flags:
            return value
        if "H" in self.flags:
            return name
        return f"{name} = {value}".rstrip() if not value else f"{name} = {value}"


def parse(words: list[str], program: str) -> Request:
    """Read the command line without the program's name. Raises UsageError."""
    try:
        options, names = getopt.getopt(words, "aAbc:C:deEfFhHlmMno:pPtT:vxX#")
    except getopt.GetoptError as reason:
        raise UsageError(f"{reason.msg}\n{USAGE.format(program=program)}") from reason
    verbose.begin(sum(option == "-v" for option, _ in options))
    request = Request(names=names)
    for option, value in options:
        _take(request, option[1:], value)
    if request.subject in "pMFP" and names and "=" in names[0] and not request.change:
        request.flags.add("e")
    if request.flags & {"X", "#"} and any("=" in name for name in names):
        request.flags.add("e")
    _check(request)
    return request


def _take(request: Request, letter: str, value: str) -> None:
    if letter == "c":
        request.directory = value
    elif letter == "C":
        request.classes |= _classes(value)
    elif letter == "o":
        name, equals, text = value.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"invalid parameter override: {value}: missing '=' after attribute name")
        request.overrides[name.strip()] = text.strip()
        request.flags.add("o")
    else:
        if letter == "T":
            request.tls_mode = value
        request.flags.add(letter)


def _classes(text: str) -> set[str]:
    found = {word.lower() for word in text.replace(",", " ").split()}
    for word in found:
        if word not in CLASSES:
            raise UsageError(f'unknown -C option value "{word}" in "{text}"')
    return {"builtin", "service", "user"} if "all" in found else found


def _check(request: Request) -> None:
    """Options that exclude each other, and arguments that an option needs."""
    flags = request.flags
    if {"b", "t"} <= flags:
        raise UsageError("specify one of -b and -t")
    _one_of(flags, SUBJECTS)
    subject = request.subject
    if subject in ALLOWED:
        for letter in LETTERS:
            if letter in flags and letter != subject and letter not in ALLOWED[subject]:
                raise UsageError(f"with option -{subject}, do not specify -{letter}")
    _one_of(flags, CHANGES)
    _one_of(flags, "hH")
    _one_of(flags, "dn")
    for letter in "dfhHnx":
        for change in CHANGES:
            if {letter, change} <= flags:
                _one_of(flags, letter + change)
    if "e" in flags and not (request.names and "=" in request.names[0]):
        raise UsageError(_missing_value(request.names))
    if request.change and not request.names:
        raise UsageError("missing service argument")
    if subject in "bt" and len(request.names) > 1:
        raise UsageError("options -b and -t require at most one template file")


def _missing_value(names: list[str]) -> str:
    return f"missing '=' after attribute name: \"{names[0]}\"" if names else "-e requires name=value argument"


def _one_of(flags: set[str], group: str) -> None:
    chosen = [letter for letter in LETTERS if letter in group and letter in flags]
    if len(chosen) > 1:
        raise UsageError(f"specify one of -{chosen[0]} -{chosen[1]}")
