"""master.cf as postconf(1) shows it: -M whole services, -F single fields, -P the -o settings of a service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...config.master_cf import COLUMNS, Row
from ...config.texts import Texts
from .checks import is_setting, settings_of
from .layout import columns, command_lines, folded
from .options import Request, UsageError
from .sources import Sources

SHAPES = {
    "M": (2, "-M option requires service_name[/type]"),
    "F": (3, "-F option requires service_name[/type[/field]]"),
    "P": (3, "-P option requires service_name[/type[/parameter]]"),
}


def show(request: Request, sources: Sources) -> Iterator[str]:
    """Output lines for -M, -F or -P. Raises UsageError."""
    patterns = [Pattern(name, request.subject) for name in request.names or ["*"]]
    for row in sources.rows:
        matching = [pattern for pattern in patterns if pattern.matches_service(row)]
        for pattern in matching:
            pattern.used = True
        if matching:
            yield from _rows(request, sources, row, matching)
    for pattern in patterns:
        if not pattern.used and request.names:
            sources.warn(f'unmatched request: "{pattern.text}"')


class Pattern:
    """`service/type/detail`, where a missing part and `*` stand for all."""

    def __init__(self, text: str, subject: str) -> None:
        most, complaint = SHAPES[subject]
        parts = text.split("/")
        if len(parts) > most:
            raise UsageError(complaint)
        self.text = text
        self.service, self.type, self.detail = parts + ["*"] * (3 - len(parts))
        self.used = False
        if subject == "F" and self.detail not in ("*", *COLUMNS):
            raise UsageError(f'invalid service attribute name: "{self.detail}"')

    def matches_service(self, row: Row) -> bool:
        return self.service in ("*", row.columns[0]) and self.type in ("*", row.columns[1])

    def matches_detail(self, name: str) -> bool:
        return self.detail == "*" or self.detail == name


def _rows(request: Request, sources: Sources, row: Row, patterns: list[Pattern]) -> Iterable[str]:
    words = expanded_command(row, sources.texts) if request.expand else list(row.command)
    if request.subject == "M":
        yield service_lines(row.columns, words, fold=request.fold)
    elif request.subject == "F":
        yield from _fields(request, row, words, patterns)
    else:
        yield from _parameters(request, sources.texts, row, patterns)


def service_lines(fields: tuple[str, ...], words: list[str], *, fold: bool) -> str:
    """One service as master.cf would have it."""
    return command_lines(columns(fields), words, fold=fold)


def _fields(request: Request, row: Row, words: list[str], patterns: list[Pattern]) -> Iterable[str]:
    for column, value in zip(COLUMNS, (*row.columns, ""), strict=True):
        if not any(pattern.matches_detail(column) for pattern in patterns):
            continue
        name = f"{row.key}/{column}"
        if column != "command" or "H" in request.flags:
            yield request.shown(name, value)
        else:
            yield command_lines("" if "h" in request.flags else f"{name} = ", words, fold=request.fold)


def _parameters(request: Request, texts: Texts, row: Row, patterns: list[Pattern]) -> Iterable[str]:
    own = settings_of(row)
    scoped = Texts(texts.settings, own, row.columns[0])
    for name in sorted(own):
        if not any(pattern.matches_detail(name) for pattern in patterns):
            continue
        value = scoped.expand(own[name]) if request.expand else own[name]
        if request.fold and "H" not in request.flags:
            label = "" if "h" in request.flags else f"{row.key}/{name} ="
            yield folded(label, value.split())
        else:
            yield request.shown(f"{row.key}/{name}", " ".join(value.split()))


def expanded_command(row: Row, texts: Texts) -> list[str]:
    """The words of the command, with the values of its -o settings expanded."""
    scoped = Texts(texts.settings, settings_of(row), row.columns[0])
    words, waiting = [row.command[0]], list(row.command[1:])
    while waiting and waiting[0].startswith("-"):
        words.append(waiting.pop(0))
        if words[-1] == "-o" and waiting:
            text = waiting.pop(0)
            name, _, value = text.partition("=")
            words.append(f"{name.strip()}={scoped.expand(value.strip())}" if is_setting(text) else text)
    return words + waiting
