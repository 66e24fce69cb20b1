"""docs/walk.md names functions of the code as they are now."""

from __future__ import annotations

import functools
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WALK = (ROOT / "docs" / "walk.md").read_text("utf-8")
NAMES = sorted(set(re.findall(r"`([a-z_][\w.]*(?::\w[\w.]*))`", WALK)) - {"module:function"})


def test_the_walk_goes_through_every_room() -> None:
    rooms = {name.split(".")[0] for name in NAMES}
    assert {"skeleton", "daemons", "net", "wire", "routing", "intake", "queue", "services", "store", "mail"} <= rooms


@pytest.mark.parametrize("name", NAMES)
def test_what_the_walk_names_is_there(name: str) -> None:
    module, _, path = name.partition(":")
    assert callable(functools.reduce(getattr, path.split("."), importlib.import_module(f"estafeta.{module}")))


def test_files_that_the_documentation_names_are_there() -> None:
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    missing = [
        f"{document.name}: {name}"
        for document in documents
        for name in re.findall(r"`((?:docs|tests|tools|bench|src|\.ci)/[\w./-]*\w)`", document.read_text("utf-8"))
        if not (ROOT / name).exists()
    ]
    # Written by `make docs` and `make bench`.
    assert [each for each in missing if not each.endswith(("docs/parameters.md", "docs/performance.md"))] == []
