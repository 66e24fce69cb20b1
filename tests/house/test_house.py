"""Every program, command and target that is named somewhere exists; how large the modules are."""

from __future__ import annotations

import importlib
import os
import re
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from estafeta.daemons import index

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "estafeta"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SCRIPTS: dict[str, str] = PROJECT["scripts"]

# What each says when it is asked for help: exit status, and what the text begins with. As Postfix's commands do, most
# know no --help, and answer with their usage and the status for a wrong command line, or for a failure.
USAGE = re.compile(r"usage: |fatal: usage: |(?:\w+: )?error: |postconf: fatal: usage", re.MULTILINE)
MODULES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("program", sorted(name for name, target in index.PROGRAMS.items() if target))
def test_every_program_of_master_cf_is_there(program: str) -> None:
    module, _, name = str(index.PROGRAMS[program]).partition(":")
    assert isinstance(getattr(importlib.import_module(module), name), type)


def test_the_lists_of_programs_agree() -> None:
    known = set(index.PROGRAMS) | set(index.LATER)
    assert not set(index.PROGRAMS) & set(index.LATER)
    assert known >= index.AGENTS | index.SINGLE | index.RESIDENT
    module, _, name = index.UNAVAILABLE_AGENT.partition(":")
    assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("command", sorted(SCRIPTS))
def test_every_command_says_how_it_is_used(command: str) -> None:
    module, _, function = SCRIPTS[command].partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    # An option that none of them has; sendmail takes almost anything, so it gets one that needs a value.
    option = "-F" if command == "sendmail" else "--no-such-option"
    program = f"import sys; from {module} import {function}; sys.argv[0] = {command!r}; sys.exit({function}())"
    done = subprocess.run(
        [sys.executable, "-c", program, option],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=30,
        check=False,
        env=os.environ | {"MAIL_CONFIG": "/nonexistent"},
    )
    said = done.stdout + done.stderr
    assert done.returncode not in (0, None), said
    assert "Traceback" not in said and said.strip(), said


def test_the_umbrella_has_every_command() -> None:
    from estafeta.commands.estafeta import COMMANDS

    assert set(COMMANDS) | {"estafeta"} == set(SCRIPTS)


def test_targets_that_the_documentation_names_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / ".ci" / "run"):
        named = set(re.findall(r"(?:^|[` ])make ([a-z]+)", document.read_text("utf-8"), re.MULTILINE))
        assert named <= targets, document


def test_programs_of_the_repository_can_be_run() -> None:
    for name in (".ci/run", "tools/system-packages"):
        assert os.access(ROOT / name, os.X_OK), name


def test_every_module_tells_its_story() -> None:
    silent = [str(path.relative_to(ROOT)) for path in MODULES if not path.read_text("utf-8").lstrip().startswith('"""')]
    assert [name for name in silent if (ROOT / name).stat().st_size] == []


def test_no_room_is_named_for_nothing() -> None:
    bad = {"utils", "util", "common", "helpers", "helper", "core", "misc", "base_utils"}
    assert [str(path) for path in SOURCE.rglob("*") if path.stem in bad] == []


def test_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    """Reported, not enforced (`pytest -s`): a median of 150 lines is what we aim at, 600 the reasoned exception."""
    sizes = {path: path.read_text("utf-8").count("\n") for path in MODULES}
    largest = sorted(sizes, key=lambda path: -sizes[path])[:10]
    with capsys.disabled():
        print(
            f"\n{len(sizes)} modules, {sum(sizes.values())} lines, median {statistics.median(sizes.values()):.0f};",
            end=" ",
        )
        print("largest:", ", ".join(f"{path.relative_to(SOURCE)} {sizes[path]}" for path in largest[:5]))
    assert sizes
