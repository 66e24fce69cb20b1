"""The manual of all parameters, made from their declarations: `python -m estafeta.commands.manual [DIR]`.

Writes `DIR/parameters.md` for the web and `DIR/man/man5/postconf.5` for man(1); DIR is `build/docs` when not given.
There is one source: the text in `config/params/<subject>.py`. A chapter is a subject file, a section one of its
classes, and a family of names (`smtp_` and `lmtp_`, or one for each transport) is told once, with all its names.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..config.kinds import Parameter
from ..config.params.group import Group, declarations, members
from ..config.params.index import CLIENT_GROUP, COMPUTED, SUBJECTS, TRANSPORT_GROUP

USAGE = "usage: python -m estafeta.commands.manual [directory]"
EX_USAGE, EX_CANTCREAT = 64, 73

KINDS = {
    "flag": "yes or no",
    "number": "a number",
    "seconds": "a time: a number with s, m, h, d or w",
    "text": "text",
    "raw": "text, its $names filled in at each use",
    "words": "a list, members separated by commas or white space",
    "code": "a reply code of three digits",
    "choice": "one of",
}


@dataclass(frozen=True)
class Entry:
    """One parameter, or one family of them. `defaults` runs parallel to `names`."""

    names: tuple[str, ...]
    defaults: tuple[str, ...]
    parameter: Parameter

    def values(self) -> str:
        """What may be written: `one of: always, strict, never`, `a number, at least 1`."""
        kind, limits = KINDS[self.parameter.kind], self.parameter.limits
        separator = ": " if self.parameter.kind == "choice" else ", "
        return f"{kind}{separator}{limits}" if limits else kind

    def default(self) -> str:
        """The default, or each one by name where the family's differ."""
        if self.names[0] in COMPUTED:
            return "worked out at start"
        if len(set(self.defaults)) == 1:
            return self.defaults[0] or "empty"
        return "; ".join(f"{name}: {value or 'empty'}" for name, value in zip(self.names, self.defaults, strict=True))

    def remarks(self) -> Iterator[str]:
        if self.parameter.obsolete:
            yield "Obsolete: kept for old configurations."
        if self.parameter.pending:
            yield "Not in effect yet: setting it is answered with a warning."


@dataclass(frozen=True)
class Section:
    """`chapter` is empty where the section goes on with the chapter of the one before it."""

    chapter: str
    title: str
    entries: tuple[Entry, ...]


def sections() -> Iterator[Section]:
    """Everything there is to tell, in the order of `params/index.py`; families last."""
    told = ""
    for subject in (*SUBJECTS, *_family_parts(CLIENT_GROUP), *_family_parts(TRANSPORT_GROUP)):
        title = (subject.__doc__ or "").strip()
        chapter = _opening(subject)
        if issubclass(subject, Group):
            family = CLIENT_GROUP if issubclass(CLIENT_GROUP, subject) else TRANSPORT_GROUP
            entries = tuple(_family_entries(family, subject))
        else:
            entries = tuple(_entries(subject))
        yield Section("" if chapter == told else chapter, title, entries)
        told = chapter


def markdown() -> str:
    """The manual as one Markdown page, with an anchor for each name."""
    lines = ["# Parameters of main.cf", ""]
    for section in sections():
        lines += [f"## {section.chapter}", ""] if section.chapter else []
        lines += [f"### {section.title}", ""]
        for entry in section.entries:
            anchors = "".join(f'<a id="{_anchor(name)}"></a>' for name in entry.names)
            names = ", ".join(f"`{name}`" for name in entry.names)
            default = entry.default()
            shown = default if default in ("empty", "worked out at start") else f"`{default}`"
            lines += [f"{anchors}**{names}** (default: {shown})  ", f"*{entry.values()}.*", ""]
            lines += [" ".join((_html(entry.parameter.text), *entry.remarks())), ""]
    return "\n".join(lines)


def man() -> str:
    """The manual as a page for man(1), in the macros of man(7)."""
    lines = [
        ".TH POSTCONF 5 Estafeta",
        ".SH NAME",
        "postconf \\- parameters of main.cf",
        ".ad l",
        ".nh",
        ".SH DESCRIPTION",
        "Each line of main.cf sets a parameter: name = value. A line that begins with white space goes on with the",
        "one before it, and one that begins with # is a comment. The value of another parameter is put in with",
        "$name, ${name}, ${name?text} (if it is not empty) or ${name:text} (if it is).",
    ]
    for section in sections():
        lines += [f".SH {_roff(section.chapter).upper()}"] if section.chapter else []
        lines += [f".SS {_roff(section.title)}"]
        for entry in section.entries:
            lines += [".TP", f".B {_roff(', '.join(entry.names))} (default: {_roff(entry.default())})"]
            lines += [_roff(f"({entry.values()})"), ".br"]
            lines += [_roff(" ".join((entry.parameter.text, *entry.remarks())))]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write both forms; 0, or a status of sysexits(3) with the reason on standard error."""
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print(USAGE, file=sys.stderr)
        return EX_USAGE
    folder = Path(arguments[0] if arguments else "build/docs")
    pages = {folder / "parameters.md": markdown(), folder / "man" / "man5" / "postconf.5": man()}
    try:
        for path, page in pages.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(page, encoding="utf-8")
            print(path)
    except OSError as error:
        print(f"manual: fatal: cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return EX_CANTCREAT
    return 0


def _opening(subject: type) -> str:
    """What the subject file's story says it is about: its first line, up to a colon."""
    story = sys.modules[subject.__module__].__doc__ or ""
    return story.strip().split("\n", 1)[0].split(":", 1)[0].rstrip(".")


def _family_parts(family: type[Group]) -> Iterator[type]:
    """The classes that a family is put together from, in their order."""
    for part in family.__mro__:
        if any(isinstance(value, Parameter) for value in vars(part).values()):
            yield part


def _entries(subject: type) -> Iterator[Entry]:
    for attribute, parameter in declarations(subject):
        yield Entry((parameter.name or attribute,), (parameter.default,), parameter)


def _family_entries(family: type[Group], part: type[Group]) -> Iterator[Entry]:
    """One entry for each suffix that `part` declares, told for every prefix of the family."""
    prefixes = family.prefixes
    if family is TRANSPORT_GROUP:
        # Transports are without number: `<transport>` stands for them, and only those with a default of their own
        # are told by name.
        prefixes = ("<transport>_", *prefixes)
    for rows in zip(*(members(family, prefix) for prefix in prefixes), strict=True):
        if not isinstance(vars(part).get(rows[0].attribute), Parameter):
            continue
        present = [row for row in rows if row.name]
        if family is TRANSPORT_GROUP:
            present = [row for row in present if row is rows[0] or row.name in family.defaults]
        names = tuple(row.name for row in present)
        yield Entry(names, tuple(row.parameter.default for row in present), present[0].parameter)


def _anchor(name: str) -> str:
    return name.strip("<").replace(">", "")


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def _roff(text: str) -> str:
    """Safe in a page for man(1): no escapes, no request at the start of a line."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return "\\&" + text if text[:1] in (".", "'") else text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
