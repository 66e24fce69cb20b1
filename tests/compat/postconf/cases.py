"""Recorded cases of postconf(1): a configuration, commands, and what the real program said.

A case is one text file in `cases/`, in sections:

    --- main.cf                 the configuration; lines as they are
    --- master.cf
    --- run -n relayhost        a command; every run begins with the files above
    --- stdout                  what it printed, exactly
    --- stderr                  its messages, sorted and without repetition, program name left out
    --- status 1                when it is not 0
    --- after main.cf           the file afterwards, when it changed
    --- ours stderr             where we differ on purpose, what we say; likewise `ours stdout`, `ours after ...`

`record.py` fills in what follows each `run` from the installed Postfix; what stands under `ours` is kept. Ours is
compared by beginnings: we say the same and then add the remedy.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "cases"
FILES = ("main.cf", "master.cf")


@dataclass
class Run:
    command: str
    said: dict[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        return ["-c", "conf", *shlex.split(self.command)]

    def expected(self, what: str) -> str:
        return self.said.get(f"ours {what}", self.said.get(what, ""))

    @property
    def status(self) -> int:
        return next((int(name.split()[1]) for name in self.said if name.startswith("status ")), 0)


@dataclass
class Case:
    path: Path
    story: str
    files: dict[str, str]
    runs: list[Run]

    def write_files(self, folder: Path) -> None:
        (folder / "conf").mkdir()
        for name, text in self.files.items():
            (folder / "conf" / name).write_bytes(text.encode("utf-8", "surrogateescape"))


def read(path: Path) -> Case:
    case = Case(path, "", {}, [])
    story, *sections = ("\n" + path.read_text("utf-8", "surrogateescape").removesuffix("\n")).split("\n--- ")
    case.story = story.strip()
    for section in sections:
        title, _, text = section.partition("\n")
        text += "\n" if text else ""
        if title in FILES:
            case.files[title] = text
        elif title.startswith("run "):
            case.runs.append(Run(title.removeprefix("run ")))
        else:
            case.runs[-1].said[title] = text
    return case


def write(case: Case) -> None:
    parts = [case.story + "\n"]
    parts += [f"--- {name}\n{text}" for name, text in case.files.items()]
    for run in case.runs:
        parts.append(f"--- run {run.command}\n")
        parts += [f"--- {name}\n{text}" for name, text in run.said.items()]
    case.path.write_text("".join(parts), "utf-8", "surrogateescape")


def tidy_stderr(text: str, program: str) -> str:
    lines = {line.removeprefix(f"{program}: ") for line in text.splitlines()}
    return "".join(line + "\n" for line in sorted(lines))
