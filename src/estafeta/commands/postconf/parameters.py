"""main.cf as postconf(1) shows it: -p, -n, -d and single names."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...config.expand import ExpandError
from ...config.main_cf import MainCf
from ...config.texts import Texts
from .checks import Findings, builtin_names, is_raw, service_parameters
from .layout import folded
from .options import Request
from .sources import Sources


def show(request: Request, sources: Sources, findings: Findings) -> Iterable[str]:
    """Output lines; unknown names go to `sources.warn`."""
    service = service_parameters(sources.rows)
    texts = sources.texts
    if "d" in request.flags:
        texts = Texts(MainCf(sources.directory, sources.texts.settings.path))
    known = {
        "builtin": set(builtin_names()),
        "service": set(service),
        "user": set() if "d" in request.flags else findings.user_names,
    }
    wanted = request.classes or set(known)
    listed = {name for kind in wanted for name in known[kind]}
    if request.names:
        chosen = _named(request.names, set().union(*known.values()), sources.warn)
    else:
        chosen = sorted(listed)
    if "n" in request.flags:
        chosen = [name for name in chosen if texts.is_set(name)]
    for name in chosen:
        yield _line(request, name, _text(request, texts, name, service))


def _named(names: list[str], known: set[str], warn: Callable[[str], None]) -> Iterable[str]:
    for name in names:
        if name in known:
            yield name
        else:
            warn(f"{name}: unknown parameter")


def _text(request: Request, texts: Texts, name: str, service: dict[str, str]) -> str:
    if "d" in request.flags:
        text = texts.default(name)
        text = service.get(name, "") if text is None else text
    else:
        known = texts.is_set(name) or name in builtin_names()
        text = texts.raw_value(name) if known else service.get(name, "")
    if not request.expand or is_raw(name):
        return text
    try:
        return texts.expand(text)
    except ExpandError as reason:
        raise ExpandError(f"{reason} (in {name} = {text})") from reason


def _line(request: Request, name: str, value: str) -> str:
    words = value.split()
    if "H" in request.flags:
        return name
    label = "" if "h" in request.flags else f"{name} ="
    return folded(label, words) if request.fold else " ".join([label, *words] if label else words)
