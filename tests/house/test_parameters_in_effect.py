"""A parameter without effect must say so: `pending=True` in its declaration, and only there.

`python tests/house/test_parameters_in_effect.py` lists both kinds of disagreement: pending parameters that some
module reads by now (remove the mark), and unmarked ones that nothing reads (do the work, set the mark, or say in the
text why there is nothing to do).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from estafeta.config.kinds import Parameter
from estafeta.config.params.group import declarations
from estafeta.config.params.index import CLIENT_GROUP, SUBJECTS, TRANSPORT_GROUP, declared

SOURCE = Path(__file__).parents[2] / "src" / "estafeta"

# How a text says that nothing needs to be read, since the thing is done another way here.
NOTHING_TO_DO = re.compile(r"no effect|not used|not needed|by itself|no such process|nothing is read|is no longer")


def code() -> str:
    """All of the package except the declarations and what only lists or checks them."""
    aside = {SOURCE / "config", SOURCE / "commands" / "manual.py"}
    files = [path for path in SOURCE.rglob("*.py") if not aside & {path, *path.parents}]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def everything() -> Iterator[tuple[str, Parameter]]:
    for subject in (*SUBJECTS, CLIENT_GROUP, TRANSPORT_GROUP):
        yield from declarations(subject)


def pending_but_read() -> list[str]:
    read = set(re.findall(r"\bconf\.(\w+)|\bclient\.(\w+)", code()))
    names = {name for pair in read for name in pair if name}
    return sorted(name for name, parameter in everything() if parameter.pending and name in names)


def unmarked_and_unread() -> list[str]:
    words = set(re.findall(r"\w+", code() + "".join(p.read_text("utf-8") for p in (SOURCE / "config").glob("*.py"))))
    # What other defaults are made of is read with them.
    words |= {name for parameter in declared().values() for name in re.findall(r"\w+", parameter.default)}
    # A transport's time limit is asked for by a name made at run time.
    words.add("time_limit")
    return sorted(
        name
        for name, parameter in everything()
        if not (parameter.pending or parameter.obsolete or name in words or NOTHING_TO_DO.search(parameter.text))
    )


def test_no_pending_parameter_is_read() -> None:
    assert pending_but_read() == []


def test_no_parameter_is_silently_ignored() -> None:
    assert unmarked_and_unread() == []


if __name__ == "__main__":
    print("pending, but read:", *pending_but_read(), sep="\n  ")
    print("not pending, and read nowhere:", *unmarked_and_unread(), sep="\n  ")
